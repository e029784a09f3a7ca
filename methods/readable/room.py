"""How long a row may be that is written by its gradient."""

LONGEST, ROOM = 512, 32
"""Tokens of a row, and those of them that are for what stands around a text."""
