"""The public conformance suite: what every method adapter must do, checked on toy pools.

In a test file of your own package::

    from benchmark.testing import parametrize_with_method_checks

    @parametrize_with_method_checks(["my-method", MyMethod(encoder="mpnet")])
    def test_conformance(method, check):
        check(method)

A check is a function of a method; it raises `AssertionError`, or whatever the method raised, and
`unittest.SkipTest` where it has nothing to say. `run_method_checks` runs them without pytest.
"""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.core.method import METHODS, Method
from benchmark.testing.checks import CHECKS
from benchmark.testing.making import title as _name
from benchmark.testing.toys import toy_pool

__all__ = ["CheckResult", "parametrize_with_method_checks", "run_method_checks", "toy_pool"]


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `status` is `passed`, `failed` or `skipped`."""

    check: str
    title: str
    status: str
    reason: str = ""
    seconds: float = 0.0


def parametrize_with_method_checks(methods: Iterable[str | Method]) -> Callable[[Any], Any]:
    """Pytest decorator: call a test with every pair of `method` and `check`.

    `methods` are instances, or registered names: these are built with their class's `toy`
    parameters over the defaults.
    """
    import pytest

    cases = [
        pytest.param(method, check, id=f"{_name(method)}-{check.__name__}")
        for method in map(_resolve, methods)
        for check in CHECKS
    ]
    return pytest.mark.parametrize(("method", "check"), cases)


def run_method_checks(method: str | Method) -> list[CheckResult]:
    """Run every check on one method and say how each went; nothing is raised."""
    method = _resolve(method)
    results = []
    for check in CHECKS:
        status, reason, start = "passed", "", time.perf_counter()
        try:
            check(method)
        except unittest.SkipTest as skip:
            status, reason = "skipped", str(skip)
        except AssertionError as failure:
            status, reason = "failed", str(failure)
        except (Exception, SystemExit) as error:  # what an adapter raises is its failure, not ours
            status, reason = "failed", f"{type(error).__name__}: {error}"
        title = (check.__doc__ or "").partition("\n")[0]
        results.append(
            CheckResult(check.__name__, title, status, reason, time.perf_counter() - start)
        )
    return results


def _resolve(method: str | Method) -> Method:
    if isinstance(method, str):
        return METHODS.build(method, METHODS.cls(method).toy)
    return method
