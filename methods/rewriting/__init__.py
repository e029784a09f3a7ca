"""Rewriting real rows by an instruction model: rewards, prompts, answers."""
