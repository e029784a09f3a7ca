"""`new-method` writes what passes `check` and its own test; `check` reports in markdown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def shell(words: Sequence[str | Path], place: Path, *path: Path) -> str:
    """Run Python in `place`, with `path` before the repository; returns what it printed."""
    ended = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, REPOSITORY]))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def install(package: Path, site: Path) -> None:
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--target"]
    shell(["-m", "pip", "install", "-q", *flags, site, package], package.parent)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of the repository as the verb looks at."""
    kept = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "methods", tmp_path / "methods", ignore=kept)
    (tmp_path / "benchmark").symlink_to(REPOSITORY / "benchmark")
    (tmp_path / "tests" / "methods").mkdir(parents=True)
    return tmp_path


def test_in_the_repository_both_kinds_pass_untouched(checkout: Path, cli, monkeypatch) -> None:
    monkeypatch.chdir(checkout)
    files = []
    for kind in ("selector", "generator"):
        told = cli("new-method", f"my-{kind}", "--kind", kind)
        files += [f"methods/my_{kind}.py", f"tests/methods/test_my_{kind}.py"]
        assert told.out.startswith(f"wrote {files[-2]}\nwrote {files[-1]}\n"), told.err
    settings = ["-c", REPOSITORY / "pyproject.toml", "--rootdir", checkout, "-q"]
    ended = shell(["-m", "pytest", *settings, "tests/methods"], checkout, checkout)
    assert "32 passed, 2 skipped" in ended
    report = shell(["-m", "benchmark", "check", "my-generator"], checkout, checkout)
    assert "15 passed, 0 failed, 1 skipped of 16 checks" in report
    for verb in (["check"], ["format", "--check"]):
        shell(["-m", "ruff", *verb, "--config", REPOSITORY / "pyproject.toml", *files], checkout)


def test_as_a_package_it_is_found_once_installed(tmp_path: Path) -> None:
    shell(["-m", "benchmark", "new-method", "my-idea", "--to", "mine"], tmp_path)
    mine, site = tmp_path / "mine", tmp_path / "site"
    assert "16 passed, 1 skipped" in shell(["-m", "pytest", "-q", "test_my_idea.py"], mine)
    install(mine, site)
    report = shell(["-m", "benchmark", "check", "my-idea"], tmp_path, site)
    assert "adapter: `my_idea, line " in report
    assert "(exit code 0)" in report


def test_a_second_method_of_a_package_says_what_to_add(tmp_path: Path, cli) -> None:
    mine, site = tmp_path / "mine", tmp_path / "site"
    assert cli("new-method", "my-idea", "--to", mine).code == 0
    before = (mine / "pyproject.toml").read_text()
    again = cli("new-method", "better-idea", "--to", mine)
    assert again.code == 0
    assert (mine / "pyproject.toml").read_text() == before
    # What it says is done word for word; then both methods are there.
    text = before
    said = re.findall(r"pyproject.toml: add (below|to the list) (.+)\n +(.+)", again.out)
    assert [(how, what) for how, _, what in said] == [
        ("below", 'better-idea = "better_idea:BetterIdea"'),
        ("to the list", '"better_idea"'),
    ]
    for how, place, what in said:
        if how == "below":
            text = text.replace(place, f"{place}\n{what}")
        else:
            name, _, header = place.partition(" below ")
            head, _, rest = text.partition(header)
            text = head + header + rest.replace(f"{name} = [", f"{name} = [{what}, ")
    (mine / "pyproject.toml").write_text(text)
    install(mine, site)
    for name in ("my-idea", "better-idea"):
        build = f"from benchmark.core.method import METHODS; print(METHODS.origin({name!r}))"
        assert name.replace("-", "_") in shell(["-c", build], tmp_path, site)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Mine", "write a-z, 0-9 and single hyphens"),
        ("two--hyphens", "single hyphens"),
        ("../mine", "is no name for a method"),
        ("a+b", "is no name for a method"),
        ("lambda", "is a word of Python's"),
        ("none", "'None' is a word of Python's; choose another name than 'none'"),
        ("true", "'True' is a word of Python's"),
        ("false", "'False' is a word of Python's"),
        ("register", "'register' is what adapters import from methods"),
        ("selector", "'Selector' is what adapters import from methods"),
        ("distilled-set", "'DistilledSet' is what adapters import from methods"),
        ("setup", "setup.py is a file that pip or pytest reads"),
        ("conftest", "conftest.py is a file that pip or pytest reads"),
        ("m" * 61, "more than 60 characters"),
        ("herding", "a method 'herding' is there already (methods.herding, line "),
        ("json", "a module 'json' is installed already"),
        ("torch", "a module 'torch' is installed already"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, cli, name: str, said: str) -> None:
    refused = cli("new-method", name, "--to", tmp_path / "mine")
    assert refused.code == 2
    assert said in refused.message
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("name", ["none", "true", "false", "register"])
def test_no_name_of_the_repository_breaks_every_command(
    checkout: Path, cli, monkeypatch, name: str
) -> None:
    monkeypatch.chdir(checkout)
    before = sorted(checkout.rglob("*"))
    refused = cli("new-method", name)
    assert refused.code == 2
    assert f"choose another name than {name!r}" in refused.message
    assert sorted(checkout.rglob("*")) == before


def test_nothing_is_written_over_nor_by_halves(checkout: Path, cli, monkeypatch) -> None:
    monkeypatch.chdir(checkout)
    kept = checkout / "tests" / "methods" / "test_my_idea.py"
    kept.write_text("mine\n")
    refused = cli("new-method", "my-idea")
    assert refused.code == 2
    assert "tests/methods/test_my_idea.py is there already" in refused.message
    assert not (checkout / "methods" / "my_idea.py").exists()
    assert kept.read_text() == "mine\n"
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file where a folder is needed")
    assert cli("new-method", "my-idea").code == 1
    assert not (checkout / "methods" / "my_idea.py").exists()
    folder = cli("new-method", "bilevel")
    assert "methods/bilevel/ is there already" in folder.message
    monkeypatch.chdir(checkout / "methods")
    assert "go to the project's repository" in cli("new-method", "my-idea").message


def test_a_dry_run_writes_nothing(tmp_path: Path, cli) -> None:
    told = cli("new-method", "my-idea", "--to", tmp_path / "mine", "--dry-run")
    assert told.code == 0
    assert told.out.count("would write") == 3
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("method", "failing", "reason"),
    [("miscounting", 12, "3 rows"), ("exiting", 12, "SystemExit"), ("herding", 0, "")],
)
def test_the_report_names_each_check_and_its_exit_code(cli, method, failing, reason) -> None:
    told = cli("check", method)
    table = [line for line in told.out.splitlines() if line.startswith("| ")]
    rows = [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    assert rows.pop(0) == ["check", "result", "seconds", "reason"]
    assert all(len(row) == 4 for row in rows)
    failed = [row for row in rows if row[1] == "**failed**"]
    assert len(rows) == 16
    assert (len(failed) >= failing) if failing else not failed
    assert all(row[3] for row in rows if row[1] != "passed")
    assert reason in " ".join(row[3] for row in failed)
    assert told.code == (1 if failed else 0)
    assert f"(exit code {told.code})" in told.out
    assert re.search(r"\* with: python [\d.]+, .*numpy [\d.]+", told.out)
    assert f"### Conformance of `{method}`" in told.out
