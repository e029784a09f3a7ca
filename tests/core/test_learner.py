"""Variants of learners: parsed from their name, with the parameters of the base learner."""

from __future__ import annotations

import pytest

from benchmark.core.errors import InputError
from benchmark.core.learner import build_learner


def test_a_variant_keeps_its_full_name_and_sets_its_parameters() -> None:
    variant = build_learner("probe@C=10@encoder=mpnet")
    assert variant.name == "probe@C=10@encoder=mpnet"
    assert variant.params() == {"C": 10.0, "encoder": "mpnet"}
    assert build_learner("probe").params()["C"] == 1.0


def test_a_variant_is_rebuilt_from_its_name_and_parameters() -> None:
    variant = build_learner("probe@C=10")
    again = build_learner(variant.name, variant.params())
    assert (again.name, again.params()) == (variant.name, variant.params())


@pytest.mark.parametrize("name", ["probe@", "probe@C", "probe@=1", "probe@C=", "probe@C=1@C=2"])
def test_a_malformed_variant_is_refused_with_the_form_to_write(name: str) -> None:
    with pytest.raises(InputError, match="probe@key=value"):
        build_learner(name)


@pytest.mark.parametrize(("name", "message"), [("prob@C=1", "probe"), ("probe@c=1", "C")])
def test_an_unknown_name_or_parameter_gets_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_learner(name)
