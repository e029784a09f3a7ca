"""A new method's files from a template: an adapter that works, and its test.

In the project's repository they go to `methods/` and `tests/methods/`; anywhere else they become a
small package of their own, which registers the method through an entry point.
"""

from __future__ import annotations

import contextlib
import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Literal

import methods
from benchmark.core.errors import InputError
from benchmark.core.method import METHODS

Kind = Literal["selector", "generator"]
PATTERN = "[a-z][a-z0-9]*(-[a-z0-9]+)*"
BUILT_IN = Path("methods")
TESTS = Path("tests") / "methods"
READ_BY_TOOLS = ("setup", "conftest")
"""Modules beside a package's `pyproject.toml` that are run although nobody imports them."""


@dataclass(frozen=True)
class NewMethod:
    """What is to be written, checked against everything that it could collide with.

    Attributes
    ----------
    module : the adapter's module, as its test imports it.
    files : path to content, in the order of writing.
    package : folder of the method's own package; None for one of the repository's.
    """

    name: str
    module: str
    files: dict[Path, str]
    package: Path | None

    def write(self) -> None:
        """Write all files, or none: what was begun is taken back if one cannot be written."""
        written: list[Path] = []
        try:
            for path, text in self.files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as file:
                    written.append(path)
                    file.write(text)
        except BaseException:
            for path in written:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise


def plan_method(name: str, kind: Kind = "selector", to: Path | None = None) -> NewMethod:
    """Say what would be written for a new method, without writing it.

    `to` is the folder of a package of one's own; by default the files go into the repository that
    the current directory is.

    Raises `InputError` for a name that is malformed or taken, a file that is there already, and
    where there is no repository to write to.
    """
    _check_name(name)
    stem, classname = name.replace("-", "_"), _class_name(name)
    if to is None:
        if not (BUILT_IN / "__init__.py").is_file():
            raise InputError(
                f"there is no {BUILT_IN}/ here to write to: go to the project's repository, or "
                "give --to DIR for a package of your own"
            )
        module = f"{BUILT_IN.name}.{stem}"
        adapter, test = BUILT_IN / f"{stem}.py", TESTS / f"test_{stem}.py"
        if (BUILT_IN / stem).exists():
            raise InputError(f"{BUILT_IN / stem}/ is there already; choose another name")
    else:
        if to.exists() and not to.is_dir():
            raise InputError(f"--to {to}: a file of this name is there; a folder is needed")
        if stem in READ_BY_TOOLS:
            raise InputError(
                f"--to {to}: {stem}.py is a file that pip or pytest reads; choose another name"
            )
        module = stem
        adapter, test = to / f"{stem}.py", to / f"test_{stem}.py"
        if not adapter.exists() and _is_taken(stem):
            raise InputError(
                f"--to {to}: a module {stem!r} is installed already, which {adapter.name} would "
                "hide; choose another name"
            )
    words = {
        "name": name,
        "module": module,
        "classname": classname,
        "title": name.replace("-", " ").capitalize(),
    }
    files = {adapter: _filled(kind, words), test: _filled(f"{kind}_test", words)}
    for path in files:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path} is there already; nothing was written")
    if to is not None and not (to / "pyproject.toml").exists():
        files[to / "pyproject.toml"] = _filled("pyproject", words)
    return NewMethod(name, module, files, to)


def entry_point(new: NewMethod) -> str:
    """The entry that a package's pyproject.toml needs, for one that has been there before."""
    found = re.search(r"^class (\w+)", next(iter(new.files.values())), re.M)
    assert found is not None
    return f'{new.name} = "{new.module}:{found[1]}"'


def _check_name(name: str) -> None:
    if not re.fullmatch(PATTERN, name):
        raise InputError(
            f"{name!r} is no name for a method: write a-z, 0-9 and single hyphens, a letter first, "
            "as in length-matched"
        )
    if len(name) > 60:
        raise InputError(f"{name!r} has more than 60 characters; choose another name")
    used = {key for key, value in vars(methods).items() if not isinstance(value, ModuleType)}
    for word in (name.replace("-", "_"), _class_name(name)):
        if keyword.iskeyword(word):
            raise InputError(f"{word!r} is a word of Python's; choose another name than {name!r}")
        if word in used:  # a module of this name would hide it, a class would hide its import
            raise InputError(
                f"{word!r} is what adapters import from {BUILT_IN}; choose another name than "
                f"{name!r}"
            )
    if name in METHODS.names():
        raise InputError(
            f"a method {name!r} is there already ({METHODS.origin(name)}); choose another name"
        )


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def _is_taken(module: str) -> bool:
    """Whether `import module` would find something else."""
    return module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None


def _filled(template: str, words: dict[str, str]) -> str:
    path = resources.files("benchmark") / "templates" / f"{template}.txt"
    return Template(path.read_text(encoding="utf-8")).substitute(words)
