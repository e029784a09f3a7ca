"""What releases with differential privacy cost together, and the noise that keeps to a budget."""

from __future__ import annotations

import functools
import importlib.util
import math

from benchmark.core.errors import InputError, UnavailableError

NOISE_PRECISION, LEAST_NOISE, MOST_NOISE = 5e-3, 1e-2, 2.0**12
MORE_ORDERS = tuple(range(64, 1025, 64))
"""Orders of Rényi's divergence beyond Opacus's own, for which small budgets are tighter."""


def require_accountant() -> None:
    """Raise `UnavailableError` where the accountant's library is not installed."""
    if importlib.util.find_spec("opacus") is None:
        raise UnavailableError(
            "differential privacy needs the package opacus, which is not installed; "
            "pip install -c constraints.txt -e '.[dp]'"
        )


@functools.lru_cache(maxsize=256)
def spent(noise: float, rate: float, releases: int, delta: float) -> float:
    """The epsilon that so many releases of one class come to, by Rényi accounting (Opacus)."""
    require_accountant()
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, rate, releases)]
    orders = [*RDPAccountant.DEFAULT_ALPHAS, *MORE_ORDERS]
    return float(accountant.get_epsilon(delta, alphas=orders))


def least_epsilon(delta: float) -> float:
    """What the accountant charges for releases that are nothing but noise.

    Rényi's divergence is then 0 at every order, and what is left is the price of turning it into
    epsilon and delta (Balle et al., AISTATS 2020, Theorem 21), which falls with the order up to
    1 / delta: the largest order decides.
    """
    order = MORE_ORDERS[-1]
    if delta * order >= 1:
        return 0.0
    return -math.log(delta * order) / (order - 1) + math.log1p(-1 / order)


def too_small(epsilon: float, delta: float, least: float) -> str:
    """What to tell who asks for an epsilon out of reach; `least` is what can be reached."""
    rounded = math.ceil(least * 1.01 * 1e6) / 1e6
    return (
        f"epsilon is {epsilon}, which no noise reaches at delta {delta}: give at least {rounded}, "
        "or a larger delta"
    )


@functools.lru_cache
def noise_for(epsilon: float, delta: float, rate: float, releases: int) -> float:
    """The least noise, to half a percent, with which all releases cost at most `epsilon`.

    Raises `InputError` for an epsilon that the accountant can't reach with any noise, or not with
    noise of 4,096 times the clipping norm.
    """

    def is_enough(noise: float) -> bool:
        return spent(noise, rate, releases, delta) <= epsilon

    if epsilon <= least_epsilon(delta):
        raise InputError(too_small(epsilon, delta, least_epsilon(delta)))
    high = 1.0
    while not is_enough(high):
        if high >= MOST_NOISE:
            raise InputError(too_small(epsilon, delta, spent(high, rate, releases, delta)))
        high *= 2
    while high > LEAST_NOISE and is_enough(high / 2):
        high /= 2
    low = high / 2
    while high - low > NOISE_PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
