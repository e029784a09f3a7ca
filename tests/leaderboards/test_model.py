"""From rows to cells: status, statistics, order and reference."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import InputError
from leaderboards import build_leaderboard, render, to_frame

CONTRACT = (
    "suite task dpc learner method params metric mean std ci_low ci_high n_sets n_runs "
    "p_sets p_runs p_holm star rank status reason icc design_effect hedges_g "
    "probability_of_improvement smallest_detectable_difference rank_low rank_high accuracy "
    "macro_f1 f1 matthews accuracy_f1 recovered distil_seconds train_seconds predict_seconds "
    "peak_memory_mb device set_rows set_words set_bytes set_floats copies overlap_train "
    "overlap_test sampling set_tokens distinct_1 distinct_2 label_agreement "
    "low_overlap high_overlap of_full"
)


def table(frame: pd.DataFrame, **options) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(render(build_leaderboard(frame, **options), "csv")), dtype={"dpc": str}
    )


def one(cells: pd.DataFrame, **where) -> pd.Series:
    chosen = np.logical_and.reduce([cells[name] == value for name, value in where.items()])
    assert chosen.sum() == 1
    return cells[chosen].iloc[0]


# The CSV


def test_csv_has_the_columns_of_the_contract_and_a_line_per_cell(rows):
    cells = table(rows)
    assert " ".join(cells.columns) == CONTRACT
    assert len(cells) == 3 * 2 * (3 * 3 + 1)
    assert set(cells.n_runs) == {100, 5}
    assert cells["mean"].between(0, 1).all()


def test_csv_agrees_with_the_scores(rows):
    where = {"task": "mrpc", "learner": "probe", "dpc": "10", "method": "random"}
    line = one(table(rows), **where)
    chosen = np.logical_and.reduce([rows[name] == value for name, value in where.items()])
    scores = rows.score[chosen]
    assert line["mean"] == pytest.approx(scores.mean(), rel=1e-5)
    assert line["std"] == pytest.approx(scores.std(ddof=0), rel=1e-5)
    assert line.ci_low < line["mean"] < line.ci_high


def test_cells_stand_in_catalogue_order_and_dpc_is_sorted_as_a_number(rows):
    cells = table(rows)
    assert list(dict.fromkeys(cells.task)) == ["sst2", "mrpc", "cola"]
    assert list(dict.fromkeys(cells.dpc)) == ["0", "5", "10", "20"]
    assert list(dict.fromkeys(cells.learner)) == ["tfidf-lr", "probe"]


# Status


def test_status_of_a_cell_follows_from_its_runs(rows, mark, placeholder):
    first = (rows.task == "sst2") & (rows.learner == "probe") & (rows.dpc == "5")
    frame = mark(rows, first & (rows.method == "random") & (rows["set_index"] == 3), "failed")
    frame = mark(frame, first & (frame.method == "herding"), "failed", "no memory")
    frame = placeholder(frame, (frame.task == "cola") & (frame.learner == "probe"), "no model")
    cells = table(frame)
    cell = {"task": "sst2", "learner": "probe", "dpc": "5"}
    partial = one(cells, method="random", **cell)
    assert (partial.status, partial.n_runs, partial.reason) == ("partial", 95, "boom")
    failed = one(cells, method="herding", **cell)
    assert (failed.status, failed.n_runs, failed.reason) == ("failed", 0, "no memory")
    assert one(cells, method="k-centers", **cell).status == "ok"
    skipped = cells[(cells.task == "cola") & (cells.learner == "probe")]
    assert set(skipped.status) == {"skipped"}
    assert set(skipped.reason) == {"no model"}
    assert skipped["mean"].isna().all()


def test_runs_that_were_not_attempted_make_a_cell_partial(rows):
    assert set(table(rows[rows["seed_index"] < 4]).status) == {"partial"}


def test_rows_beyond_the_plan_are_ignored(rows):
    frame = rows.assign(planned_sets=rows.planned_sets.clip(upper=3), planned_seeds=1)
    cells = table(frame)
    assert set(cells.status) == {"ok"}
    assert set(cells.n_runs) == {3, 1}


def test_only_rows_beyond_the_plan_are_an_error(rows):
    with pytest.raises(InputError, match="within its plan"):
        build_leaderboard(rows[rows["set_index"] > 4].assign(planned_sets=3))


def test_a_placeholder_counts_only_where_it_is_alone(rows, placeholder):
    both = pd.concat([rows, placeholder(rows, rows.task == "sst2", "gone")]).drop_duplicates(
        ["task", "method", "dpc", "learner", "set_index", "seed_index"]
    )
    assert (both["set_index"] < 0).any()
    assert set(table(both).status) == {"ok"}


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_an_ok_run_without_a_score_is_a_failed_run(rows, score):
    bad = (rows.task == "sst2") & (rows.method == "random") & (rows["set_index"] == 0)
    cells = table(rows.assign(score=rows.score.mask(bad, score)))
    partial = cells[cells.status == "partial"]
    assert len(partial) == 6
    assert set(partial.reason) == {"the score is not a number"}


# Stars and ranks


def test_a_planted_better_method_gets_a_star_and_a_worse_one_does_not(make_rows):
    cells = table(make_rows(methods={"random": -0.1, "k-centers": 0.0, "dilm": 0.1}))
    dilm, random = (cells[cells.method == name] for name in ("dilm", "random"))
    assert set(dilm.star) == {"*"}
    assert set(dilm["rank"]) == {1}
    assert random.star.isna().all()
    assert set(random["rank"]) == {3}
    assert (random.p_holm < 0.05).all()
    assert (dilm.p_holm >= dilm.p_sets).all()
    assert (dilm.probability_of_improvement > 0.99).all()
    assert (random.hedges_g < -1).all()


def test_methods_that_are_alike_get_no_star_and_share_rank_one(make_rows):
    cells = table(make_rows(methods={"a": 0.0, "k-centers": 0.0}, spread=0.001, full=False))
    assert set(cells["rank"]) <= {1, 2}
    assert (cells["rank"] == 1).mean() > 0.85


def test_holm_looks_at_one_task_learner_and_dpc_at_a_time(rows):
    alone = table(rows[(rows.task == "sst2") & (rows.learner == "probe") & (rows.dpc == "10")])
    whole = table(rows)
    for method in ("random", "herding"):
        cell = {"task": "sst2", "learner": "probe", "dpc": "10", "method": method}
        assert one(whole, **cell).p_holm == one(alone, **cell).p_holm


def test_the_full_data_row_is_neither_tested_nor_ranked(rows):
    full = table(rows)[lambda cells: cells.method == "full"]
    assert full[["p_sets", "p_holm", "rank", "star"]].isna().all(axis=None)
    assert (full.n_runs == 5).all()


def test_recovered_share_is_0_for_random_and_grows_with_the_score(rows):
    cells = table(rows)
    assert (cells[cells.method == "random"].recovered == 0).all()
    assert cells[cells.method == "k-centers"].recovered.between(0.05, 0.4).all()
    assert cells[cells.method == "full"].recovered.isna().all()


def test_the_share_of_full_is_the_recovered_accuracy_of_the_papers(rows):
    cells = table(rows)
    here = {"task": "mrpc", "learner": "probe"}
    full = one(cells, method="full", **here)
    random = one(cells, method="random", dpc="10", **here)
    assert random.of_full == pytest.approx(random["mean"] / full["mean"], rel=1e-4)
    assert (cells.of_full > cells.recovered.fillna(-1)).all(), "a guess counts as recovered"
    assert "of_full" not in table(rows[rows.method != "full"]).columns


def test_a_metric_that_may_be_below_zero_has_no_share_of_full(rows):
    signed = rows.task == "cola"
    cells = table(rows.assign(metric=rows.metric.mask(signed, "matthews")))
    assert cells[cells.task == "cola"].of_full.isna().all()
    assert cells[cells.task != "cola"].of_full.notna().all()
    assert cells[(cells.task == "cola") & (cells.method == "herding")].recovered.notna().all()


def test_a_partial_cell_has_raw_figures_but_no_star_rank_or_place_in_the_family(make_rows, mark):
    frame = make_rows(methods={"k-centers": 0.0, "dilm": 0.1, "random": -0.1})
    cut = mark(frame, (frame.method == "dilm") & (frame["set_index"] == 0), "failed")
    dilm = table(cut)[lambda cells: cells.method == "dilm"]
    assert (dilm.p_sets < 0.05).all()
    assert dilm[["p_holm", "star", "rank"]].isna().all(axis=None)
    without = table(frame[frame.method != "dilm"])
    assert (
        table(cut)[lambda cells: cells.method == "random"].p_holm.tolist()
        == without[without.method == "random"].p_holm.tolist()
    )


def test_no_star_against_a_partial_reference(make_rows, mark):
    frame = make_rows(methods={"k-centers": 0.0, "dilm": 0.1})
    cut = mark(frame, (frame.method == "k-centers") & (frame["set_index"] == 0), "failed")
    dilm = table(cut)[lambda cells: cells.method == "dilm"]
    assert dilm[["p_holm", "star"]].isna().all(axis=None)
    assert "absent or incomplete in 18 of 18" in render(build_leaderboard(cut), "md")


def test_one_set_makes_no_test_and_the_page_says_why(make_rows):
    frame = make_rows(methods={"random": 0.0, "k-centers": 0.0}, sets=1, seeds=30)
    board = build_leaderboard(frame)
    assert to_frame(board)[["p_sets", "ci_low"]].isna().all(axis=None)
    assert "It says nothing of how another set" in render(board, "md")


def test_nothing_is_bold_below_a_cell_that_cannot_be_ranked(make_rows):
    rows = make_rows(
        ["sst2"], {"random": 0.0, "k-centers": 0.1, "alone": 0.2}, ["probe"], ["5"], full=False
    )
    alone = rows.method == "alone"
    one_set = rows[~alone | (rows["set_index"] == 0)].assign(
        planned_sets=lambda kept: np.where(kept.method == "alone", 1, kept.planned_sets)
    )
    assert {cell.method for cell in build_leaderboard(rows).best} == {"alone"}
    assert not build_leaderboard(one_set).best
    lower = one_set.assign(score=one_set.score - 0.3 * (one_set.method == "alone"))
    assert {cell.method for cell in build_leaderboard(lower).best} == {"k-centers"}


def test_learners_whose_seeds_change_nothing_are_named(make_rows):
    rows = make_rows(["sst2"], sets=4, seeds=3, dpcs=["5"])
    fixed = rows.groupby(["method", "learner", "set_index"]).score.transform("first")
    mixed = rows.assign(score=rows.score.where(rows.learner == "probe", fixed))
    assert "tfidf-lr: the seed of a training changes nothing" in render(
        build_leaderboard(mixed), "md"
    )
    assert "changes nothing" not in render(build_leaderboard(rows), "md")


# The reference


def test_another_reference_turns_the_comparison_round(rows):
    cells = table(rows, reference="random")
    assert (cells[cells.method == "k-centers"].star == "*").all()
    assert cells[cells.method == "random"].p_sets.isna().all()


@pytest.mark.parametrize("name", ["k-center", "full", "nonsense"])
def test_an_unknown_reference_is_refused(rows, name):
    with pytest.raises(InputError, match=f"'{name}' has no cells"):
        build_leaderboard(rows, reference=name)


def test_a_near_miss_gets_a_hint(rows):
    with pytest.raises(InputError, match="Did you mean 'k-centers'"):
        build_leaderboard(rows, reference="k-center")


def test_without_the_default_reference_there_are_no_tests(make_rows):
    board = build_leaderboard(make_rows(methods={"random": 0.0, "herding": 0.1}))
    assert to_frame(board).p_sets.isna().all()
    assert "reference k-centers has no cells here" in render(board, "md")


def test_a_family_without_the_reference_is_counted(rows):
    frame = rows[~((rows.method == "k-centers") & (rows.task == "sst2"))]
    assert "in 6 of 18" in render(build_leaderboard(frame), "md")


def test_variants_of_a_method_show_what_differs_and_the_larger_is_the_reference(make_rows):
    frame = make_rows(params={"k-centers": '{"encoder":"minilm","n":1}'}, full=False)
    other = make_rows(
        params={"k-centers": '{"encoder":"bert-base","n":1}'}, full=False, tasks=("sst2",)
    )
    board = build_leaderboard(pd.concat([frame, other[other.method == "k-centers"]]))
    assert list(board.labels.values()) == [
        "random", "k-centers (encoder=bert-base)", "k-centers (encoder=minilm)", "herding",
    ]  # fmt: skip
    assert board.reference == "k-centers (encoder=minilm)"
    named = build_leaderboard(
        pd.concat([frame, other[other.method == "k-centers"]]),
        reference="k-centers (encoder=bert-base)",
    )
    assert named.reference == "k-centers (encoder=bert-base)"


# The rows that were handed in


def test_the_frame_that_was_handed_in_is_not_changed(rows):
    before = rows.copy()
    build_leaderboard(rows)
    pd.testing.assert_frame_equal(rows, before)
