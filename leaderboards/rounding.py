"""Numbers as a page prints them, the same on every machine.

Each is rounded to ten digits before it is rounded for print: two machines may disagree in the last
bit of a mean, and without the first rounding 0.7085 would print as 70.9 on one of them and as 70.8
on the other.
"""

from __future__ import annotations

import math

NOTHING = "–"
"""What stands where there is no number."""


def steady(value: float) -> float:
    """Return the value at ten significant digits; NaN and infinity stay as they are."""
    return float(f"{value:.10g}")


def decimals(value: float, digits: int) -> str:
    """Return the value with this many decimals, never "-0.0"."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{steady(value):.{digits}f}"
    return text if float(text) else text.lstrip("-")


def percent(fraction: float) -> str:
    """Return 0.7083 as "70.8"."""
    return decimals(fraction * 100, 1)


def brief(value: float) -> str:
    """Return three significant digits, and whole numbers with commas from 1,000 on."""
    if not math.isfinite(value):
        return NOTHING
    value = steady(value)
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def power(value: float) -> str:
    """Return one significant digit and the power of ten, as 1e-05."""
    return f"{value:.0e}" if math.isfinite(value) else NOTHING


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, and "<0.0001" below that."""
    if not math.isfinite(p):
        return NOTHING
    return "<0.0001" if p < 1e-4 else f"{steady(p):.2g}"
