"""Learners: one file each, found by importing this package's modules."""
