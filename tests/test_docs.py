"""Every command in the README and in `docs/` is run, or as much of it as can be in a moment.

A command is treated in one of these ways, which the test's id names:

* `run`: as it stands, in an empty folder;
* `dry`: with `--dry-run` and offline, which plans it, names, parameters and files checked;
* `parsed`: by the command line's own parser, where it needs a store, a network or what it is to be
  given (words in capitals); the parser checks verb, flags, types and what is lacking;
* `layers`: by `tox -e layers`, which must have it;
* `named`: other programs are only known here, with environments and extras that exist.
"""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
import types
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from benchmark.core.catalogue import Catalogue
from benchmark.core.learner import LEARNERS
from benchmark.core.method import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
OTHERS = {
    "curl", "docker", "export", "git", "helm", "kubectl", "mkdocs", "mlflow", "pip",
    "ray", "sbatch", "scontrol", "squeue", "srun", "text-distillation-benchmark", "tox",
}  # fmt: skip
PLANNED = ("run", "plan")
STANDING = ("list", "check", "new-method", "leaderboard")


def fenced(path: Path, language: str) -> list[str]:
    """Blocks of one language in a page."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.S)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command with its page: those in console blocks, and the benchmark's in running text."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for block in fenced(path, "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                for part in _split(words, "&&"):
                    while re.fullmatch(r"[A-Z_]+=.*", part[0]) and part[1:]:
                        part = part[1:]  # a variable for this command alone
                    yield path.name, part
        prose = re.sub(r"```.*?```", "", text, flags=re.S)
        for found in re.findall(r"`python -m benchmark ([^`]+)`", prose):
            yield path.name, ["python", "-m", "benchmark", *shlex.split(found)]


def _split(words: list[str], at: str) -> Iterator[list[str]]:
    part: list[str] = []
    for word in [*words, at]:
        if word != at:
            part.append(word)
        elif part:
            yield part
            part = []


def way(words: list[str]) -> str:
    """How a command is treated."""
    if words[:3] != ["python", "-m", "benchmark"]:
        return "named"
    verb, rest = words[3], words[4:]
    if {"--help", "-h"} & set(rest):
        return "run"
    if any(re.fullmatch(r"[A-Z_]{3,}", word) for word in rest) or "--to" in rest:
        return "parsed"
    if "--check" in rest:
        return "layers"
    if verb in PLANNED and "--why" not in rest and "ray" not in rest:
        return "dry"
    if verb in STANDING and not {"--publish", "--format"} & set(rest) and "sets" not in rest:
        return "run"
    return "parsed"


CASES = [
    pytest.param(list(words), id=f"{way(list(words))}-{page}-{' '.join(words[3:] or words)[:60]}")
    for words, page in {tuple(words): page for page, words in commands()}.items()
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the files and adapters that the pages speak of."""
    for registry in (METHODS, LEARNERS):
        registry.names()
        # Not what other tests' modules and plug-ins have registered in this process.
        own = {
            name: entry
            for name, entry in registry._entries.items()
            if f"{getattr(entry.target, '__module__', '')}.".startswith(f"{registry.package}.")
        }
        monkeypatch.setattr(registry, "_entries", own)
    for number, path in enumerate(PAGES):
        for code in fenced(path, "python"):
            if "@register" in code:
                module = types.ModuleType(f"adapter_of_page_{number}")
                monkeypatch.setitem(sys.modules, module.__name__, module)
                exec(compile(code, str(path), "exec"), module.__dict__)
    METHODS.add(METHODS.entry("longest").__class__("my-method", METHODS.cls("longest")))
    names = {"add-a-task.md": "tickets.toml", "add-a-learner.md": "learners.toml"}
    for page, name in names.items():
        (tmp_path / name).write_text(fenced(DOCS / page, "toml")[0], encoding="utf-8")
    (tmp_path / "leaderboards").symlink_to(ROOT / "leaderboards")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCHMARK_ASSETS", raising=False)
    return tmp_path


def test_there_are_commands_of_every_way() -> None:
    found = [way(words) for _, words in commands()]
    assert all(found.count(name) > 5 for name in ("run", "dry", "parsed", "named")), found


