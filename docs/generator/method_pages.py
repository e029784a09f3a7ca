"""A page per method adapter, written from the registry, docstrings, equations and measured rows.

Nothing on these pages is typed by hand but the equation, so they cannot drift from the code.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pandas as pd
from costs import measured
from docstrings import Docstring

from benchmark.core.errors import InputError
from benchmark.core.method import METHODS, Generator, Method, Selector

HERE = Path(__file__).parent


def pages(results: Path) -> dict[str, str]:
    """Return the markdown of each page by its name, `index` among them.

    Raises `InputError` for an equation of a method that is not there.
    """
    adapters = _adapters()
    equations = tomllib.loads((HERE / "equations.toml").read_text(encoding="utf-8"))
    odd = set(equations) - set(adapters)
    if odd:
        raise InputError(f"equations.toml: there is no method {', '.join(sorted(odd))}")
    costs = measured(results)
    made = {
        name: _page(name, variants, equations.get(name, {}), costs)
        for name, variants in adapters.items()
    }
    return {"index": _index(adapters, equations), **made}


def _adapters() -> dict[str, list[str]]:
    """Built-in adapters: the name of each class to all names it is registered under.

    A plug-in that happens to be installed, or a class that a program registered for itself, has
    no place in the project's own pages.
    """
    groups: dict[type, list[str]] = {}
    for name in METHODS.names():
        if METHODS.entry(name).plugin:
            continue
        cls = METHODS.cls(name)
        if cls.__module__.startswith(f"{METHODS.package}."):
            groups.setdefault(cls, []).append(name)
    return {
        min(names, key=lambda name: (len(METHODS.entry(name).preset), len(name))): names
        for names in groups.values()
    }


def _index(adapters: Mapping[str, list[str]], equations: Mapping[str, Mapping[str, str]]) -> str:
    lines = [
        "# Methods",
        "",
        "Each page says what the method does, by which equation, with which parameters, at what",
        "measured cost, and how it differs from its paper. The pages are written from the code.",
        "",
        "| method | what | makes | variants |",
        "|:---|:---|:---|:---|",
    ]
    for name in sorted(adapters):
        cls, variants = METHODS.cls(name), [other for other in adapters[name] if other != name]
        shown = " ".join(f"`{variant}`" for variant in variants)
        makes = _makes(cls, equations.get(name, {}))
        summary = _cell(Docstring.of(cls).summary)
        lines.append(f"| [`{name}`]({name}.md) | {summary} | {makes} | {shown} |")
    return "\n".join(lines) + "\n"


def _page(name: str, variants: list[str], equation: Mapping[str, str], costs: pd.DataFrame) -> str:
    cls = METHODS.cls(name)
    parts = Docstring.of(cls)
    lines = [f"# {name}", "", parts.summary, "", "## Idea", ""]
    lines += _paragraphs(parts.idea or (parts.summary,))
    lines += ["## Equation", "", *_equation(parts, equation), ""]
    lines += ["## Names and tags", "", *_tags(name, equation), "", *_variants(name, variants), ""]
    lines += ["## Parameters", "", *_parameters(name, cls), ""]
    lines += ["## Cost", "", *_cost(variants, costs), ""]
    lines += ["## Deviations from the paper", ""]
    lines += _paragraphs(parts.deviations or (_no_deviations(name),))
    lines += ["## Reference", ""]
    lines += [f"* {text}" for text in parts.references or _inherited(cls)] or ["None: a control."]
    lines += ["", f"Adapter: `{METHODS.origin(name)}`, version {cls.version}."]
    return "\n".join(lines) + "\n"


def _equation(parts: Docstring, given: Mapping[str, str]) -> list[str]:
    text = parts.equation or given.get("equation", "").strip("\n")
    if not text:
        return ["None is given: see the code."]
    where = f"With {given['where']}." if "where" in given else ""
    return ["```text", text, "```", "", where]


def _no_deviations(name: str) -> str:
    if METHODS.entry(name).paper:
        return "None beyond what is said above."
    return "There is no paper whose results this is to reproduce."


def _inherited(cls: type) -> tuple[str, ...]:
    """References of the adapter that this one builds on."""
    return next((found for base in cls.__mro__ if (found := Docstring.of(base).references)), ())


def _makes(cls: type[Method], equation: Mapping[str, str]) -> str:
    if cls.level == "embedding":
        return "embeddings"
    if issubclass(cls, Selector):
        return "real rows"
    return equation.get("makes") or ("new texts" if issubclass(cls, Generator) else "texts")


def _tags(name: str, equation: Mapping[str, str]) -> list[str]:
    built, cls = METHODS.build(name), METHODS.cls(name)
    budget = {
        "exact": "as many rows as the budget says",
        "multiple": "a multiple of the budget",
        "none": "all rows, whatever the budget",
    }[cls.budget]
    if cls.budget == "none":
        sets = "there is one set a task"
    elif cls.deterministic:
        sets = "deterministic: its sets come from resampled pools"
    else:
        sets = "random: every set is drawn anew"
    learns = "once per task for all budgets and sets," if built.needs_preparation else "nothing"
    writer = "a" if built.uses_external_lm else "no"
    return [
        f"* makes {_makes(cls, equation)}: {budget}",
        f"* {sets}",
        f"* learns {learns} beforehand",
        f"* {writer} pretrained language model writes its texts",
    ]


def _variants(name: str, variants: list[str]) -> list[str]:
    if len(variants) == 1:
        return []
    lines = ["| name | sets |", "|:---|:---|"]
    for variant in sorted(variants, key=lambda other: (other != name, other)):
        preset = METHODS.entry(variant).preset
        shown = ", ".join(f"`{key}={value}`" for key, value in preset.items())
        lines.append(f"| `{variant}` | {shown or 'the defaults below'} |")
    return lines


def _parameters(name: str, cls: type[Method]) -> list[str]:
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts |= Docstring.of(base).parameters
    lines = ["| parameter | default | type | what |", "|:---|:---|:---|:---|"]
    for field in fields(cls):  # type: ignore[arg-type]
        given = field.default
        default = "" if given is MISSING else "empty" if given in ("", ()) else f"`{given}`"
        what = _cell(texts.get(field.name, ""))
        lines.append(f"| `{field.name}` | {default} | {_type(field.type)} | {what} |")
    if len(lines) == 2:
        return ["It has none."]
    return [*lines, "", f"Set one with `--set {name}.PARAMETER=VALUE`."]


def _type(hint: Any) -> str:
    """An annotation for a reader: the choices of a literal, else its own words."""
    choices = re.fullmatch(r"Literal\[(.+)\]", str(hint))
    if choices is None:
        return _cell(str(hint))
    return " or ".join(f"`{choice.strip(chr(39))}`" for choice in choices[1].split(", "))


def _cost(variants: list[str], costs: pd.DataFrame) -> list[str]:
    known = costs[costs["method"].isin(variants)]
    if known.empty:
        return ["No published rows have it, so nothing is claimed here."]
    lines = [
        "Medians over the sets of the published rows; times hold for the device named.",
        "",
        "| method | suite | tasks | DPC | sets | learned once | one set | rows | words | device |",
        "|:---|:---|---:|---:|---:|---:|---:|---:|---:|:---|",
    ]
    for row in known.to_dict("records"):
        cells = (
            f"`{row['method']}`", row["suite"], row["tasks"], row["dpc"], row["sets"],
            _duration(row["learned"]), _duration(row["seconds"]), f"{row['rows']:,.0f}",
            f"{row['words']:,.0f}", row["device"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _duration(seconds: float) -> str:
    if pd.isna(seconds):
        return "—"
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _paragraphs(paragraphs: Any) -> list[str]:
    return [line for paragraph in paragraphs for line in (paragraph, "")]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
