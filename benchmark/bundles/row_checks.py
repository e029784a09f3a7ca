"""What the rows of a bundle may say at all: names, budgets, costs, findings. No data is needed.

Whatever a page prints is held to a form here, so that no bundle can look like another one's
method, break a page, or hide a figure behind an impossible one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.keys import canonical_json
from leaderboards.preparation import AFTER, BEFORE, CHANGE, FOUND, HIGH, LOW, PHASE
from leaderboards.rows import COSTS, RARE, parse

NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
NAME_RULE = "names are of a-z, 0-9, '.', '_', '+' and '-', 64 at most"
LEARNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(@[a-z_]+=[A-Za-z0-9._+-]{1,64}){0,8}")
DPC = re.compile(r"[0-9][0-9.e+]*")
FINDING = re.compile(rf"(prepare_seconds|({PHASE}|{FOUND})[a-z0-9_]{{1,80}})")
KEY = re.compile(r"[0-9a-f]{40}")
DEVICE = re.compile(r"[ -~]{0,200}")

LONGEST_PARAMS = 4000
LAST_MOMENT = 4_102_444_800
"""The year 2100 in Unix seconds."""

LEAST = {"perplexity": 1.0, "epsilon": 0.0, "delta": 0.0, "lm_tokens": 0.0}


def check_rows(rows: pd.DataFrame) -> list[str]:
    """Return what stands in the rows that can stand in none."""
    return [*_names(rows), *_texts(rows), *_numbers(rows), *_preparations(rows)]


def is_dpc(text: str) -> bool:
    """Whether a DPC is written as the benchmark writes it: `10`, `4.75`; never `10.0` or ` 10`."""
    if not DPC.fullmatch(text):
        return False
    try:
        return text in (f"{float(text):.4g}", str(round(float(text))))
    except (ValueError, OverflowError):
        return False


def _names(rows: pd.DataFrame) -> Iterator[str]:
    for column, form in (("task", NAME), ("method", NAME), ("learner", LEARNER)):
        for name in sorted(set(rows[column])):
            if not form.fullmatch(name):
                yield f"{column} {name[:80]!r} is no name: {NAME_RULE}"
    for dpc in sorted(set(rows.dpc)):
        if not is_dpc(dpc):
            yield f"DPC {dpc[:80]!r} is not written as the benchmark writes it, as in 10 or 4.75"
    for params in sorted(set(rows.params)):
        if why := _fault_of_params(params):
            yield f"params {params[:80]!r}: {why}"


def _fault_of_params(text: str) -> str:
    if len(text) > LONGEST_PARAMS:
        return f"longer than {LONGEST_PARAMS:,} characters"
    if not text.isprintable():
        return "characters that cannot be printed"
    try:
        same = canonical_json(dict(parse(text))) == text
    except ValueError:  # an infinite number, which JSON does not have
        same = False
    return "" if same else "not canonical JSON"


def _texts(rows: pd.DataFrame) -> Iterator[str]:
    # A set's hash becomes a path, and so it is checked when the rows are read.
    for key in sorted({key for key in set(rows.set_key) if not KEY.fullmatch(key)})[:1]:
        yield f"set_key {key[:80]!r} is no key"
    for device in sorted(set(rows.device)):
        if not DEVICE.fullmatch(device):
            yield f"device {device[:80]!r}: up to 200 printable ASCII characters are wanted"
    for device, environment in sorted(set(zip(rows.device, rows.environment, strict=True))):
        if parse(environment).get("device", "") != device:
            yield f"device {device[:80]!r} is not the one that its environment names"
    for name in sorted(set(rows.perplexity_model) - {""}):
        if not NAME.fullmatch(name):
            yield f"perplexity_model {name[:80]!r} is no name"
    if rows.structural.any() or (rows.reason != "").any():
        yield "rows that are ok give a reason why they are not"


def _numbers(rows: pd.DataFrame) -> Iterator[str]:
    # Sets that were made elsewhere say nothing of what they cost.
    given = rows["info"].map({t: parse(t).get("submitted") is True for t in set(rows["info"])})
    for name in COSTS:
        values = rows[name].to_numpy()
        absent = np.isnan(values) & (given.to_numpy() if name == "distil_seconds" else False)
        yield from _outside(name, values[~absent], 0.0, math.inf)
    yield from _outside("created", rows.created.to_numpy(), 0.0, LAST_MOMENT)
    for name in RARE:
        values = rows[name].to_numpy()
        yield from _outside(name, values[~np.isnan(values)], LEAST[name], math.inf)
    if ((rows.perplexity_model == "") != rows.perplexity.isna()).any():
        yield "a perplexity without the model that read the sets, or the other way round"


def _outside(name: str, values: np.ndarray, least: float, limit: float) -> Iterator[str]:
    odd = values[~((values >= least) & (values < limit))]
    if len(odd):
        yield f"{name} is {odd[0]:g} in {len(odd):,} rows, which it cannot be"


def _preparations(rows: pd.DataFrame) -> Iterator[str]:
    for text in sorted(set(rows.preparation) - {""}):
        if why := fault_of_findings(parse(text)):
            yield f"preparation: {why}"


def fault_of_findings(found: Mapping[str, Any]) -> str:
    """Say what is wrong with what a method says that it learned, "" if nothing is."""
    for name, value in found.items():
        if not FINDING.fullmatch(name):
            return f"{name[:80]!r} is neither seconds of a phase nor a finding"
        if type(value) not in (int, float) or not math.isfinite(value):
            return f"{name} is {str(value)[:80]!r}, which is no number"
    for ends in ((BEFORE, AFTER, CHANGE), (LOW, HIGH)):
        for base in sorted(_bases(found, ends)):
            if lacking := [base + end for end in ends if base + end not in found]:
                return f"{lacking[0]} is not there, though others of its kind are"
    return ""


def _bases(names: Iterable[str], ends: tuple[str, ...]) -> set[str]:
    """What stands before the ends; `x_change_low` is no `x_change` with an end of its own."""
    return {
        name.removesuffix(end)
        for name in names
        for end in ends
        if name.startswith(FOUND) and name.endswith(end)
    }
