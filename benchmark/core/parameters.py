"""Parameters of adapters: dataclass fields, read back as data and set from text.

Methods and learners are dataclasses in the manner of scikit-learn's estimators: the constructor
only stores its arguments. What is annotated is a parameter, what is not is a tag.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from benchmark.core.errors import InputError, did_you_mean


def parameters_of(adapter: Any) -> dict[str, Any]:
    """Return the parameters of an adapter as JSON-able data (tuples become lists)."""
    values = {field.name: getattr(adapter, field.name) for field in dataclasses.fields(adapter)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def build(cls: type, name: str, given: Mapping[str, Any]) -> Any:
    """Construct `cls` with checked parameters; texts are converted by the field's annotation.

    Raises `InputError` naming the adapter and the parameter.
    """
    values = {key: check_parameter(cls, name, key, value) for key, value in given.items()}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error


def require_at_least(adapter: Any, least: float, *names: str) -> None:
    """For a `__post_init__`: raise `ValueError` naming a parameter that is less than `least`."""
    for name in names:
        if getattr(adapter, name) < least:
            raise ValueError(f"{name} is {getattr(adapter, name)}; it must be {least} or more")


def require_positive(adapter: Any, *names: str) -> None:
    """For a `__post_init__`: raise `ValueError` naming a parameter that is no number above 0.

    Of a parameter with many numbers, each has to be.
    """
    for name in names:
        value = getattr(adapter, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is None or not 0 < number < float("inf"):
                has = "has" if isinstance(value, tuple) else "is"
                raise ValueError(f"{name} {has} {number}; it must be positive")


def check_parameter(cls: type, name: str, key: str, value: Any) -> Any:
    """Convert one parameter of `cls`; raises `InputError` naming the adapter and the parameter."""
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    if key not in known:
        raise InputError(f"{name} has no parameter {key!r}.{did_you_mean(key, known)}")
    return convert(value, typing.get_type_hints(cls)[key], f"{name}.{key}")


def convert(value: Any, hint: Any, where: str) -> Any:
    """Convert `value` to the annotated type, or raise `InputError` saying what was expected."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if type(None) in options and value in (None, "none", "None"):
            return None
        for option in options:
            if option is not type(None):
                try:
                    return convert(value, option, where)
                except InputError:
                    continue
        raise InputError(f"{where}: {value!r} is none of {_say(hint)}")
    if origin is typing.Literal:
        for choice in typing.get_args(hint):
            if value == choice or str(value) == str(choice):
                return choice
        raise InputError(f"{where}: {value!r} is none of {_say(hint)}")
    if origin is tuple:
        parts = value.split("+") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise InputError(f"{where}: {value!r} is no list")
        item = typing.get_args(hint)[0]
        return tuple(convert(part, item, where) for part in parts)
    if hint is bool:
        words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        if isinstance(value, bool):
            return value
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise InputError(f"{where}: {value!r} is neither true nor false")
    if hint in (int, float, str):
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InputError(f"{where}: {value!r} is no {_say(hint)}")
        try:
            if hint is int and isinstance(value, float) and value != int(value):
                raise ValueError
            converted = hint(value)
            if hint is float and not math.isfinite(converted):
                raise ValueError
            return converted
        except (ValueError, OverflowError):
            raise InputError(f"{where}: {value!r} is no {_say(hint)}") from None
    return value


def _say(hint: Any) -> str:
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    options = typing.get_args(hint)
    if options:
        return ", ".join(names.get(option, repr(option)) for option in options)
    return names.get(hint, str(hint))
