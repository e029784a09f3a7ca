"""MLflow as a mirror of the rows: every run is logged, in batches, beside the work.

One experiment per suite, a parent run per cell, a child run per training. The rows are the truth:
if the tracking server is down the work goes on, and `track --sync` sends what is missing. The
store notes each run before and after it is sent, so that nothing is sent twice, whatever is killed.
Only this module and `tracking_server` import MLflow.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from benchmark.cell_means import CellMeans, cell_key, unsent_means
from benchmark.core.keys import sha256_file, sha256_text
from benchmark.core.records import CellId
from benchmark.preparations import Preparation, unsent_preparations
from benchmark.schema import CELL
from benchmark.store import Store
from benchmark.tracking_server import make_database, quiet
from benchmark.unsent_runs import UnsentRun, unsent_runs
from leaderboards import page_files

BATCH = 100
METRICS_AT_ONCE = 1000
MAX_ARTIFACT_BYTES = 2**20
KIND = ("mlflow.experimentKind", "custom_model_development")
"""A tag by which MLflow's page opens on the table of runs, and not on traces of agents."""


class Mirror:
    """Sends a store's rows to MLflow; made and used in one thread.

    Raises whatever MLflow raises when it cannot be reached.
    """

    def __init__(self, store: Store, uri: str) -> None:
        self.store = store
        self.uri = uri
        with quiet():
            from mlflow import MlflowClient

            begun = time.monotonic()
            make_database(uri)
            self.making_seconds = time.monotonic() - begun
            self.client = MlflowClient(tracking_uri=uri)
        self._experiments: dict[str, str] = {}
        self._parents: dict[CellId, str] = {}
        self._environments: dict[str, dict[str, Any]] = {}
        self.send_seconds: list[float] = []
        for suite, run in store.mirrored_cells(uri).items():
            if not self._has(run):  # another file or a fresh server stands in its place
                store.forget_mirror(suite, uri)

    def _has(self, run_id: str) -> bool:
        """Whether MLflow knows a run (one that was deleted by hand is known until it is purged)."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def sync(self, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Send everything that is missing; returns how many trainings were sent."""
        sent = 0
        while not should_stop():
            batch = unsent_runs(self.store, self.uri, BATCH)
            if not batch:
                break
            for item in batch:
                begun = time.monotonic()
                self._send(item)
                self.send_seconds.append(time.monotonic() - begun)
                sent += 1
                if should_stop():
                    break
            self.store.commit()
        return sent

    def complete(self) -> int:
        """Send everything that is missing, and a parent with the means of every cell.

        A cell whose trainings are all shared with other cells has no child run of its own.
        """
        sent = self.sync()
        for means in unsent_means(self.store, self.uri):
            self._send_means(means)
        for suite, key, run in self.store.mirrored_states(self.uri):
            if not self._has(run):
                self.store.forget_mirrored_state(suite, key, self.uri)
        for preparation in unsent_preparations(self.store, self.uri):
            self._send_preparation(preparation)
        for suite in self.store.mirrored_cells(self.uri):
            self._send_page(suite)
        self.store.commit()
        return sent

    def _send_page(self, suite: str) -> None:
        """Log a suite's page and figures as artefacts of a run of its own, when they are new."""
        files = page_files(self.store.reports, suite)
        if not files:
            return
        digest = sha256_text("".join(sha256_file(path) for path in files))
        experiment = self._experiment(suite)
        found = self.client.search_runs([experiment], "tags.kind = 'page'", max_results=1)
        if found and found[0].data.tags.get("digest") == digest:
            return
        run = (
            found[0]
            if found
            else self.client.create_run(
                experiment, run_name=f"{suite} / leaderboard", tags={"kind": "page"}
            )
        ).info.run_id
        for path in files:
            self.client.log_artifact(run, str(path), "leaderboard")
        self.client.set_tag(run, "digest", digest)
        self.client.set_terminated(run)

    def _send_means(self, means: CellMeans) -> None:
        from mlflow.entities import Metric

        parent = self._parent(means.cell, means.environment, means.created)
        moment = int(time.time() * 1000)
        metrics = [Metric(name, value, moment, 0) for name, value in means.values.items()]
        self.client.log_batch(parent, metrics=metrics)
        self.store.put_mirror(means.cell.suite, "mean", means.key, self.uri, means.digest)
        self.store.commit()

    def _send_preparation(self, made: Preparation) -> None:
        """Log what a method learned as a run of its own, with its curves, exactly once.

        A run that a killed driver left half made is deleted and made again.
        """
        from mlflow.entities import Metric, Param

        experiment = self._experiment(made.suite)
        tags = {"state_key": made.key, "kind": "preparation"}
        for run in self.client.search_runs([experiment], f"tags.state_key = '{made.key}'"):
            self.client.delete_run(run.info.run_id)
        name = f"{made.task} / {made.method} / learned once"
        run = self.client.create_run(experiment, run_name=name, tags=tags)
        moment = run.info.start_time
        values = [Metric(name, value, moment, 0) for name, value in made.facts.items()]
        for curve, points in made.curves.items():
            values += [Metric(curve, value, moment, step) for step, value in points.items()]
        given = {"task": made.task, "method": made.method, **made.params}
        params = [Param(name, str(value)[:6000]) for name, value in given.items()]
        for start in range(0, len(values), METRICS_AT_ONCE):
            chunk = values[start : start + METRICS_AT_ONCE]
            self.client.log_batch(run.info.run_id, metrics=chunk, params=params)
            params = []
        self.client.set_terminated(run.info.run_id)
        self.store.put_mirror(made.suite, "state", made.key, self.uri, run.info.run_id)
        self.store.commit()

    def _send(self, item: UnsentRun) -> None:
        from mlflow.entities import Metric, Param, RunTag

        experiment = self._experiment(item.cell.suite)
        parent = self._parent(item.cell, item.environment, item.created)
        self._remove_half_sent(item, experiment)
        self.store.put_mirror(item.cell.suite, "run", item.run_key, self.uri, "pending")
        self.store.commit()
        moment = int(item.created * 1000)
        run = self.client.create_run(
            experiment,
            start_time=moment - int(1000 * item.costs.get("train_seconds", 0)),
            run_name=f"set {item.set_index}, seed {item.seed_index}",
            tags={
                "mlflow.parentRunId": parent,
                "run_key": item.run_key,
                "set_key": item.set_key,
                "status": item.status,
                **({"reason": item.reason[:5000]} if item.reason else {}),
            },
        )
        params = {
            **{name: getattr(item.cell, name) for name in CELL},
            "set_index": item.set_index,
            "seed_index": item.seed_index,
        }
        values = {
            **{f"score_{name}": value for name, value in item.scores.items()},
            **{f"cost_{name}": value for name, value in item.costs.items()},
            **{f"set_{name}": value for name, value in item.facts.items()},
        }
        environment = self._environment(item.environment)
        self.client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, float(v), moment, 0) for name, v in values.items()],
            params=[Param(name, str(value)[:6000]) for name, value in params.items()],
            tags=[
                RunTag("environment", item.environment),
                RunTag("device", str(environment.get("device", ""))),
            ],
        )
        self._log_set(item, parent)
        self.client.set_terminated(
            run.info.run_id, "FINISHED" if item.status == "ok" else "FAILED", end_time=moment
        )
        self.store.put_sent(item.cell.suite, item.run_key, self.uri, run.info.run_id, item.created)
        self.store.commit()

    def _remove_half_sent(self, item: UnsentRun, experiment: str) -> None:
        """Delete what a killed driver left half sent; found by its tag."""
        pending = self.store.database.execute(
            "SELECT 1 FROM mirror WHERE suite=? AND kind='run' AND key=? AND uri=?",
            (item.cell.suite, item.run_key, self.uri),
        ).fetchone()
        if pending:
            for run in self.client.search_runs(
                [experiment], f"tags.run_key = '{item.run_key}'", max_results=10
            ):
                self.client.delete_run(run.info.run_id)

    def _log_set(self, item: UnsentRun, parent: str) -> None:
        """Log a set's file once per suite, with the cell that first used it."""
        suite, key = item.cell.suite, item.set_key
        known = self.store.database.execute(
            "SELECT 1 FROM mirror WHERE suite=? AND kind='set' AND key=? AND uri=?",
            (suite, key, self.uri),
        ).fetchone()
        if known:
            return
        folder = self.store.set_folder(key)
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.stat().st_size <= MAX_ARTIFACT_BYTES:
                self.client.log_artifact(parent, str(path), f"sets/{item.set_index}-{key[:12]}")
        self.store.put_mirror(suite, "set", key, self.uri, parent)
        self.store.commit()  # no transaction stays open while the server is waited for

    def _experiment(self, suite: str) -> str:
        if suite not in self._experiments:
            name = f"text-distillation/{suite}"
            found = self.client.get_experiment_by_name(name)
            if found is None:
                location = None
                if self.uri.startswith("sqlite"):
                    location = (self.store.root.resolve() / "mlflow-artifacts" / suite).as_uri()
                self._experiments[suite] = self.client.create_experiment(name, location)
            else:
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
                self._experiments[suite] = found.experiment_id
            if found is None or KIND[0] not in found.tags:
                self.client.set_experiment_tag(self._experiments[suite], *KIND)
        return self._experiments[suite]

    def _parent(self, cell: CellId, environment: str, created: float) -> str:
        """The parent run of a cell, made on first use and found again by its tag."""
        if cell not in self._parents:
            key = cell_key(cell)
            row = self.store.database.execute(
                "SELECT mlflow_id FROM mirror WHERE suite=? AND kind='cell' AND key=? AND uri=?",
                (cell.suite, key, self.uri),
            ).fetchone()
            self._parents[cell] = (
                row[0]
                if row and self._has(row[0])
                else self._make_parent(cell, key, environment, created)
            )
        return self._parents[cell]

    def _make_parent(self, cell: CellId, key: str, environment: str, created: float) -> str:
        """Make a cell's parent run, or complete the one that a killed driver left half made."""
        from mlflow.entities import Param

        experiment = self._experiment(cell.suite)
        found = self.client.search_runs([experiment], f"tags.cell_key = '{key}'", max_results=1)
        run = (
            found[0]
            if found
            else self.client.create_run(
                experiment,
                start_time=int(created * 1000),
                run_name=cell.label,
                tags={"cell_key": key, "kind": "cell", "environment": environment},
            )
        )
        params = {name: getattr(cell, name) for name in CELL}
        body = self._environment(environment)
        params |= {f"version_{k}": v for k, v in body.get("versions", {}).items()}
        params |= {k: body[k] for k in ("python", "device", "system") if k in body}
        if run.info.status == "RUNNING":
            self.client.log_batch(
                run.info.run_id, params=[Param(name, str(v)[:6000]) for name, v in params.items()]
            )
            self.client.set_terminated(run.info.run_id)
        self.store.put_mirror(cell.suite, "cell", key, self.uri, run.info.run_id)
        self.store.commit()
        return run.info.run_id

    def _environment(self, key: str) -> dict[str, Any]:
        if key not in self._environments:
            row = self.store.database.execute(
                "SELECT body FROM environments WHERE environment=?", (key,)
            ).fetchone()
            self._environments[key] = json.loads(row[0]) if row else {}
        return self._environments[key]
