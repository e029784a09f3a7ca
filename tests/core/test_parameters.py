"""Parameters are converted by their annotation, or refused by name."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import InputError
from benchmark.core.parameters import build, convert, parameters_of, require_positive

quick = settings(max_examples=150, derandomize=True, deadline=None, database=None)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=4,
)
HINTS = (
    int,
    float,
    str,
    bool,
    int | None,
    float | str,
    tuple[int, ...],
    tuple[str, ...] | None,
    Literal["a", "b"],
)


@dataclass(frozen=True)
class Example:
    steps: int = 5
    rate: float = 0.1
    encoder: str | None = None
    layers: tuple[int, ...] = (1, 2)
    mode: Literal["fast", "slow"] = "fast"
    verbose: bool = False
    tag = "not a parameter"

    def __post_init__(self):
        if self.steps < 0:
            raise ValueError("steps is negative")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("5", int, 5),
        (5.0, int, 5),
        ("0.5", float, 0.5),
        (1, float, 1.0),
        ("yes", bool, True),
        ("False", bool, False),
        ("None", int | None, None),
        ("none", str | None, None),
        ("7", int | None, 7),
        ("1+2", tuple[int, ...], (1, 2)),
        ([1, "2"], tuple[int, ...], (1, 2)),
        ("slow", Literal["fast", "slow"], "slow"),
        ("2", Literal[1, 2], 2),
        (3, str, "3"),
    ],
)
def test_converted(value, hint, expected):
    converted = convert(value, hint, "m.p")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("five", int, "'five' is no whole number"),
        (0.5, int, "no whole number"),
        (True, int, "no whole number"),
        ("", float, "no number"),
        ("nan", float, "no number"),
        (float("inf"), float, "no number"),
        ("maybe", bool, "neither true nor false"),
        ("x", int | None, "none of whole number"),
        ("1+b", tuple[int, ...], "'b' is no whole number"),
        (5, tuple[int, ...], "no list"),
        ("medium", Literal["fast", "slow"], "'fast', 'slow'"),
        ([], str, "no text"),
    ],
)
def test_refused(value, hint, message):
    with pytest.raises(InputError, match=message) as caught:
        convert(value, hint, "method.param")
    assert str(caught.value).startswith("method.param: ")


@quick
@given(json_values, st.sampled_from(HINTS))
def test_anything_is_converted_once_and_for_all_or_refused(value, hint):
    try:
        converted = convert(value, hint, "x")
    except InputError:
        return
    assert convert(converted, hint, "x") == converted


def test_built_and_read_back():
    made = build(Example, "example", {"steps": "7", "layers": "3+4", "encoder": "minilm"})
    assert made == Example(7, 0.1, "minilm", (3, 4))
    params = parameters_of(made)
    assert params["layers"] == [3, 4]
    assert "tag" not in params
    assert build(Example, "example", params) == made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stpes": 3}, "example has no parameter 'stpes'. Did you mean 'steps'?"),
        ({"tag": 3}, "example has no parameter 'tag'"),
        ({"steps": "x"}, "example.steps: 'x' is no whole number"),
        ({"steps": -1}, "example: steps is negative"),
    ],
)
def test_a_wrong_parameter_names_adapter_and_parameter(given, message):
    with pytest.raises(InputError) as caught:
        build(Example, "example", given)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_must_be_positive_is_a_number_above_zero(value):
    require_positive(SimpleNamespace(rate=1e-9), "rate")
    with pytest.raises(ValueError, match=r"rate is .*; it must be positive"):
        require_positive(SimpleNamespace(rate=value), "rate")