@pytest.mark.parametrize("words", CASES)
def test_command(words: list[str], place: Path, monkeypatch, capsys) -> None:
    treated = way(words)
    if treated == "named":
        check_other_program(words)
        return
    if treated == "layers":
        assert " ".join(words) in (ROOT / "tox.ini").read_text(encoding="utf-8")
        return
    arguments = words[3:]
    if treated == "parsed":
        parse(arguments)
        return
    if treated == "dry":
        arguments = ["run", *arguments[1:], "--offline", "--store", "elsewhere"]
        arguments += [] if "--dry-run" in arguments else ["--dry-run"]
    elif arguments[0] == "new-method":
        METHODS._entries.pop(arguments[1], None)
    code = call(arguments, monkeypatch)
    told = capsys.readouterr()
    assert code == 0, told.err
    assert not (place / "elsewhere" / "rows.sqlite").exists()


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    from benchmark.cli import main

    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def parse(arguments: list[str]) -> None:
    """Let the command line read its arguments, and do nothing with them."""
    import typer.main

    from benchmark.cli import app, load_verbs

    load_verbs()
    command = typer.main.get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]
    with command.make_context(arguments[0], list(arguments[1:])):
        pass


def check_other_program(words: list[str]) -> None:
    """The program is one of those known, and what it names of this project is there."""
    assert words[0] in OTHERS, words
    if words[0] == "tox" and "-e" in words:
        tox = ConfigParser()
        tox.read(ROOT / "tox.ini")
        assert f"testenv:{words[words.index('-e') + 1]}" in tox, words
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r"\.\[([a-z,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(project["optional-dependencies"]), words


def test_tasks_and_learners_of_the_pages_are_read(place: Path) -> None:
    catalogue = Catalogue.load([place / "tickets.toml", place / "learners.toml"])
    assert catalogue.task("tickets").classes == ("billing", "outage", "other")
    assert catalogue.learners["tiny-bert"].parameters["steps"] == 400


def test_the_learner_of_the_page_learns(place: Path) -> None:
    import numpy as np

    from benchmark.core.distilled import DistilledSet
    from benchmark.core.learner import Run, TestTexts, build_learner

    made = DistilledSet.of_texts({"text": ["a", "b", "c"]}, [1, 1, 0], ("no", "yes"))
    test = TestTexts({"text": ["x", "y"]}, ("no", "yes"), "", lambda _: None, lambda *_: None)
    (outcome,) = build_learner("majority").fit_predict([Run(made, 0)], test, {})
    assert np.argmax(outcome.scores, axis=1).tolist() == [1, 1]


def test_every_method_has_a_page_with_all_its_parts(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "generator"))
    from method_pages import pages

    from benchmark.core.parameters import parameters_of

    made = pages(ROOT / "leaderboards" / "results")
    index = made.pop("index")
    told = " ".join([index, *made.values()])
    for name in METHODS.names():
        if not METHODS.entry(name).plugin and METHODS.cls(name).__module__.startswith("methods."):
            assert f"`{name}`" in told, name
    parts = ["Idea", "Equation", "Names and tags", "Parameters", "Cost"]
    parts += ["Deviations from the paper", "Reference"]
    for name, page in made.items():
        assert re.findall(r"^## (.+)$", page, re.M) == parts, name
        parameters = parameters_of(METHODS.build(name))
        assert all(f"| `{parameter}` |" in page for parameter in parameters), name
    assert "| `learning_rate` | `3e-07` |" in made["dilm"]
    assert "None is given" not in told  # every method of ours has its equation
    cost = r"\| `dilm-cpu` \| dilm-offline \| \d+ \| 5 \| \d+ \| \d+ (s|min|h) \|"
    assert re.search(cost, made["dilm"])  # as measured, whatever was published last


def test_the_pages_say_what_the_code_has() -> None:
    from benchmark.testing import checks

    page = (DOCS / "add-a-method.md").read_text(encoding="utf-8")
    assert f"runs {len(checks.CHECKS)} checks" in page
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in DOCS.glob("*.md"):
        assert path.name in nav, path
