"""The page in all its forms in a folder: written when the rows say so, and only then."""

from __future__ import annotations

from pathlib import Path

from leaderboards import build_leaderboard, write_files


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_what_says_the_same_is_left_alone_and_what_is_missing_is_made(tmp_path, make_rows):
    board = build_leaderboard(make_rows(tasks=["sst2"], sets=4, seeds=2), "toy")
    paths = write_files(board, tmp_path)
    assert {path.name for path in paths} == {
        "toy.md", "toy.csv", "toy.html", "toy-scaling.svg", "toy-scaling.png",
    }  # fmt: skip
    assert "](toy-scaling.svg)" in (tmp_path / "toy.md").read_text()
    before = stamps(tmp_path)
    assert write_files(board, tmp_path) == paths
    assert stamps(tmp_path) == before
    (tmp_path / "toy-scaling.png").unlink()
    write_files(board, tmp_path)
    assert (tmp_path / "toy-scaling.png").is_file()


def test_other_rows_replace_everything_and_leave_no_figure_behind(tmp_path, make_rows):
    write_files(build_leaderboard(make_rows(tasks=["sst2"], sets=4, seeds=2), "toy"), tmp_path)
    one_budget = make_rows(tasks=["sst2"], sets=4, seeds=2, dpcs=["5"])
    paths = write_files(build_leaderboard(one_budget, "toy"), tmp_path)
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    assert "svg" not in (tmp_path / "toy.md").read_text()
    assert "<svg" not in (tmp_path / "toy.html").read_text()
