"""One registry class for methods, learners and executors.

Built-in adapters are found by importing every module of a package once; third parties add theirs
through entry points as lazy `module:attr` targets. A broken plug-in warns, a collision is an error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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


class Registry(Generic[T]):
    """Names to adapter classes of one kind.

    Parameters
    ----------
    kind : the word used in messages ("method").
    base : every registered class must be a subclass.
    package : its modules are imported on first use, so that each file registers itself.
    group : entry-point group for third-party packages.
    """

    def __init__(self, kind: str, base: type[T], package: str | None, group: str | None) -> None:
        self.kind = kind
        self.base = base
        self.package = package
        self.group = group
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def add(self, entry: Entry) -> None:
        """Register an entry; a second target under one name is an error."""
        self._check_base(entry)
        old = self._entries.get(entry.name)
        if old is not None and not _is_same(old.target, entry.target):
            raise InputError(
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
                importlib.import_module(module.name)
        for point in importlib.metadata.entry_points(group=self.group) if self.group else ():
            try:
                self.add(Entry(point.name, point.value, plugin=True))
            except Exception as error:
                warnings.warn(f"plug-in {point.value!r} was left out: {error}", stacklevel=2)


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
