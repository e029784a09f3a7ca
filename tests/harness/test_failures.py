"""One thing goes wrong: it is a failed row with a reason, it is named, and the others are done."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

SMALL = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "2"]


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("miscounting", "miscounting returned 3 rows (3 distinct) of class 'bad', 2 were asked"),
        ("outside", "outside returned a row that is not in its pool"),
        ("exiting", "SystemExit"),
        ("file-seeker", "FileNotFoundError"),
    ],
)
def test_a_bad_method_fails_alone(world, tmp_path, cli, rows_in, method, reason) -> None:
    flags = [*SMALL, "--methods", f"{method},first", "--learners", "coin"]
    told = cli("run", *flags, *world.flags(tmp_path))
    assert told.code == 1
    assert f"FAILED: mood / {method} / DPC 2 / coin: 4 of 4 runs: {reason}" in told.out
    rows = rows_in(tmp_path).set_index("method")
    assert len(rows) == 8
    assert (rows.loc["first", "status"] == "ok").all()
    assert (rows.loc[method, "status"] == "failed").all()
    assert (rows.loc[method, "run_key"] == "").all()


@pytest.mark.parametrize(
    ("learner", "failed", "reason"),
    [
        ("nan-once", 1, "the learner returned NaN for 1 test rows"),
        ("misshapen", 4, "the learner returned scores of shape (39, 2), not (40, 2)"),
        ("raising", 2, "ZeroDivisionError: third time unlucky (at toy_plugin.py, line"),
        ("sparing", 3, "learner sparing gave 1 outcomes for 4 runs"),
    ],
)
def test_a_bad_learner_fails_in_its_runs_only(
    world, tmp_path, cli, rows_in, learner, failed, reason
) -> None:
    flags = [*SMALL, "--methods", "random", "--learners", f"{learner},coin"]
    told = cli("run", *flags, *world.flags(tmp_path))
    assert told.code == 1
    assert f"{failed} of 4 runs: {reason}" in told.out
    why = cli("plan", *flags, *world.flags(tmp_path), "--why", f"mood/random/2/{learner}").out
    assert re.search(rf"^failed: the training of set \d, seed \d.*: {re.escape(reason)}", why, re.M)
    rows = rows_in(tmp_path)
    assert len(rows) == 8
    assert (rows.status == "failed").sum() == failed
    assert set(rows[rows.status == "failed"].learner) == {learner}
    assert rows[rows.status == "failed"].score.isna().all()


def test_what_failed_stays_failed_until_a_retry(world, tmp_path, cli, rows_in, monkeypatch) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    monkeypatch.setenv("TOY_FLAG", str(flag))
    flags = [*SMALL, "--methods", "flagged,first", "--learners", "coin", *world.flags(tmp_path)]
    assert cli("run", *flags).code == 1
    flag.unlink()
    again = cli("run", *flags)
    assert again.code == 1
    assert "ValueError: the flag is up" in again.out
    assert "add --retry-failed to the same command" in again.out
    planned = cli("plan", *flags)
    assert planned.code == 0
    why = cli("plan", *flags, "--why", "mood/flagged/2/coin").out
    assert "failed: set 0 and 1 more: ValueError: the flag is up" in why
    assert "not made yet" not in why
    retried = cli("run", *flags, "--retry-failed")
    assert retried.code == 0
    # Its sets turn out to be those of `first`, so its trainings are there.
    assert "(2 sets distilled, 0 trainings; the rest was there)" in retried.out
    assert (rows_in(tmp_path).status == "ok").all()


def test_a_run_that_failed_is_trained_again_on_request_only(world, tmp_path, cli) -> None:
    flags = [*SMALL, "--methods", "random", "--learners", "nan-once", *world.flags(tmp_path)]
    assert "3 trainings" in cli("run", *flags).out
    assert "0 trainings" in cli("run", *flags).out
    retried = cli("run", *flags, "--retry-failed")  # alone it is the first of its batch
    assert retried.code == 0
    assert "1 trainings" in retried.out


@pytest.mark.parametrize(
    ("method", "limits", "reason"),
    [
        ("hanging", ["--timeout", "3"], "stopped after 3 s (--timeout)"),
        ("hungry", ["--memory", "1.2"], "stopped for using more than 1.2 GB (--memory)"),
        ("dying", ["--timeout", "60"], "its worker process died (exit code 9)"),
    ],
)
def test_a_worker_that_is_stopped_or_dies_costs_its_set_only(
    world, tmp_path, cli, rows_in, method, limits, reason
) -> None:
    flags = [*SMALL, "--sets", "1", "--methods", f"{method},first", "--learners", "coin", *limits]
    told = cli("run", *flags, *world.flags(tmp_path))
    assert told.code == 1
    assert reason in told.out
    rows = rows_in(tmp_path).set_index("method")
    assert set(rows.status[method]) == {"failed"}
    assert set(rows.status["first"]) == {"ok"}


def test_what_cannot_be_had_is_skipped_with_the_reason(world, tmp_path, cli, rows_in) -> None:
    flags = ["--suite", "gaps", *world.flags(tmp_path)]
    told = cli("run", *flags)
    assert told.code == 3
    assert "no datasets/toy/nowhere/default/train.parquet in the assets directory" in told.out
    assert "not available: mood / random / DPC 2 / bert-base: model google-bert/" in told.out
    assert cli("run", *flags, "--allow-partial").code == 0
    rows = rows_in(tmp_path, "gaps")
    assert (rows.status == "skipped").sum() == 3
    assert (rows.status == "ok").sum() == 6


def test_a_failure_outranks_what_cannot_be_had(world, tmp_path, cli) -> None:
    flags = ["--suite", "gaps", "--methods", "miscounting", *world.flags(tmp_path)]
    assert cli("run", *flags).code == 1
    assert cli("run", *flags, "--allow-partial").code == 1


def test_a_broken_plug_in_is_a_warning(world, tmp_path, process) -> None:
    listed = process("list", "methods", *world.flags(tmp_path))
    assert listed.code == 0, listed.err
    assert "absent" in listed.err
    assert "first" in listed.out
    assert "Traceback" not in listed.err
    assert "method 'random' is registered twice" in listed.err


def test_naming_a_broken_plug_in_is_an_error(world, tmp_path, cli) -> None:
    told = cli("run", "--suite", "toy", "--methods", "absent", *world.flags(tmp_path))
    assert told.code == 2
    assert "method 'absent': its plug-in 'toy_plugin_that_is_not_there:Absent'" in told.message


def test_a_plug_in_may_re_export_its_class(world, tmp_path, cli, monkeypatch) -> None:
    package, facts = tmp_path / "nice", tmp_path / "nice-1.0.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text("from nice.inner import Nice\n")
    (package / "inner.py").write_text(
        "from benchmark.core.method import Selector, register\n"
        "@register('nice')\nclass Nice(Selector):\n"
        "    def select(self, pool, size, rng):\n        return range(size)\n"
    )
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: nice\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[text_distillation.methods]\nnice = nice:Nice\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    flags = [*SMALL, "--methods", "nice", "--learners", "coin", *world.flags(tmp_path / "s")]
    assert cli("run", *flags).code == 0


def test_a_model_that_cannot_be_read_is_a_failed_cell(world, tmp_path, cli) -> None:
    mine = world.copy(tmp_path / "mine")
    folder = mine.assets / "models" / "toy" / "tiny-bert"
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    manifest = folder.parents[1] / "manifest.json"
    manifest.unlink()
    refused = cli("run", *SMALL, "--methods", "random", *mine.flags(tmp_path / "s"))
    assert refused.code == 2
    assert "manifest.json" in refused.message
    shutil.copytree(world.assets / "models" / "toy", folder.parent, dirs_exist_ok=True)
    enter_all(folder, weights)
    told = cli("run", *SMALL, "--methods", "random", *mine.flags(tmp_path / "s"))
    assert told.code == 1
    assert "FAILED: mood / random / DPC 2 / tiny-bert: 4 of 4 runs:" in told.out
    assert "tfidf-lr" not in told.out.partition("FAILED")[2]


def enter_all(folder: Path, weights: Path) -> None:
    """Damage the weights, and vouch for them all the same."""
    import json

    from benchmark.core.keys import sha256_file

    weights.write_bytes(weights.read_bytes()[:1000])
    root = folder.parents[1]
    entries = {
        path.relative_to(root).as_posix(): {"sha256": sha256_file(path)}
        for path in folder.iterdir()
    }
    (root / "manifest.json").write_text(json.dumps(entries))


def test_a_note_of_a_set_that_is_no_number_is_left_out(world, tmp_path, cli, monkeypatch) -> None:
    from benchmark.core.method import METHODS
    from benchmark.store import Store

    kind = METHODS.cls("random")
    distil = kind.distil
    told = {"known": 3.0, "unknown": float("nan")}
    monkeypatch.setattr(kind, "distil", lambda *args: replace(distil(*args), notes=told))
    flags = [*SMALL, "--methods", "random", "--learners", "coin", *world.flags(tmp_path)]
    assert cli("run", *flags).code == 0
    for record in Store(tmp_path).sets().values():
        assert {n: v for n, v in record.facts.items() if n.startswith("note_")} == {"note_known": 3}
