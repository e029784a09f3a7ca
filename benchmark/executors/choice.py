"""From a name on the command line to an executor."""

from __future__ import annotations

from benchmark.core.library import Library
from benchmark.executors.base import Executor, Limits, Report
from benchmark.executors.local import choose_local


def choose(
    name: str,
    library: Library,
    limits: Limits,
    report: Report | None,
    *,
    workers: int,
    ray_address: str,
) -> Executor:
    """Make the executor `local` or `ray`. The store's directory must exist.

    Raises what `OnRay` raises when there is no way into the cluster.
    """
    if name == "ray":
        from benchmark.executors.on_ray import OnRay

        return OnRay(library.config, limits, report, ray_address, workers)
    return choose_local(library.config, library, workers, limits, report)
