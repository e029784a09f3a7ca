"""The README's method and task are run as they stand there; its commands: `test_docs.py`."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from benchmark.core.catalogue import Catalogue
from benchmark.core.method import METHODS
from benchmark.testing import run_method_checks

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.S)


def test_the_method_passes_the_conformance_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("python")
    METHODS.names()  # the built-in methods are registered before the one from the README
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    module = types.ModuleType("readme_method")
    monkeypatch.setitem(sys.modules, "readme_method", module)
    exec(compile(code, "README.md", "exec"), module.__dict__)
    results = run_method_checks("longest")
    assert {result.status for result in results} <= {"passed", "skipped"}, results
    assert code.count("\n") < 25


def test_the_task_is_read_by_the_catalogue(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "tickets.toml").write_text(text, encoding="utf-8")
    catalogue = Catalogue.load([tmp_path / "tickets.toml"])
    assert catalogue.task("tickets").text == ("subject", "body")
    assert catalogue.suite("tickets").tasks == ("tickets",)


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert "://" in target or (README.parent / target).exists(), target


def test_the_leaderboard_shown_is_the_published_one() -> None:
    page = (README.parent / "leaderboards" / "published" / "offline-20.md").read_text("utf-8")
    shown = README.read_text("utf-8").partition("<!-- leaderboard -->")[2].partition("<!-- end -->")
    lines = [line for line in shown[0].splitlines() if line.startswith("|")]
    assert len(lines) == 24
    assert set(lines) <= set(page.splitlines())
