"""What is told of an optimisation before it begins is what it then is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark.core.method import Budget
from benchmark.core.outline import Outline
from methods.bilevel.beginning import predicted_bytes, transformer_source
from methods.bilevel.foresight import Shape, inner_steps, longest
from methods.bilevel.learnable import Layout
from methods.tdd_cnn import TDDCnn


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("per_class", [(2, 2), (1, 3, 2), (4,)])
def test_inner_steps_are_those_of_the_layout(per_class, whole) -> None:
    layout = Layout(per_class, 3, whole)
    assert inner_steps(per_class, 3, whole=whole) == [len(rows) for rows in layout.order]


def test_the_need_is_the_one_that_is_checked_when_work_begins(pool, method) -> None:
    for unroll in ("graph", "replay"):
        of = method(unroll=unroll, length=7, passes=2)
        budget = Budget((3, 3))
        source = transformer_source(of, pool)
        real, _ = predicted_bytes(source, of.layout(budget), 7, of.plan(pool), False)
        outline = Outline((10, 10), models={"minilm": pool.services.model("minilm")})
        assert of.need(outline, budget).bytes == pytest.approx(real, rel=0.05)


def test_without_the_model_nothing_is_claimed(method) -> None:
    outline, budget = Outline((10, 10)), Budget((1, 1))
    of = method(length=100_000)
    assert of.refuses(outline, budget) == ""
    assert of.need(outline, budget).bytes == 0
    assert of.effort(outline, budget) > 0


def test_a_learner_of_the_wrong_kind_is_refused(method, tmp_path) -> None:
    transformer, vectors = tmp_path / "transformer", tmp_path / "vectors"
    for folder, name in ((transformer, "config.json"), (vectors, "vectors.npy")):
        folder.mkdir()
        (folder / name).write_text("{}")
    one = Budget((1, 1))
    unrolled, network = method(learner="it"), TDDCnn(learner="it")
    as_vectors = Outline((10, 10), models={"it": vectors})
    as_transformer = Outline((10, 10), models={"it": transformer})
    assert "it is no transformer, so it has no embedding input" in unrolled.refuses(as_vectors, one)
    assert network.refuses(as_vectors, one) == ""
    assert unrolled.refuses(as_transformer, one) == ""
    assert "it is a transformer, and the network reads" in network.refuses(as_transformer, one)


def test_effort_follows_steps_and_rows(method) -> None:
    outline, one = Outline((500, 500), words=np.full(1000, 15)), Budget((1, 1))

    def effort(budget=one, **params):
        return method(**{"batch": 32, "length": 32, "evaluate_every": 100, **params}).effort(
            outline, budget
        )

    assert effort(steps=2000) == pytest.approx(2 * effort(steps=1000), rel=0.02)
    inner = [effort(Budget((n, n)), steps=1000) for n in (1, 2, 3)]
    assert inner[2] - inner[1] == pytest.approx(inner[1] - inner[0])
    assert effort(steps=0, epochs=2) < effort(steps=0, epochs=4)
    assert effort(length=0) != effort(length=32)
    network = TDDCnn(steps=100)
    assert network.effort(outline, Budget((2, 2))) > network.effort(outline, one)
    assert network.refuses(outline, one) == ""


def test_positions_and_sizes_are_read_from_any_usual_configuration(tmp_path) -> None:
    bert = {"max_position_embeddings": 512}
    assert longest({"model_type": "bert", "pad_token_id": 0, **bert}) == 512
    roberta = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    assert longest(roberta) == 512
    assert longest({"model_type": "xlnet"}) == 512
    sizes = {"n_layers": 6, "n_heads": 12, "dim": 768, "hidden_dim": 3072, **bert}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "distilbert", **sizes}))
    shape = Shape.of(tmp_path)
    assert shape is not None
    assert (shape.layers, shape.heads, shape.width, shape.inner) == (6, 12, 768, 3072)
    assert shape.weights == pytest.approx(43.1e6, rel=0.02)  # 66.4 million less the word table
    (tmp_path / "config.json").write_text("{")
    assert Shape.of(tmp_path) is None
