"""Errors that are meant for the reader: what was wrong, where, and what to do about it.

Each class carries the exit code that the command line documents, so that a verb needs no
translation table. Anything that is not a `BenchmarkError` is a defect of the benchmark itself.
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """Base class; `exit_code` is what the command line returns when it reaches the top."""

    exit_code = 1


class InputError(BenchmarkError):
    """Bad usage or bad input: a flag, a name, a file, a configuration. Found before work starts."""

    exit_code = 2


class UnavailableError(BenchmarkError):
    """A dataset, encoder or model that could not be had; the message says where it was sought."""

    exit_code = 3


class DamagedFileError(BenchmarkError):
    """A stored file whose content does not match its hash; the caller makes it again."""


class SkipCell(BenchmarkError):
    """A structural mismatch: this learner cannot use this set. Not a gap in coverage."""


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `" Did you mean 'x'?"` for a near miss, else the list of known names."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(sorted(known))}." if known else ""
