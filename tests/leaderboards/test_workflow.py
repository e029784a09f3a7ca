"""The workflow for pull requests: no secret, no code of the proposal, and nothing slips through.

Its scripts are run here on a proposal, with a stand-in for the command line: what that command
finds has tests of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "submissions.yml"

STAND_IN = """#!/bin/bash
# python -P -m benchmark submit --validate BUNDLE --to merged ...
echo "$*" >> "$LOG"
[ "$4" = submit ] || { [ -f "leaderboards/published/$6.md" ]; exit; }
[ ! -f "$6/bad" ] || exit 1
[ ! -f "$6/unknown" ] || exit 3
cp -r "$6" merged/submissions/
echo row >> merged/results/toy.parquet
touch merged/published/toy-scaling.svg
"""


@pytest.fixture(scope="module")
def workflow() -> dict:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def job(workflow) -> dict:
    return workflow["jobs"]["validate"]


def scripts(job: dict) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


# What it may do


def test_it_is_the_base_branchs_own_and_has_no_right_to_write_and_no_secret(workflow) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    # YAML reads `on` as true. Under `pull_request` a proposal could bring its own workflow.
    assert list(workflow[True]) == ["pull_request_target"]
    assert all("permissions" not in job for job in workflow["jobs"].values())
    text = FILE.read_text().lower()
    assert not re.search(r"secrets\.|github\.token|github_token|cache@|cache:", text)


def test_code_is_installed_from_the_base_and_no_other(job) -> None:
    checkouts = [s["with"] for s in job["steps"] if "checkout" in s.get("uses", "")]
    assert [c["path"] for c in checkouts] == ["trusted", "proposed"]
    assert "base.sha" in checkouts[0]["ref"]
    assert "head.sha" in checkouts[1]["ref"]
    assert all(c["persist-credentials"] is False for c in checkouts)
    runs = "\n".join(scripts(job))
    assert "./trusted" in runs
    assert re.findall(r"pip install (?!-c trusted/constraints\.txt '\./trusted)", runs) == []
    assert re.findall(r"\b(?:tox|make|npm|sh|source|eval|exec)\b", runs) == []


def test_nothing_works_inside_the_proposal_and_python_ignores_its_directory(job) -> None:
    assert not any("proposed" in step.get("working-directory", "") for step in job["steps"])
    runs = "\n".join(scripts(job))
    assert re.findall(r"\bcd (?!merged|data)", runs) == []
    assert runs.count("python ") == runs.count("python -P -m benchmark ") == 2
    for line in runs.splitlines():  # the proposal is looked through and copied, no more
        assert "proposed" not in line or re.match(
            r"odd=\$\(find proposed|for pair in \"proposed:", line.strip()
        )


def test_what_a_pull_request_says_is_never_part_of_a_script(job) -> None:
    assert not any("${{" in run for run in scripts(job))


def test_actions_are_pinned_by_commit(job) -> None:
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert len(uses) == 3
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in uses)


def test_the_suites_of_the_repository_are_known_from_the_base(job) -> None:
    assert "--tasks trusted/leaderboards/suites.toml" in "\n".join(scripts(job))
    assert (ROOT / "leaderboards" / "suites.toml").is_file()


# What it finds


@pytest.fixture
def place(tmp_path) -> Path:
    """A base with a bundle, and a proposal with a second one, merged as it should be."""
    base = tmp_path / "trusted" / "leaderboards"
    for name, text in {
        "results/toy.parquet": "row\n",
        "results/other.parquet": "row\n",
        "published/toy.md": "page",
        "published/other.md": "page",
        "submissions/toy-1/SHA256SUMS": "one",
        "page.py": "code",
    }.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    shutil.copytree(base, tmp_path / "proposed" / "leaderboards")
    mine = tmp_path / "proposed" / "leaderboards"
    (mine / "submissions" / "toy-2").mkdir()
    (mine / "submissions" / "toy-2" / "SHA256SUMS").write_text("two")
    (mine / "results" / "toy.parquet").write_text("row\nrow\n")
    (mine / "published" / "toy-scaling.svg").write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(STAND_IN)
    (tmp_path / "bin" / "python").chmod(0o755)
    return tmp_path


@pytest.fixture
def check(job, place) -> Callable[[], tuple[int, str]]:
    """Run the steps after the installation; returns the exit code and all that was printed."""

    def call() -> tuple[int, str]:
        told = ""
        environment = {
            "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(place / "temp"),
            "LOG": str(place / "log"),
        }
        for step in [s for s in job["steps"] if "run" in s and "pip" not in s["run"]]:
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=place / step.get("working-directory", ""),
                env=environment,
                capture_output=True,
                text=True,
            )
            told += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, told
        return 0, told

    return call


def test_a_bundle_that_was_merged_as_it_should_be_passes(place, check) -> None:
    code, told = check()
    assert code == 0, told
    lines = (place / "log").read_text().splitlines()
    validated = [line for line in lines if "submit" in line]
    assert len(validated) == 1  # the one that is new
    assert "toy-2/ --to merged --tasks trusted/leaderboards/suites.toml --store" in validated[0]
    assert [line.split()[5] for line in lines if "leaderboard --suite" in line] == ["other", "toy"]


def test_a_change_of_code_alone_passes(place, check) -> None:
    shutil.rmtree(place / "proposed" / "leaderboards")
    shutil.copytree(place / "trusted" / "leaderboards", place / "proposed" / "leaderboards")
    (place / "proposed" / "leaderboards" / "page.py").write_text("other code")
    assert check()[0] == 0


def write(name: str, text: str = "x") -> Callable[[Path], None]:
    def spoil(boards: Path) -> None:
        (boards / name).parent.mkdir(parents=True, exist_ok=True)
        (boards / name).write_text(text)

    return spoil


def drop(name: str) -> Callable[[Path], None]:
    return lambda boards: shutil.rmtree(path) if (path := boards / name).is_dir() else path.unlink()


def link(name: str, target: str) -> Callable[[Path], None]:
    def spoil(boards: Path) -> None:
        (boards / name).unlink(missing_ok=True)
        (boards / name).symlink_to(target)

    return spoil


def rename(boards: Path) -> None:
    (boards / "submissions" / "toy-2").rename(boards / "submissions" / "toy-1b")
    # the command names a bundle by what is in it
    (boards / "submissions" / "toy-1").rename(boards / "submissions" / "toy-2")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (write("submissions/toy-2/bad"), "toy-2 is not valid, or would replace results of others"),
        (write("submissions/toy-2/unknown"), "Not checkable here, which is no fault of the bundle"),
        (write("submissions/toy-1/SHA256SUMS"), "A bundle that is there was changed"),
        (write("submissions/toy-1/more"), "A bundle that is there was changed"),
        (drop("submissions/toy-1"), "A bundle that is there was changed or taken away"),
        (drop("submissions"), "A bundle that is there was changed or taken away"),
        (write("submissions/note"), "A bundle that is there was changed"),
        (write("submissions/.toy-3/bad"), ".toy-3 is not valid"),
        (rename, "A bundle that is there was changed"),
        (write("results/toy.parquet", "row\nrow\nrow\n"), "more, fewer or other rows"),
        (write("results/new.parquet"), "more, fewer or other rows"),
        (write("results/.hidden"), "more, fewer or other rows"),
        (drop("results/other.parquet"), "more, fewer or other rows"),
        (write("published/evil.html"), "published/ holds more or fewer files"),
        (write("published/more/x.md"), "published/ holds more or fewer files"),
        (drop("published/other.md"), "published/ holds more or fewer files"),
        (link("results/toy.parquet", "../../../merged/results/toy.parquet"), "holds 1 links"),
        (link("published/toy.md", "/etc/hostname"), "holds 1 links"),
        (write("submissions/toy-2/a\n::error::b"), "holds 1 links, special files or files of odd"),
        (write("published/a b.md"), "or files of odd names"),
    ],
)
def test_what_must_not_pass_is_told(place, check, spoil, said) -> None:
    spoil(place / "proposed" / "leaderboards")
    code, told = check()
    assert code != 0, told
    assert said in told
    assert "\n::error::b" not in told


def test_a_folder_that_is_a_link_is_told(place, check) -> None:
    boards = place / "proposed" / "leaderboards"
    boards.rename(place / "elsewhere")
    boards.symlink_to(place / "elsewhere")
    code, told = check()
    assert code != 0
    assert "holds 1 links" in told
