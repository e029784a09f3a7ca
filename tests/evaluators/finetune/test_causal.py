"""Causal language models as classifiers: the last token's head, padding on the right."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedTokenizerFast,
)

from benchmark.core.errors import InputError  # noqa: E402
from benchmark.core.finetune.engines import engine_for  # noqa: E402
from benchmark.core.finetune.pretrained import held, pad_on_the_right  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng  # noqa: E402

VOCABULARY = "a the film plot was is good great fine bad poor dull and but very not so"
WORDS = VOCABULARY.split()
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "llama": lambda n: LlamaForCausalLM(
        LlamaConfig(**SIZE, vocab_size=n, intermediate_size=24, max_position_embeddings=64,
                    bos_token_id=0, eos_token_id=0)
    ),
    "phi": lambda n: PhiForCausalLM(
        PhiConfig(**SIZE, vocab_size=n, intermediate_size=24, max_position_embeddings=64,
                  bos_token_id=0, eos_token_id=0)
    ),
    "opt": lambda n: OPTForCausalLM(
        OPTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24,
                  vocab_size=n, max_position_embeddings=64, word_embed_proj_dim=16, pad_token_id=1,
                  bos_token_id=0, eos_token_id=0)
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory):
    """A causal checkpoint that pads, if at all, on the left, as those of the hub do."""
    special = ["</s>", "<pad>", "<unk>"]
    core = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate([*special, *WORDS])}, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="</s>", unk_token="<unk>", padding_side="left",
        model_max_length=64, **({"pad_token": "<pad>"} if request.param == "opt" else {}),
    )  # fmt: skip
    with isolated_torch_rng(1), torch.no_grad():
        model = MODELS[request.param](len(special) + len(WORDS))
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    root = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(root)
    tokenizer.save_pretrained(root)
    return root


def sentences(n, low=1, high=20):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(low, high))) for _ in range(n)]


def begun(folder, n_classes=3):
    pretrained = held(folder, n_classes)
    engine = engine_for(pretrained)
    with isolated_torch_rng(2):
        engine.begin(Recipe(steps=3, dropout=0.0, precision="float32"), None)
    return pretrained, engine


def test_rows_in_a_batch_are_predicted_as_rows_alone(folder):
    pretrained, engine = begun(folder)
    rows = tokenise(pretrained.tokenizer, {"text": sentences(30)}, 64)
    together = engine.predict(rows)
    for i in range(len(rows)):
        with torch.no_grad():
            ids = torch.from_numpy(rows.take(np.array([i])).ids.astype(np.int64))[None]
            states = pretrained.model.base_model(input_ids=ids)[0]
            plain = pretrained.model.score(states[0, -1]).numpy()
        assert np.allclose(together[i], plain, atol=1e-4), f"row {i} of {rows.lengths[i]} tokens"


def test_what_the_head_reads_is_the_last_token(folder):
    pretrained, engine = begun(folder)
    rows = tokenise(pretrained.tokenizer, {"text": sentences(8)}, 64)
    inputs, logits = engine.head_inputs(rows)
    assert torch.allclose(inputs @ pretrained.model.score.weight.T.detach(), logits, atol=1e-4)


def test_blank_texts_are_predicted_like_an_end_token(folder):
    pretrained, engine = begun(folder)
    tokenizer = pretrained.tokenizer
    blank = tokenise(tokenizer, {"text": ["", "  "]}, 64)
    assert blank.ids.tolist() == [tokenizer.eos_token_id] * 2
    alone = engine.predict(blank)
    mixed = engine.predict(tokenise(tokenizer, {"text": ["", "good film", ""]}, 64))
    np.testing.assert_allclose(mixed[[0, 2]], alone, atol=1e-5)
    with torch.no_grad():
        states = pretrained.model.base_model(input_ids=torch.tensor([[tokenizer.eos_token_id]]))[0]
        np.testing.assert_allclose(alone[0], pretrained.model.score(states[0, -1]), atol=1e-4)


def test_the_recipes_dropout_is_every_family_s(folder):
    pretrained, _ = begun(folder)
    ids = torch.randint(3, 9, (4, 6), generator=torch.Generator().manual_seed(0))
    model, found = pretrained.model.train(), {}
    try:
        for probability in (0.0, 0.5):
            pretrained.set_dropout(probability)
            with isolated_torch_rng(1), torch.no_grad():
                once, again = (model(input_ids=ids).logits for _ in range(2))
            found[probability] = torch.equal(once, again)
    finally:
        pretrained.set_dropout(0.0)
        model.eval()
    assert found == {0.0: True, 0.5: False}


def test_training_learns_a_word(folder):
    pretrained, engine = begun(folder, 2)
    texts = sentences(24, low=3)
    labels = torch.tensor([int(text.split()[-1] in WORDS[:8]) for text in texts])
    rows = tokenise(pretrained.tokenizer, {"text": texts}, 64)
    losses = [float(engine.step(rows, labels, 5e-3)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    assert held(folder, 2).fresh == {"score.weight"}


def test_pairs_are_parted(folder):
    tokenizer = held(folder, 2).tokenizer
    columns = {"first": ["good film"], "second": ["bad plot"]}
    ids = tokenise(tokenizer, columns, 64).ids.tolist()
    assert ids == tokenizer("good film\nbad plot")["input_ids"]


def test_a_tokenizer_that_cannot_pad_is_refused(folder):
    pretrained, _ = begun(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pretrained.tokenizer.backend_tokenizer)
    with pytest.raises(InputError, match="neither a padding nor an end token"):
        pad_on_the_right(pretrained.model, tokenizer)
