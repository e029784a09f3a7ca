"""Leaderboards: from result rows to tables that anyone can check.

>>> board = build_leaderboard(rows, suite="glue")
>>> text = render(board, "md")

This package is handed rows (`rows.COLUMNS`) and knows neither the store nor MLflow. The same rows
give the same text on any machine.
"""

from leaderboards.files import page_files, write_files
from leaderboards.formats import FORMATS, render, to_frame
from leaderboards.model import CellResult, Leaderboard, build_leaderboard
from leaderboards.publish import check_published, merge, read_results, render_published
from leaderboards.terminal import terminal_tables

__all__ = [
    "FORMATS",
    "CellResult",
    "Leaderboard",
    "build_leaderboard",
    "check_published",
    "merge",
    "page_files",
    "read_results",
    "render",
    "render_published",
    "terminal_tables",
    "to_frame",
    "write_files",
]
