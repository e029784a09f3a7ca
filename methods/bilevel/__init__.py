"""Distillation by unrolling the learner's training: inner steps on the set, an outer step on it."""
