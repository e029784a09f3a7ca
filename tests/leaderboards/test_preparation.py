"""What methods learned once per task: phases, findings and changes in one table."""

from __future__ import annotations

import json

from leaderboards.model import build_leaderboard
from leaderboards.preparation import preparation_table
from tests.leaderboards.conftest import synthetic_rows

FACTS = {
    "prepare_seconds": 30.0, "phase_language_model": 20.0, "phase_matching": 10.0,
    "found_best_step": 750.0, "found_label_agreement": 0.875,
    "found_cosine_before": 0.25, "found_cosine_after": 0.5, "found_cosine_change": 0.25,
    "found_cosine_change_low": 0.125, "found_cosine_change_high": 0.375,
}  # fmt: skip


def board(learned: dict[str, dict]):
    rows = synthetic_rows(tasks=("sst2", "mrpc"), learners=("tfidf-lr",), sets=2, seeds=1)
    rows["preparation"] = [
        json.dumps(learned[method]) if method in learned else "" for method in rows.method
    ]
    return build_leaderboard(rows)


def test_a_row_for_each_task_and_method_that_learned() -> None:
    only_language = {k: v for k, v in FACTS.items() if "cosine" not in k and "matching" not in k}
    table = preparation_table(board({"herding": FACTS, "random": only_language}))
    assert table.header == (
        "task", "method", "in all\n(s)", "language model\n(s)", "matching\n(s)", "best step",
        "label agreement", "cosine\n(before → after)",
    )  # fmt: skip
    texts = [[entry.text for entry in row] for row in table.rows]
    assert [row[:2] for row in texts] == [
        ["sst2", "random"], ["sst2", "herding"], ["mrpc", "random"], ["mrpc", "herding"],
    ]  # fmt: skip
    assert texts[1][2:] == [
        "30", "20", "10", "750", "0.875", "0.250 → 0.500, by 0.250 [0.125, 0.375]",
    ]  # fmt: skip
    assert texts[0][4] == texts[0][7] == "–"


def test_what_a_method_did_not_note_of_a_change_is_left_out() -> None:
    def told(*lacking: str) -> str:
        facts = {k: v for k, v in FACTS.items() if not k.endswith(lacking)}
        return preparation_table(board({"herding": facts})).rows[0][-1].text

    assert told("_after", "_change", "_low", "_high") == told("_after") == "0.250"
    assert told("_change") == "0.250 → 0.500, by 0.250 [0.125, 0.375]"
    assert told("_low") == told("_high") == "0.250 → 0.500"


def test_nothing_learned_makes_no_table_and_rows_of_an_earlier_version_keep_their_digest() -> None:
    plain = synthetic_rows(tasks=("sst2",), learners=("tfidf-lr",), sets=2, seeds=1)
    old, new = build_leaderboard(plain), build_leaderboard(plain.assign(preparation=""))
    assert preparation_table(old) is None
    assert old.digest == new.digest
    learned = plain.assign(preparation=json.dumps(FACTS))
    assert build_leaderboard(learned).digest != old.digest
