"""Run plans one after the other; print what was expected of each and what it took, as JSON lines.

Arguments: a folder for stores, assets, and a JSON list of the fields of `Options`. The first plan
is run once before, in another store, so that importing libraries is in no plan's time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmark.background import BackgroundMirror
from benchmark.cli.plan_report import cell_state
from benchmark.core.library import Library, LibraryConfig
from benchmark.executors import Limits, choose_local
from benchmark.forecast import Todo, forecast
from benchmark.plan import Options, make_plan
from benchmark.runner import Runner
from benchmark.store import Store


class Silent:
    def stage(self, words: str, total: int) -> None: ...
    def advance(self, words: str) -> None: ...
    def note(self, words: str) -> None: ...


def measure(root: Path, assets: Path, options: dict) -> dict:
    """Run one plan as the command line does, and return its seconds and the estimate's."""
    config = LibraryConfig(root, assets, True, (assets / "tasks.toml",))
    library, store = Library(config), Store(root)
    lists = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    plan = make_plan(Options(**lists), library)
    known, runs = store.sets(), store.run_states()
    states = [(cell, cell_state(cell, store, known, runs)) for cell in plan.cells]
    expected = forecast(
        [Todo(cell, len(state.sets), len(state.trainings)) for cell, state in states], store
    )
    started = time.perf_counter()
    with store.writing(), BackgroundMirror(root) as mirror:
        runner = Runner(store, choose_local(config, library, 1, Limits()), Silent())
        summary = runner.run(plan)
    wall = time.perf_counter() - started
    assert not mirror.failure, mirror.failure
    assert not summary.failed, summary.failed
    store.close()
    return {"wall": wall, "expected": expected.seconds, "unmeasured": expected.unmeasured}


def main(folder: Path, assets: Path, plans: list[dict]) -> None:
    measure(folder / "warm-up", assets, plans[0])
    for options in plans:
        print(json.dumps(measure(folder / "store", assets, options)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
