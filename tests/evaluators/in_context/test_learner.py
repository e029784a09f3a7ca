"""In-context learning as a learner: seeds, odd sets and runs that fail alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from in_context_runs import MODEL, make_set, make_test, outcomes, scores_of, sentences  # noqa: E402
from tiny_language_models import FAMILIES, WORDS, save_tiny  # noqa: E402

from benchmark.core.catalogue import Catalogue  # noqa: E402
from benchmark.core.errors import InputError  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, build_learner  # noqa: E402
from benchmark.core.library import register_catalogue_learners  # noqa: E402
from evaluators.learners.in_context import InContext  # noqa: E402
from evaluators.prompting.language_model import held  # noqa: E402
from evaluators.prompting.pieces import continuation  # noqa: E402


def test_the_order_is_all_that_a_seed_draws(folders):
    folder, test = folders["gpt2"], make_test()
    sets = [make_set([0, 1, 0, 1, 1], seed=s) for s in (0, 1)]
    runs = [Run(s, seed) for s in sets for seed in (1, 2)]
    together = [o.scores for o in outcomes(folder, runs, test)]
    for run, scores in zip(runs, together, strict=True):
        np.testing.assert_array_equal(scores, scores_of(folder, run.distilled, test, run.seed))
    assert not np.allclose(together[0], together[1])
    one = make_set([1])
    np.testing.assert_array_equal(
        scores_of(folder, one, test, seed=1), scores_of(folder, one, test, seed=2)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_embarrassing_sets(folders, family):
    folder = folders[family]
    long = " ".join(sentences(5000, 3, 1, 2))
    assert len(long.split()) == 5000
    test = make_test(sentence=[*sentences(5, 1), long, "a", *sentences(3, 2)])
    examples = {
        "one row": make_set([1]),
        "one class": make_set([0] * 6),
        "long rows": make_set([0, 1], sentence=[long, long]),
        "long and short": make_set([0, 1, 1], sentence=["so dull", long, "a film"]),
        "too many": make_set([0, 1] * 100),
    }
    for distilled in examples.values():
        scores_of(folder, distilled, test)
        scores_of(folder, distilled, test, max_context=10_000)  # the model's own maximum counts


@pytest.mark.parametrize("family", FAMILIES)
def test_77_classes_at_dpc_5(folders, family):
    """The label tree is longer than the room behind the longest row, but no path in it is."""
    names = [f"{a}_{b}_card" for a in WORDS[:7] for b in WORDS[7:18]]
    assert len(names) == 77
    test = make_test(names, sentence=[*sentences(4, 1), " ".join(sentences(40, 2))])
    distilled = make_set(np.repeat(np.arange(77), 5), names)
    scores = scores_of(folders[family], distilled, test)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-6)


def test_soft_labels_are_read_as_their_most_probable_class(folders):
    texts, test = sentences(3, 4), make_test()
    hard = make_set([1, 0, 1], sentence=texts)
    soft = make_set([[0.3, 0.7], [0.9, 0.1], [0.4, 0.6]], sentence=texts)
    assert InContext(**MODEL).refuses(soft) is None
    np.testing.assert_array_equal(
        scores_of(folders["gpt2"], hard, test), scores_of(folders["gpt2"], soft, test)
    )


def test_a_run_that_is_not_finite_fails_alone(tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    model = held(folder, "float32")
    (token,) = continuation(model.tokenizer, "a", " poison")
    with torch.no_grad():
        model.model.transformer.wte.weight[token] = torch.nan
    sets = [make_set([0, 1]), make_set([0, 1], sentence=["the poison", "a"]), make_set([1, 1])]
    good, bad, next_one = outcomes(folder, [Run(s, 0) for s in sets], make_test())
    assert good.error is None
    assert next_one.error is None
    assert bad.scores is None
    assert "not finite" in bad.error


def test_a_run_that_raises_fails_alone(folders):
    sets = [make_set([0, 1], sentence=["a \ud800 film", "so"]), make_set([0, 1])]
    first, second = outcomes(folders["gpt2"], [Run(s, 0) for s in sets], make_test())
    assert first.error
    assert second.error is None


def test_it_is_registered_with_presets_and_checks_its_parameters():
    register_catalogue_learners(Catalogue.load(()))
    assert LEARNERS.build("in-context").models == ("smollm2-135m",)
    assert build_learner("in-context-opt-2.7b").models == ("opt-2.7b",)
    assert build_learner("in-context-gpt2@max_context=512").params() == {
        "model": "gpt2", "max_context": 512, "precision": "bfloat16",
    }  # fmt: skip
    with pytest.raises(InputError, match="max_context"):
        build_learner("in-context@max_context=3")
