"""One registry class for methods, learners and executors.

Built-in adapters are found by importing every module of a package once; third parties add theirs
through entry points as lazy `module:attr` targets. A broken plug-in or a broken module of the
package warns and hides no other; a collision is an error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, dataclass_transform

from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.parameters import build

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One registered name: its class (or lazy target), preset parameters and references."""

    name: str
    target: type | str
    preset: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    plugin: bool = False


class Collision(InputError):
    """Two targets under one name: which of them is meant cannot be known."""


class Registry(Generic[T]):
    """Names to adapter classes of one kind.

    Parameters
    ----------
    kind : the word used in messages ("method").
    base : every registered class must be a subclass.
    package : its modules are imported on first use, so that each file registers itself.
    group : entry-point group for third-party packages.

    Attributes
    ----------
    broken : modules of the package that could not be imported, each with file, line and error.
    """

    def __init__(self, kind: str, base: type[T], package: str | None, group: str | None) -> None:
        self.kind = kind
        self.base = base
        self.package = package
        self.group = group
        self.broken: dict[str, str] = {}
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def add(self, entry: Entry) -> None:
        """Register an entry; a second target under one name is an error."""
        self._check_base(entry)
        old = self._entries.get(entry.name)
        if old is not None and not _is_same(old.target, entry.target):
            raise Collision(
                f"{self.kind} {entry.name!r} is registered twice: "
                f"{_target_name(old.target)} and {_target_name(entry.target)}"
            )
        self._entries[entry.name] = entry

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._discover()
        return sorted(self._entries)

    def entry(self, name: str) -> Entry:
        """Look a name up; raises `InputError` with a suggestion."""
        self._discover()
        if name not in self._entries:
            self._explain(name)
            raise InputError(f"unknown {self.kind} {name!r}.{did_you_mean(name, self.names())}")
        return self._entries[name]

    def cls(self, name: str) -> type[T]:
        """The class behind a name; a lazy target is imported now."""
        entry = self.entry(name)
        if isinstance(entry.target, str):
            module, _, attribute = entry.target.partition(":")
            try:
                target = getattr(importlib.import_module(module), attribute)
            except Exception as error:
                raise InputError(
                    f"{self.kind} {name!r}: its plug-in {entry.target!r} cannot be loaded: {error}"
                ) from error
            # The module may have registered the class itself, with its preset and paper.
            loaded = self._entries[name]
            entry = Entry(name, target, loaded.preset, loaded.paper, plugin=True)
            self._check_base(entry)
            self._entries[name] = entry
        return entry.target  # type: ignore[return-value]

    def build(self, name: str, params: Mapping[str, Any] | None = None) -> T:
        """Construct the adapter with its preset, overridden by `params`."""
        adapter = build(self.cls(name), name, {**self.entry(name).preset, **(params or {})})
        object.__setattr__(adapter, "name", name)
        return adapter

    def origin(self, name: str) -> str:
        """Where a name is defined, as `module, line n`."""
        cls = self.cls(name)
        try:
            return f"{cls.__module__}, line {inspect.getsourcelines(cls)[1]}"
        except (OSError, TypeError):  # its source is not at hand
            return cls.__module__

    def _check_base(self, entry: Entry) -> None:
        target = entry.target
        if isinstance(target, str):
            return
        if not (isinstance(target, type) and issubclass(target, self.base)):
            raise InputError(
                f"{self.kind} {entry.name!r}: {_target_name(target)} is no {self.base.__name__}"
            )

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        if self.package:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
                self._import(module.name)
        for point in importlib.metadata.entry_points(group=self.group) if self.group else ():
            try:
                self.add(Entry(point.name, point.value, plugin=True))
            except Exception as error:
                warnings.warn(f"plug-in {point.value!r} was left out: {error}", stacklevel=2)

    def _import(self, module: str) -> None:
        """Import a module of the package; a broken one is a warning and registers nothing."""
        try:
            importlib.import_module(module)
        except Collision:
            raise
        except (Exception, SystemExit) as error:
            self.broken[module] = _where_and_why(error, module)
            # What a module registered before it broke goes with it; others may have tried it too.
            self._entries = {
                name: entry
                for name, entry in self._entries.items()
                if isinstance(entry.target, str) or entry.target.__module__ in sys.modules
            }
            warnings.warn(f"{module} was left out: {self.broken[module]}", stacklevel=4)

    def _explain(self, name: str) -> None:
        """Raise an `InputError` if a module that could not be imported would register the name."""
        for module, why in self.broken.items():
            path = _file_of(module)
            text = path.read_text("utf-8", errors="replace") if path.is_file() else ""
            own = module.rpartition(".")[2].replace("_", "-") == name
            if own or re.search(rf"\bregister\w*\([^)]*[\"']{re.escape(name)}[\"']", text):
                raise InputError(f"{self.kind} {name!r} is not there: {module} was left out: {why}")


def _file_of(module: str) -> Path:
    """The file of a module that may not be importable, or its folder if it is a package."""
    top, *rest = module.split(".")
    path = Path(importlib.import_module(top).__path__[0], *rest)
    return path if path.is_dir() else path.with_suffix(".py")


def _where_and_why(error: BaseException, module: str) -> str:
    """The file and line at which importing a module failed, and the error, in one line.

    Of the frames the last one in the module's top-level package counts: what that calls is right.
    """
    places = [
        (Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno))
    file = _file_of(module)
    top = file.parents[module.count(".") - 1]
    own = [(file, None), *(place for place in places if place[0].is_relative_to(top))]
    path, line = own[-1]
    said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    place = f"{path.relative_to(top.parent)}{f', line {line}' if line else ''}"
    return f"{place}: {type(error).__name__}{f': {said}' if said else ''}"


def _is_same(old: type | str, new: type | str) -> bool:
    """Whether two targets are one class; a package may re-export the one that an entry names."""
    before, after = _target_name(old), _target_name(new)
    if before == after:
        return True
    (old_module, _, old_name), (new_module, _, new_name) = (
        text.partition(":") for text in (before, after)
    )
    roots = {module.partition(".")[0] for module in (old_module, new_module)}
    return isinstance(old, str) and len(roots) == 1 and old_name == new_name


def _target_name(target: type | str) -> str:
    if isinstance(target, str):
        return target
    return f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', target)}"


@dataclass_transform(frozen_default=True)
def registering(
    registry: Registry[T], name: str, *, paper: str = "", **preset: Any
) -> Callable[[type], type]:
    """Class decorator: make the class a frozen dataclass and register it under `name`."""

    def decorate(cls: type) -> type:
        if "__dataclass_fields__" not in cls.__dict__:
            cls = dataclass(frozen=True)(cls)
        if "name" not in cls.__dict__:
            cls.name = name
        registry.add(Entry(name, cls, preset, paper))
        return cls

    return decorate
