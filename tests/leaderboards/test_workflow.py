"""The workflow for pull requests: no secret, no code of the proposal, every verb there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "submissions.yml"


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load(FILE.read_text())["jobs"]["validate"]


def test_it_has_no_right_to_write_and_no_secret() -> None:
    text = FILE.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    # YAML reads `on` as true; the trigger that runs with the base's secrets is another one.
    assert list(workflow[True]) == ["pull_request"]
    assert "secrets." not in text
    assert "pull_request_target" not in text


def test_code_is_installed_from_the_base_and_python_ignores_the_proposals_directory(job) -> None:
    checkouts = [s["with"] for s in job["steps"] if "checkout" in s.get("uses", "")]
    assert [c["path"] for c in checkouts] == ["trusted", "proposed"]
    assert "base.sha" in checkouts[0]["ref"]
    assert all(c["persist-credentials"] is False for c in checkouts)
    runs = "\n".join(step.get("run", "") for step in job["steps"])
    assert "./trusted" in runs
    assert re.findall(r"pip install (?!-c trusted)", runs) == []
    assert "python -m" not in runs
    assert runs.count("python -P -m benchmark") == 3


def test_what_a_pull_request_says_is_never_part_of_a_script(job) -> None:
    assert not any("${{" in step.get("run", "") for step in job["steps"])
