"""Judges of distilled sets: learners, metrics, statistics and audits."""
