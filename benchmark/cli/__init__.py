"""The command line, one verb a file. Exits: 0 done, 1 a cell failed, 2 bad input, 3 not had."""

from __future__ import annotations

import errno
import sqlite3
import sys
import warnings
from importlib import import_module

import typer

from benchmark.core.errors import BenchmarkError, DamagedFileError

VERBS = (
    "run",
    "plan",
    "list",
    "show",
    "leaderboard",
    "score",
    "submit",
    "check",
    "new-method",
    "prepare",
    "track",
)
STOPPED = "stopped; what is finished is kept, the same command does the rest"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="benchmark",
    help="A benchmark of text dataset distillation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point. Every foreseen error is one message on stderr and its documented exit code."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        load_verbs()
        app()
    except DamagedFileError as error:
        fail(f"{error}. The `run` command that filled the store makes it again", error.exit_code)
    except BenchmarkError as error:
        fail(str(error), error.exit_code)
    except sqlite3.OperationalError as error:
        fail(f"the store's database cannot be used: {error}. {_advice(str(error))}", 1)
    except sqlite3.DatabaseError as error:
        fail(
            f"the store's database is damaged: {error}. Move rows.sqlite away and run the same "
            "command again: features and what methods have learned are kept, sets and trainings "
            "are made again",
            2,
        )
    except OSError as error:
        if error.errno is None:
            raise
        fail(f"{error.filename or 'the store'}: {error.strerror}. {_os_advice(error)}", 1)
    except KeyboardInterrupt:
        fail(STOPPED, 130)
    except SystemExit as end:  # Typer's own answer to Ctrl-C says nothing
        if end.code == 130:
            fail(STOPPED, 130)
        raise


def load_verbs() -> None:
    """Import each verb's file and add it to the app, once."""
    if not app.registered_commands:
        for verb in VERBS:
            import_module(f"benchmark.cli.{verb.replace('-', '_')}_verb").add_to(app)


def fail(message: str, code: int) -> None:
    """Print one message and leave."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _advice(message: str) -> str:
    if "disk I/O" in message:  # what SQLite says of a disk too full for its first page
        return "Is the disk full? Make room, then run the same command again"
    if "full" in message:
        return "The disk is full: make room, then run the same command again"
    if "readonly" in message or "unable to open" in message:
        return "Is the directory writable? Give another one with --store"
    if "locked" in message:
        return "Another program holds it: wait, then run the same command again"
    return "Run the same command again; what is finished is kept"


def _os_advice(error: OSError) -> str:
    if error.errno in NO_SPACE:
        return "Make room, then run the same command again: what is finished is kept"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "Give a writable directory with --store"
    return "Run the same command again; what is finished is kept"
