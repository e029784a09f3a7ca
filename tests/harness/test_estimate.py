"""Estimates: which precedent is taken, how it is scaled, and what is said to be unmeasured."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from benchmark.core.effort import Effort, typical_rows, words_of
from benchmark.core.encoders import Encoder
from benchmark.core.keys import set_key
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.method import METHODS
from benchmark.core.records import Row, SetRecord, Status
from benchmark.estimate import Costs, Precedent
from benchmark.forecast import Todo, forecast
from benchmark.plan import Options, make_plan
from benchmark.precedents import StatePrecedent
from benchmark.store import Store


@pytest.fixture
def cells(registries, world, tmp_path):
    """Planned cells of the toy suite by (task, DPC, learner)."""
    library = Library(LibraryConfig(tmp_path / "none", world.assets, True, (world.tasks,)))
    names = ("tfidf-lr", "tiny-bert", "tiny-bert@steps=8")
    made = make_plan(Options("toy", methods=("random",), learners=names), library)
    return {(cell.id.task, cell.id.dpc, cell.id.learner): cell for cell in made.cells}


def precedent(cell, train=2.0, predict=1.0, harness=0.5, learner=None) -> Precedent:
    words = typical_rows(cell.facts.pool_words, sum(cell.budget.per_class))
    effort = cell.learner.effort(words, cell.facts.test_words, len(cell.classes))
    name = learner or cell.learner.name
    return Precedent(name, cell.id.task, cell.id.dpc, train, predict, harness, effort)


def test_words_are_counted_row_by_row() -> None:
    assert words_of({"a": ["one", "one two three"], "b": ["x y", "z"]}).tolist() == [3, 4]
    assert typical_rows(np.arange(100), 4).tolist() == [12, 37, 62, 87]
    assert typical_rows(np.array([3]), 5).tolist() == [3] * 5


def test_training_and_predicting_are_scaled_apart() -> None:
    one = Precedent("x", "t", "5", 2.0, 1.0, 0.5, Effort(100, 1000, 1))
    assert one.scaled(Effort(100, 1000, 1)) == 3.5
    assert one.scaled(Effort(300, 1000, 1)) == 7.5
    assert one.scaled(Effort(100, 5000, 1)) == 7.5


def test_the_nearest_precedent_is_taken(cells) -> None:
    wanted = cells["mood", "4", "tiny-bert"]
    variant = precedent(cells["mood", "4", "tiny-bert@steps=8"], train=80.0)
    other_task = precedent(cells["pair", "4", "tiny-bert"], train=9.0)
    other_dpc = precedent(cells["mood", "2", "tiny-bert"], train=5.0)
    exact = precedent(wanted, train=2.0)
    costs = Costs(trainings=[variant])
    assert costs.training(wanted) == pytest.approx(40.0 + 1.5)  # half of the steps
    costs.trainings.append(other_task)
    assert costs.training(wanted) == pytest.approx(other_task.scaled(exact.effort))
    costs.trainings.append(replace(other_task, effort=exact.effort))  # as near as can be, but there
    costs.trainings.append(other_dpc)
    assert costs.training(wanted) == pytest.approx(other_dpc.scaled(exact.effort))
    assert costs.training(wanted) > 5.0 + 1.5  # more rows than at DPC 2
    costs.trainings.append(exact)
    assert costs.training(wanted) == pytest.approx(3.5)
    assert costs.training(cells["mood", "4", "tfidf-lr"]) is None


def test_workers_do_not_help_a_learner_that_uses_all_threads(cells, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmark.forecast.usable_cores", lambda: 2)
    bert = [cells["mood", dpc, "tiny-bert"] for dpc in ("2", "4")]
    tfidf = [cells["mood", dpc, "tfidf-lr"] for dpc in ("2", "4")]
    costs = Costs(trainings=[precedent(cell) for cell in (*bert, *tfidf)])
    monkeypatch.setattr(Costs, "measured", classmethod(lambda cls, *given: costs))
    store = Store(tmp_path / "empty")
    seconds = {
        (name, workers): forecast([Todo(cell, 0, 10) for cell in some], store, workers).seconds
        for name, some in (("bert", bert), ("tfidf", tfidf))
        for workers in (1, 2)
    }
    store.close()
    assert seconds["bert", 1] == seconds["bert", 2] == pytest.approx(70)
    assert (seconds["tfidf", 1], seconds["tfidf", 2]) == pytest.approx((70, 35))


def test_a_cell_waits_for_its_own_sets_alone(cells, tmp_path, monkeypatch) -> None:
    slow, quick = cells["mood", "4", "tfidf-lr"], cells["mood", "2", "tfidf-lr"]
    seconds = {"4": 30.0, "2": 0.0}
    monkeypatch.setattr(Costs, "measured", classmethod(lambda cls, *given: Costs()))
    monkeypatch.setattr(Costs, "set", lambda self, cell: seconds[cell.id.dpc])
    monkeypatch.setattr(Costs, "training", lambda self, cell: 10.0)
    store = Store(tmp_path / "empty")
    todos = [Todo(slow, 1, 1), Todo(quick, 1, 3)]
    walls = [forecast(todos, store, workers).seconds for workers in (1, 2)]
    alone = forecast([Todo(slow, 1, 3)], store, 2).seconds
    store.close()
    assert walls == [70, 40], "three trainings go on beside the slow set"
    assert alone == 60, "its own wait for it"


def test_the_plan_says_how_many_cells_have_no_measured_cost(world, store, tmp_path, cli) -> None:
    fresh = cli("plan", "--suite", "toy", *world.flags(tmp_path / "none"))
    assert "24 cells have no measured cost yet" in fresh.out
    assert "herding, k-centers, random, tfidf-lr, tiny, tiny-bert, not measured here" in fresh.out
    more = cli("plan", "--suite", "toy", "--sets", "4", *world.flags(store))
    assert "time, estimated from similar work in this store" in more.out
    assert "no measured cost" not in more.out
    flags = ["--learners", "tfidf-nb", "--dpc", "2", "--methods", "random"]
    one = cli("plan", "--suite", "toy", "--tasks-only", "mood", *flags, *world.flags(store))
    assert "1 cell has no measured cost yet (tfidf-nb, not measured here yet)" in one.out


def test_a_deterministic_learner_counts_once_a_set(world, store, cli, monkeypatch) -> None:
    counted = []
    real = forecast
    monkeypatch.setattr(
        "benchmark.cli.plan_report.forecast",
        lambda todos, *more: counted.append(list(todos)) or real(todos, *more),
    )
    flags = ["--tasks-only", "mood", "--dpc", "2", "--methods", "random", "--sets", "5"]
    cli("plan", "--suite", "toy", *flags, *world.flags(store))
    found = {todo.cell.id.learner: (todo.sets, todo.trainings) for todo in counted[0]}
    assert found == {"tfidf-lr": (2, 2), "tiny-bert": (0, 4)}


def test_encoding_is_in_no_run(world, tmp_path, cli, monkeypatch) -> None:
    nap, encode = 0.5, Encoder.encode

    def slowly(self, *args):
        time.sleep(nap)
        return encode(self, *args)

    monkeypatch.setattr(Encoder, "encode", slowly)
    flags = ["--tasks-only", "mood", "--dpc", "2", "--methods", "random", "--sets", "1"]
    flags += ["--learners", "tiny-probe", *world.flags(tmp_path)]
    assert cli("run", "--suite", "toy", *flags).code == 0
    opened = Store(tmp_path)
    (cost,) = (json.loads(text) for (text,) in opened.database.execute("SELECT costs FROM runs"))
    encoding = Costs.measured(opened).encoding["tiny"]
    opened.close()
    assert cost["train_seconds"] < nap  # the pool's features, which the set's are taken from
    task = Library(LibraryConfig(tmp_path, world.assets, True, (world.tasks,))).task("mood")
    words = sum(words_of(columns).sum() for columns in (task.pool.texts(), task.test.columns))
    assert encoding * words >= 2 * nap


def test_wall_time_is_written_down_with_every_run(store) -> None:
    opened = Store(store)
    costs = [json.loads(text) for (text,) in opened.database.execute("SELECT costs FROM runs")]
    sets = [record.facts for record in opened.sets().values()]
    measured = Costs.measured(opened)
    opened.close()
    # Of runs side by side the first one waits for all, so the sums are compared.
    own = sum(cost["train_seconds"] + cost["predict_seconds"] for cost in costs)
    assert sum(cost["learner_seconds"] for cost in costs) >= own - 1e-4 * len(costs)
    for cost in costs:
        assert cost["harness_seconds"] >= 0
        assert min(cost[f"{part}_effort"] for part in ("train", "predict", "prepare")) > 0
    assert all(facts["job_seconds"] >= facts["distil_seconds"] for facts in sets)
    assert set(measured.encoding) == {"tiny"}
    assert {one.learner for one in measured.trainings} == {"tfidf-lr", "tiny-bert"}
    assert len(measured.trainings) == 2 * 2 * 2  # learners, tasks, DPC


def test_what_is_learned_with_other_parameters_is_scaled_phase_by_phase(cells) -> None:
    usual = METHODS.build("dilm-cpu")
    facts = {
        "prepare_seconds": 1000.0, "phase_language_model": 600.0, "phase_learners": 100.0,
        "phase_matching": 200.0, "phase_teacher": 100.0,
    }  # fmt: skip
    made = {"method": "dilm-cpu", "params": usual.params()}
    costs = Costs(states=[StatePrecedent.of(made, "mood", facts)])

    def seconds(task: str = "mood", **params) -> float | None:
        cell = cells[task, "2", "tfidf-lr"]
        return costs.state(replace(cell, method=METHODS.build("dilm-cpu", params)))

    assert seconds() == seconds("pair") == 1000.0
    assert seconds(steps=2 * usual.steps) == pytest.approx(1200.0)
    assert seconds(lm_steps=usual.lm_steps // 2) == pytest.approx(700.0)
    # Another variant of the adapter is a precedent too; one of another adapter is not.
    other = replace(cells["mood", "2", "tfidf-lr"], method=METHODS.build("dilm-cpu-no-diversity"))
    assert costs.state(other) == 1000.0
    none = replace(cells["mood", "2", "tfidf-lr"], method=METHODS.build("dallme-cpu"))
    assert costs.state(none) is None
    twice = METHODS.build("dilm-cpu", {"steps": 2 * usual.steps})
    longer = facts | {"prepare_seconds": 1500.0, "phase_matching": 700.0}
    costs.states.append(StatePrecedent.of({**made, "params": twice.params()}, "pair", longer))
    assert seconds(steps=2 * usual.steps) == 1500.0, "the same parameters elsewhere are nearer"
    assert seconds() == 1000.0


def test_what_a_method_learns_once_is_counted_once_per_task(cells, tmp_path) -> None:
    method = METHODS.build("vanilla-lm-cpu")
    here = [replace(cells["mood", dpc, "tfidf-lr"], method=method) for dpc in ("2", "4")]
    costs = Costs()
    assert costs.state(here[0]) is None
    costs.states = [StatePrecedent("vanilla-lm-cpu", None, method.params(), "pair", 30.0)]
    assert costs.state(here[0]) == 30.0
    costs.states.append(StatePrecedent("vanilla-lm-cpu", None, method.params(), "mood", 50.0))
    assert costs.state(here[0]) == 50.0
    store = Store(tmp_path / "store")
    key = set_key(
        method="vanilla-lm-cpu", params={}, method_version=1, pool="", dpc=2, set_index=0,
        protocol_seed=0, encoders={},
    )  # fmt: skip
    facts = {"job_seconds": 2.0, "prepare_seconds": 50.0}
    store.put_set(SetRecord(key.digest, "hash", Status.OK, "", key.ingredients, facts))
    store.put_cells([here[0].record()])
    store.put_rows([Row(here[0].id, 0, 0, key.digest, "", Status.FAILED)])
    store.commit()
    todos = [Todo(cell, sets=3, trainings=0) for cell in here]
    told = forecast(todos, store)
    assert told.seconds == pytest.approx(50 + 6 * 2)
    assert not told.unmeasured
    here[0].state_folder(store.root).mkdir(parents=True)  # learned by now
    assert forecast(todos, store).seconds == pytest.approx(6 * 2)
