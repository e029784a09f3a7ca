"""Published figures as data, and shown beside ours only where they are of the same thing."""

from __future__ import annotations

import json

import pytest

from benchmark.core.catalogue import Catalogue
from leaderboards import build_leaderboard, render
from leaderboards.fidelity import deviations, fidelity_table, figures, protocols


def board_of(make_rows, recipe=None, **options):
    frame = make_rows(**{"full": False, "dpcs": ("5",), **options})
    if recipe is not None:
        frame["info"] = [
            json.dumps({**json.loads(text), "recipe": recipe}) for text in frame["info"]
        ]
    return build_leaderboard(frame)


def lines(table):
    return [[entry.text for entry in row] for row in table.rows] if table else []


def test_every_figure_is_a_score_of_a_known_paper_and_stands_once() -> None:
    seen = set()
    for found in figures().values():
        for one in found:
            assert one.paper in protocols()["paper"]
            assert one.source
            assert 0 < float(one.mean) < 100
            assert one.std == "" or 0 <= float(one.std) < 20
            key = (one.paper, one.source, one.task, one.method, one.learner, one.dpc, one.setting)
            assert key not in seen
            seen.add(key)
    assert len(seen) == 268
    assert {one[0] for one in seen} == {"dilm", "dallme", "attention-labels"}


@pytest.mark.parametrize(
    ("key", "mean"),
    [
        (("sst2", "dilm", "bert-base", "5"), "72.5"),
        (("qqp", "k-centers", "bert-base", "5"), "60.7"),
        (("mnli", "herding", "bert-base", "20"), "42.8"),
        (("sst2", "tdd", "bert-base", "5"), "89.6"),
        (("mnli", "tdd-text", "bert-base", "5"), "33.4"),
        (("qqp", "vanilla-lm", "bert-base", "10"), "59.3"),
        (("mnli", "dilm", "xlnet-base", "20"), "44.7"),
        (("imdb", "random", "tfidf-lr", "10"), "58.3"),
        (("ag-news", "dallme", "tfidf-svm", "30"), "75.5"),
        (("ag-news", "tdd-cnn", "text-cnn", "30"), "85.6"),
        (("sst2", "full", "bert-base", "0"), "92.7"),
    ],
)
def test_figures_are_those_of_the_papers(key, mean) -> None:
    assert figures()[key][0].mean == mean


def test_a_figure_is_shown_with_the_same_task_method_learner_and_budget_only(make_rows) -> None:
    same = {"tasks": ("sst2",), "methods": {"random": 0.0}, "learners": ("bert-base",)}
    assert len(lines(fidelity_table(board_of(make_rows, **same)))) == 1
    for other in (
        {"tasks": ("cola",)},
        {"methods": {"k-center-greedy": 0.0}},
        {"learners": ("tfidf-lr",)},
        {"dpcs": ("6",)},
    ):
        board = board_of(make_rows, **{**same, **other})
        assert fidelity_table(board) is None
        assert "Beside the papers" not in render(board, "md")


def test_ours_stands_beside_with_its_interval_and_difference(make_rows) -> None:
    board = board_of(
        make_rows, recipe={}, tasks=("sst2",), methods={"random": 0.0}, learners=("bert-base",)
    )
    (line,) = lines(fidelity_table(board))
    cell = board.cells[0]
    assert line[:5] == ["sst2", "5", "bert-base", "random", "DiLM, table 1"]
    assert line[5] == "nothing that is listed"
    assert line[6] == "58.1±5.2"
    low, high = 100 * cell.summary.ci_low, 100 * cell.summary.ci_high
    assert line[7] == f"{100 * cell.mean:.1f} ({low:.1f} to {high:.1f})"
    assert float(line[8]) == pytest.approx(100 * cell.mean - 58.1, abs=0.06)


def test_every_listed_deviation_is_told(make_rows) -> None:
    board = board_of(
        make_rows,
        recipe={"steps": 50, "learning_rate": 1e-4, "other": 1},
        tasks=("mnli-10k",),
        methods={"dilm-cpu": 0.0},
        params={"dilm-cpu": '{"encoder":"minilm","generator":"tiny"}'},
        learners=("minilm",),
        sets=3,
    )
    (line,) = lines(fidelity_table(board))
    assert line[5].startswith(
        "9,888 of the 392,702 training pairs; sized for a CPU; "
        "learner MiniLM in place of BERT-base; "
    )
    assert "encoder=minilm (paper bert-base)" in line[5]
    assert "steps=50 (paper 200)" in line[5]
    assert "learning_rate" not in line[5]
    assert line[5].endswith("3 × 5 runs (paper 20 × 5 runs)")


