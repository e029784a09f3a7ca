"""A shared prefix gives the scores of the whole prompt, read plainly."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from in_context_runs import CLASSES, make_set, make_test, scores_of, sentences  # noqa: E402
from tiny_language_models import CONTEXT, FAMILIES  # noqa: E402

from evaluators.prompting.labels import label_words  # noqa: E402
from evaluators.prompting.language_model import held  # noqa: E402
from evaluators.prompting.pieces import continuation  # noqa: E402

BANKING = ("card", "card_payment", "card_arrival", "card_payment_fee", "transfer", "lost_card")


def plain_scores(folder, prompts, labels):
    """Score full prompts one at a time with the model's own logits, without any cache."""
    model = held(folder, "float32").model
    scores = np.zeros((len(prompts), len(labels)))
    for i, prompt in enumerate(prompts):
        for c, label in enumerate(labels):
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *label]])).logits[0, len(prompt) - 1 :]
            for depth, token in enumerate(label):
                following = sorted({x[depth] for x in labels if x[:depth] == label[:depth]})
                log_probabilities = logits[depth, following].log_softmax(0)
                scores[i, c] += log_probabilities[following.index(token)]
    return scores


def written(distilled, order):
    return "\n\n".join(
        f"sentence: {distilled.columns['sentence'][i]}\n"
        f"label: {label_words(distilled.classes)[distilled.hard_labels[i]]}"
        for i in order
    )


def order_of(distilled, seed):
    from benchmark.core.seeding import numpy_generator, seed_of

    return numpy_generator(seed_of("order of examples", seed=seed)).permutation(len(distilled))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [CLASSES, BANKING], ids=["flat", "tree"])
def test_the_shared_prefix_equals_the_whole_prompt(folders, family, classes):
    folder = folders[family]
    tokenizer = held(folder, "float32").tokenizer
    distilled = make_set([0, 1, 1, 0, 0], classes)
    test = make_test(classes)
    scores = scores_of(folder, distilled, test, seed=5)
    demonstrations = written(distilled, order_of(distilled, 5))
    prompts = [
        tokenizer(f"{demonstrations}\n\nsentence: {text}\nlabel:")["input_ids"]
        for text in test.columns["sentence"]
    ]
    assert len({len(prompt) for prompt in prompts}) > 5, "no padding was tried"
    assert max(map(len, prompts)) < CONTEXT
    end = continuation(tokenizer, "a", "\n\nsentence")[0]
    labels = [[*continuation(tokenizer, "label:", f" {w}"), end] for w in label_words(classes)]
    np.testing.assert_allclose(scores, plain_scores(folder, prompts, labels), atol=1e-4)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_gets_the_examples_that_fit_before_it(folders, family):
    folder = folders[family]
    tokenizer = held(folder, "float32").tokenizer
    distilled = make_set([0, 1] * 10)
    test = make_test(sentence=[*sentences(12, 7, 1, 4), *sentences(6, 8, 14, 20)])
    scores = scores_of(folder, distilled, test, seed=2, max_context=100)
    order, prompts, shown = order_of(distilled, 2), [], set()
    for text in test.columns["sentence"]:
        for n in range(len(order), 0, -1):
            prompt = tokenizer(
                f"{written(distilled, order[:n])}\n\nsentence: {text}\nlabel:"
            )["input_ids"]  # fmt: skip
            if len(prompt) <= 100:
                break
        shown.add(n)
        prompts.append(prompt)
    assert len(shown) > 1
    assert max(shown) < len(order)
    labels = [continuation(tokenizer, "label:", f" {word}") for word in CLASSES]
    np.testing.assert_allclose(scores, plain_scores(folder, prompts, labels), atol=1e-4)
