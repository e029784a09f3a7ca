"""Method adapters: one file each, found by importing this package's modules."""

from benchmark.core.distilled import DistilledSet
from benchmark.core.method import Budget, Generator, Method, Selector, register
from benchmark.core.needs import Needs
from benchmark.core.pool import Pool

__all__ = ["Budget", "DistilledSet", "Generator", "Method", "Needs", "Pool", "Selector", "register"]
