"""Recipes of the fine-tuned learner: names for numbers, and the panel of all of them."""

from __future__ import annotations

import pytest

from benchmark.core.errors import InputError
from benchmark.core.finetune.recipe import LinearRecipe
from benchmark.core.learner import build_learner, expand_panels
from benchmark.core.library import register_catalogue_learners


@pytest.fixture(autouse=True)
def _catalogue():
    from benchmark.core.catalogue import Catalogue

    register_catalogue_learners(Catalogue.load())


def numbers(name: str) -> tuple:
    params = build_learner(name).params()
    return params["steps"], params["learning_rate"], params["full_learning_rate"]


def test_a_recipe_sets_what_was_not_written_out() -> None:
    assert numbers("minilm") == numbers("minilm@recipe=dilm") == (200, 1e-4, 2e-5)
    assert numbers("minilm@recipe=short") == (50, 1e-4, 2e-5)
    assert numbers("minilm@recipe=long") == (1000, 2e-5, 2e-5)
    assert numbers("minilm@recipe=frozen") == (200, 1e-2, 1e-2)
    assert numbers("minilm@recipe=long@steps=400") == (400, 2e-5, 2e-5)
    assert numbers("minilm@learning_rate=3e-5@recipe=short") == (50, 3e-5, 2e-5)


def test_the_default_recipe_adds_nothing_to_what_keys_are_made_of() -> None:
    plain = build_learner("minilm").params()
    assert plain == {
        "model": "minilm", "steps": 200, "learning_rate": 1e-4, "warmup": 0.5,
        "weight_decay": 0.01, "clip": 1.0, "dropout": 0.1, "batch_size": 64, "max_length": 512,
        "precision": "bfloat16", "full_threshold": 2000, "full_epochs": 3,
        "full_learning_rate": 2e-5, "engine": "auto",
    }  # fmt: skip
    assert build_learner("minilm@recipe=dilm").params() == plain
    assert build_learner("minilm@recipe=frozen").params()["recipe"] == "frozen"


@pytest.mark.parametrize("name", ["minilm@recipe=long", "minilm@recipe=frozen@steps=7"])
def test_a_learner_is_rebuilt_from_its_name_and_parameters(name: str) -> None:
    learner = build_learner(name)
    assert build_learner(name, learner.params()) == learner


def test_the_panel_stands_for_all_recipes() -> None:
    four = [f"minilm@recipe={name}" for name in ("dilm", "short", "long", "frozen")]
    assert list(expand_panels(["minilm@recipe=panel"])) == four
    assert list(expand_panels(["tfidf-lr", "minilm@recipe=panel"])) == ["tfidf-lr", *four]
    assert expand_panels(["minilm@recipe=panel@steps=9"])[1] == "minilm@recipe=short@steps=9"
    assert list(expand_panels(["minilm@recipe=short", "minilm@recipe=panel"])) == [
        "minilm@recipe=short", *four[:1], *four[2:]
    ]  # fmt: skip


def test_a_panel_of_a_learner_without_recipes_is_refused() -> None:
    with pytest.raises(InputError, match="tfidf-lr has no recipes"):
        expand_panels(["tfidf-lr@recipe=panel"])
    with pytest.raises(InputError, match="unknown learner 'minilmm'"):
        expand_panels(["minilmm@recipe=panel"])
    with pytest.raises(InputError, match="'quick' is none of 'dilm', 'short', 'long', 'frozen'"):
        build_learner("minilm@recipe=quick")


def test_the_recipe_of_dallme_is_epochs_and_linear() -> None:
    learner = build_learner("distilbert-dallme")
    recipe = learner.training(20)
    assert (recipe.steps, recipe.batch_size, learner.max_length) == (20 * 2, 8, 128)
    assert [recipe.rate(step) for step in (0, 20, 39)] == pytest.approx([1e-4, 5e-5, 1e-4 / 40])
    assert learner.training(5).steps == 20
    assert learner.training(2400).steps == 20 * 300
    full = build_learner("transformer-epochs", {"model": "distilbert"}).training(2400)
    assert (full.steps, full.learning_rate) == (3 * 300, 2e-5)
    assert full.rate(450) == pytest.approx(1e-5)
    assert build_learner("distilbert-dallme@steps=7").training(20).steps == 7
    again = build_learner("distilbert-dallme", learner.params())
    assert again == learner
    assert learner.params()["recipe"] == "dallme"
    with pytest.raises(InputError, match="epochs is 0"):
        build_learner("distilbert-dallme@epochs=0")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("distilbert-dallme", "distilbert"), ("minilm-dallme", "minilm"),
        ("t5-base", "t5-base"), ("t5-base-lora-8", "t5-base"), ("t5-base-lora-16", "t5-base"),
        ("text-cnn-dallme", "glove-50d"), ("text-rnn-dallme", "glove-50d"),
    ],
)  # fmt: skip
def test_the_catalogue_has_the_grid_and_the_epochs_of_dallme(name: str, model: str) -> None:
    learner = build_learner(name)
    assert learner.models == (model,)
    assert learner.rates == (1e-5, 1e-4, 5e-4, 5e-3)
    params = learner.params()
    assert (params["epochs"], params.get("full_epochs", 20), params["max_length"]) == (20, 20, 128)
    assert params["rates"] == list(learner.rates)
    assert build_learner(name, params) == learner


def test_the_suite_of_dallme_picks_every_rate() -> None:
    from benchmark.core.catalogue import Catalogue

    names = [name for name in Catalogue.load().suite("dallme").learners if "tfidf" not in name]
    assert len(names) == 4
    assert all(build_learner(name).rates for name in names)


def test_a_linear_schedule_is_that_of_the_library() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    recipe = LinearRecipe(steps=50, learning_rate=3e-4, warmup=0.2)
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    schedule = transformers.get_linear_schedule_with_warmup(optimiser, 10, 50)
    for step in range(50):
        assert recipe.rate(step) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        schedule.step()
