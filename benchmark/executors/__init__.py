"""Executors: where jobs run. They differ in this alone; the driver sees one stream of messages."""

from benchmark.executors.base import EXECUTORS, Done, Executor, Limits
from benchmark.executors.choice import choose
from benchmark.executors.local import choose_local

__all__ = ["EXECUTORS", "Done", "Executor", "Limits", "choose", "choose_local"]
