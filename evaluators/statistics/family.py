"""The star: every method of one task x learner x DPC against the reference, Holm-corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from evaluators.statistics.sets import (
    Scores,
    difference_of,
    runs_by_set,
    set_means,
    variance,
)
from evaluators.statistics.welch import welch_pairs

ALPHA = 0.05
"""Family-wise error rate of stars and ranks, and level of the detectable difference."""

POWER = 0.8
"""Power at which the smallest detectable difference is quoted."""


@dataclass(frozen=True)
class Comparison:
    """One method against the reference of its family.

    Attributes:
        difference: mean of set means, method minus reference; ci_low, ci_high: its 95% Welch
            interval, not corrected for the family.
        p_sets: Welch on set means, raw. p_runs: Welch on pooled runs, raw. p_holm: `p_sets`
            Holm-corrected over the family; NaN where no set-level test could be made.
        star: "*" if p_holm < 0.05 and the method is better than the reference, else "". A star
            never marks a method that is significantly worse.
        direction: "better" or "worse" if p_holm < 0.05, else "".
        hedges_g, probability_of_improvement, detectable_difference: see the functions.
        untested: why there is no set-level test; "" where there is one.
    """

    difference: float
    ci_low: float
    ci_high: float
    p_sets: float
    p_runs: float
    p_holm: float
    star: str
    direction: str
    hedges_g: float
    probability_of_improvement: float
    detectable_difference: float
    untested: str


def compare_family(cells: Mapping[str, Scores], reference: str) -> dict[str, Comparison]:
    """Compare each member of a family with the reference.

    Args:
        cells: scores of every method on one task, learner and DPC, the reference among them.
            Leave out methods without runs.
        reference: the name that the others are compared with.

    Returns:
        One comparison per other member, in the order of `cells`. Members with fewer than 2 sets
        (the full-data row) get NaN tests and do not count in the Holm family.

    Raises:
        ValueError: the reference is not in `cells`, or a cell is malformed (it is named).
    """
    if reference not in cells:
        raise ValueError(f"reference {reference!r} is not among {', '.join(cells) or 'no cells'}")
    means = means_by_name(cells)
    ref = means[reference]
    others = [name for name in cells if name != reference]
    by_sets = welch_pairs([means[name] for name in others], [ref] * len(others))
    tests = dict(zip(others, by_sets, strict=True))
    runs = {name: np.concatenate(runs_by_set(scores)) for name, scores in cells.items()}
    pooled = [runs[reference]] * len(others)
    by_runs = welch_pairs([runs[name] for name in others], pooled)
    p_runs = {name: test.p for name, test in zip(others, by_runs, strict=True)}
    corrected = holm([tests[name].p for name in others])

    family = {}
    for name, p_holm in zip(others, corrected.tolist(), strict=True):
        test = tests[name]
        direction = ""
        if p_holm < ALPHA:
            direction = "better" if test.difference > 0 else "worse"
        single = [n for n in (name, reference) if len(means[n]) < 2]
        family[name] = Comparison(
            difference=test.difference,
            ci_low=test.ci_low,
            ci_high=test.ci_high,
            p_sets=test.p,
            p_runs=p_runs[name],
            p_holm=p_holm,
            star="*" if direction == "better" else "",
            direction=direction,
            hedges_g=hedges_g(means[name], ref),
            probability_of_improvement=probability_of_improvement(means[name], ref),
            detectable_difference=detectable_difference(means[name], ref),
            untested=f"only one set: {', '.join(single)}" if single else "",
        )
    return family


def means_by_name(cells: Mapping[str, Scores]) -> dict[str, np.ndarray]:
    """Return the set means of each cell; an error says which cell it comes from."""
    means = {}
    for name, scores in cells.items():
        try:
            means[name] = set_means(scores)
        except ValueError as error:
            raise ValueError(f"cell {name!r}: {error}") from error
    return means


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return Holm-corrected p-values, shape (n,), in the order given.

    Step-down: the i-th smallest of m is multiplied by m - i + 1, kept monotone, cut at 1. NaN (no
    test was made) stays NaN and does not count in m: a test that was not made can't be wrong.

    Raises:
        ValueError: not 1-D, or a value outside [0, 1].

    Source: Holm 1979, by statsmodels.
    """
    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1:
        raise ValueError(f"p-values must be 1-D, not {p_values.ndim}-D")
    tested = ~np.isnan(p_values)
    if ((p_values[tested] < 0) | (p_values[tested] > 1)).any():
        raise ValueError("p-values must lie in [0, 1]")
    corrected = p_values.copy()
    if tested.sum() > 1:  # a single test needs no correction
        from statsmodels.stats.multitest import multipletests

        corrected[tested] = multipletests(p_values[tested], method="holm")[1]
    return corrected


def hedges_g(a: np.ndarray, b: np.ndarray) -> float:
    """Return the standardised difference of two samples of set means, corrected for small n.

    ``g = J (mean a - mean b) / s_pooled``, ``J = gamma(v/2) / (sqrt(v/2) gamma((v-1)/2))`` with
    v = n_a + n_b - 2. NaN with fewer than 2 sets in either; where neither varies, 0 for equal
    means and +-inf for different ones.

    Source: Hedges 1981 (the exact J).
    """
    from scipy.special import gammaln

    if min(len(a), len(b)) < 2:
        return float("nan")
    difference = difference_of(a.mean(), b.mean()).item()
    spread = _pooled_std(a, b)
    if spread == 0:
        return float(np.copysign(np.inf, difference)) if difference else 0.0
    half = (len(a) + len(b) - 2) / 2
    correction = np.exp(gammaln(half) - gammaln(half - 0.5)) / np.sqrt(half)
    return float(correction * difference / spread)


def probability_of_improvement(a: np.ndarray, b: np.ndarray) -> float:
    """Return P(A > B) + P(A = B) / 2 for one random set of each, the Mann-Whitney U / (n_a n_b).

    0.5 means no difference. Means that differ by float noise are ties. NaN with fewer than 2 sets
    in either: against one set it could hardly be other than 0 or 1, which would read as certainty.

    Source: Mann & Whitney 1947; as a benchmark figure, Agarwal et al. 2021.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    signs = np.sign(difference_of(a[:, None], b[None, :]))
    return float((signs + 1).mean() / 2)


def detectable_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the smallest true difference that this many sets would find 80% of the time.

    Two-sided t-test at 0.05, before Holm, from the pooled variance of the set means: a cell with
    no star and a large value here was not a fair chance to earn one. NaN with fewer than 2 sets in
    either, 0 where neither varies.

    Source: noncentral t, by statsmodels' TTestIndPower.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    return _detectable_effect(len(a), len(b)) * _pooled_std(a, b)


@lru_cache(maxsize=256)
def _detectable_effect(n_a: int, n_b: int) -> float:
    """Return the detectable difference in units of the standard deviation."""
    from statsmodels.stats.power import TTestIndPower

    effect = TTestIndPower().solve_power(nobs1=n_a, ratio=n_b / n_a, alpha=ALPHA, power=POWER)
    return float(np.squeeze(effect))


def _pooled_std(a: np.ndarray, b: np.ndarray) -> float:
    n_a, n_b = len(a), len(b)
    pooled = ((n_a - 1) * variance(a) + (n_b - 1) * variance(b)) / (n_a + n_b - 2)
    return float(np.sqrt(pooled))