def test_settings_are_named_as_the_catalogue_names_them() -> None:
    named = {one.setting for found in figures().values() for one in found} - {""}
    assert len(named) == 4
    for setting in named:
        name, _, value = setting.partition("=")
        assert name == "encoder"
        Catalogue.load().encoder(value)


@pytest.mark.parametrize(
    ("learner", "said"), [("distilbert-dallme", ""), ("distilbert", "200 steps of DiLM's recipe")]
)
def test_the_learner_with_the_papers_recipe_is_the_papers(make_rows, learner, said) -> None:
    frame = {"tasks": ("imdb",), "methods": {"random": 0.0}, "dpcs": ("10",)}
    (line,) = lines(fidelity_table(board_of(make_rows, learners=(learner,), **frame)))
    assert line[6] == "60.8±2.7"
    assert line[5].startswith(said or "20 × 5 runs")


def test_a_budget_that_stands_in_is_told(make_rows) -> None:
    frame = {"methods": {"dallme-cpu": 0.0}, "dpcs": ("12.5",), "learners": ("tfidf-lr",)}
    (line,) = lines(fidelity_table(board_of(make_rows, tasks=("imdb",), **frame)))
    assert line[1] == "12.5"
    assert line[5].startswith("sized for a CPU; 25 rows, 0.1%, in place of 20")
    assert fidelity_table(board_of(make_rows, tasks=("ag-news",), **frame)) is None


def test_the_setting_of_a_row_chooses_its_figure_and_another_one_is_a_deviation(make_rows) -> None:
    def found(encoder):
        frame = make_rows(
            tasks=("imdb",), methods={"dallme": 0.0}, learners=("tfidf-lr",), dpcs=("10",),
            params={"dallme": json.dumps({"encoder": encoder})}, full=False,
        )  # fmt: skip
        (line,) = lines(fidelity_table(build_leaderboard(frame)))
        return line

    assert found("e5-base-v2")[6] == "60.5±2.0"
    assert "encoder" not in found("e5-base-v2")[5]
    assert found("minilm")[6] == "65.0±1.8"
    assert "encoder=minilm (paper openai-3-large)" in found("minilm")[5]


def test_resampled_pools_are_a_deviation_whatever_the_numbers_of_runs(make_rows) -> None:
    frame = {"tasks": ("sst2",), "methods": {"herding": 0.0}, "learners": ("bert-base",)}
    (line,) = lines(fidelity_table(board_of(make_rows, recipe={}, **frame)))
    assert line[5] == (
        "sets from resampled pools (80% of the training rows); 20 × 5 runs (paper 1 × 100 runs)"
    )


@pytest.mark.parametrize(
    ("method", "figure", "said"),
    [
        ("tdd-cpu", "89.6±0.4", "far fewer outer steps than 30 epochs"),
        ("tdd-words-cpu", "89.6±0.4", "from the words of real rows"),
        ("tdd-text-cpu", "50.2±1.6", "far fewer outer steps than 30 epochs"),
        ("tdd-text-cosine-cpu", "50.2±1.6", "nearest words by cosine"),
        ("tdd-text-words-cpu", "50.2±1.6", "from the words of real rows"),
        ("tdd-text-words-cosine-cpu", "50.2±1.6", "nearest words by cosine"),
    ],
)
def test_learned_embeddings_stand_beside_the_papers_of_bert(make_rows, method, figure, said):
    params = '{"learner":"minilm","steps":1000,"learning_rate":0.03,"batch":64,"length":32}'
    board = board_of(
        make_rows, tasks=("sst2",), methods={method: 0.0}, learners=("minilm",), sets=1, seeds=20,
        params={method: params},
    )  # fmt: skip
    (line,) = lines(fidelity_table(board))
    assert line[6] == figure
    assert said in line[5]
    assert "learner MiniLM in place of BERT-base" in line[5]
    assert "batch=64 (paper 32)" in line[5]
    assert "20000" not in line[5], "that is DiLM's matching"
    assert line[5].endswith("1 × 20 runs (paper 1 × 100 runs)")


def test_attention_labels_stand_beside_their_own_paper(make_rows) -> None:
    frame = {"tasks": ("ag-news-19k",), "methods": {"attention-labels-cpu": 0.0}, "dpcs": ("1",)}
    (line,) = lines(fidelity_table(board_of(make_rows, learners=("minilm",), sets=1, **frame)))
    assert line[6] == "93.2"
    assert "sized for a CPU" in line[5]


def test_missing_runs_are_a_deviation(make_rows, mark) -> None:
    frame = make_rows(
        tasks=("sst2",), methods={"random": 0.0}, learners=("bert-base",), dpcs=("5",), full=False
    )
    board = build_leaderboard(mark(frame, frame["seed_index"] == 0, "failed"))
    figure = figures()["sst2", "random", "bert-base", "5"][0]
    assert deviations(board.cells[0], figure)[-1] == "20 runs missing"
