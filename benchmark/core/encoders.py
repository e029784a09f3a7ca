"""Encoders: texts to feature vectors, batched by length so that almost nothing is padding.

Three kinds: transformers, averages of word vectors, and HTTP endpoints (`endpoint_encoder`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmark.core.assets import load_encoder, load_tokenizer, model_fingerprint
from benchmark.core.assets.modules import Dense, Modules, read_modules
from benchmark.core.errors import InputError
from benchmark.core.keys import canonical_json, combine
from benchmark.core.precision import computed_in
from benchmark.core.services import Columns
from benchmark.core.threads import at_once

TOKENS_PER_BATCH = 8_192
ROWS_PER_CHUNK = 1_024  # the tokenizer keeps a hundred bytes a token until a chunk is done
POOLINGS = ("mean", "cls", "words")
DTYPES = ("float32", "bfloat16", "float16")

PROMPTED, PROMPT = "-prompt", "Main topic or tone of a text, one of {classes}: "
"""Ending of an encoder's name that asks for this after its prefix (DaLLME, table 3)."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EncoderSpec:
    """How texts become features; all of it is part of the features' key.

    `pooling` of a transformer's hidden states is `mean` (over real tokens) or `cls` (the first
    one); `words` takes the mean of word vectors instead. `normalise` scales to unit L2 norm.
    `dtype` is the precision of weights and activations (of bfloat16 float32 where a machine has no
    instructions for it, see `precision`); features are kept in float32. `prefix` goes
    before each first text; in it, `{classes}` stands for the task's class names, which makes it a
    prompt of the task. An `endpoint` is the name by which a server knows its model; its features
    have `dimension` numbers.

    A folder of sentence-transformers says how it is pooled, and `pooling` must agree; its dense
    layers come between pooling and `normalise`.
    """

    name: str
    model: str = ""
    pooling: str = "mean"
    normalise: bool = True
    max_length: int = 256
    dtype: str = "bfloat16"
    prefix: str = ""
    endpoint: str = ""
    dimension: int = 0

    def __post_init__(self) -> None:
        for name, known in (("pooling", POOLINGS), ("dtype", DTYPES)):
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"{name}: {value!r} is none of {', '.join(known)}")
        if self.max_length < 1:
            raise InputError(f"max_length: {self.max_length} is less than 1")
        if bool(self.model) == bool(self.endpoint):
            raise InputError("model: an encoder has either a model or an endpoint")
        if self.endpoint and self.dimension < 1:
            raise InputError("dimension: an endpoint's features have 1 or more numbers")

    def fingerprint(self, folder: Path | None) -> str:
        """Hash of the specification (less its name) and of the model's files, if it has any."""
        settings = {k: v for k, v in asdict(self).items() if k not in ("name", "model")}
        if folder is not None:
            del settings["endpoint"], settings["dimension"]
        if folder is None:
            return combine(canonical_json(settings), "")
        after = self.modules(folder).fingerprint
        return combine(canonical_json(settings), model_fingerprint(folder), *filter(None, [after]))

    def modules(self, folder: Path) -> Modules:
        """What follows the transformer; raises `InputError` where the model is pooled otherwise."""
        found = read_modules(folder)
        if self.pooling != "words" and found.pooling not in ("", self.pooling):
            raise InputError(
                f"encoder {self.name!r}: pooling is {self.pooling!r}, but {folder} says that its "
                f"model is pooled by {found.pooling!r}"
            )
        return found

    def prompted(self) -> EncoderSpec:
        """The encoder with a prompt of the task, under the name `NAME-prompt`."""
        return replace(self, name=self.name + PROMPTED, prefix=self.prefix + PROMPT)

    def for_classes(self, classes: Sequence[str]) -> EncoderSpec:
        """Put the names of a task's classes into the prefix, where it asks for them."""
        return replace(self, prefix=self.prefix.replace("{classes}", ", ".join(classes)))


def _require_room(spec: EncoderSpec, taken: int) -> None:
    """Refuse a prefix that leaves no room: texts would be cut off, and all features alike."""
    if spec.prefix and 2 * taken > spec.max_length:
        raise InputError(
            f"encoder {spec.name!r}: its prefix takes {taken} of the {spec.max_length} tokens that "
            "it reads, more than half, so that texts would be cut off. Take the encoder without "
            "the prompt, or define one with a shorter prefix or a larger max_length in a --tasks "
            f"file. The prefix begins: {spec.prefix[:80]!r}"
        )


class Encodes(Protocol):
    """What makes features."""

    spec: EncoderSpec

    def encode(self, columns: Columns, progress: Progress | None = None) -> np.ndarray:
        """Return features of n texts (or pairs), float32, shape (n, d)."""


class Encoder:
    """A loaded encoder. Loading takes a second or two: keep it while there is work for it."""

    def __init__(self, spec: EncoderSpec, folder: Path) -> None:
        import torch

        self.spec = spec
        self.tokenizer = load_tokenizer(folder)
        _require_room(spec, len(self.tokenizer(spec.prefix)["input_ids"]))
        self.tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Weights in bfloat16, not autocast: without gradients autocast casts them at every call.
        self.model = load_encoder(folder).to(self.device, computed_in(spec.dtype, self.device))
        self.dense = [_layer(layer).to(self.device) for layer in spec.modules(folder).dense]

    def encode(self, columns: Columns, progress: Progress | None = None) -> np.ndarray:
        """Return features of n texts (or pairs), float32, shape (n, d).

        On a CPU each thread computes batches of its own, alone: sums are then made in one order
        however many threads there are, so that features do not depend on the cores at hand.
        """
        fields = self._tokenise([list(column) for column in columns.values()])
        lengths = np.array([len(ids) for ids in fields["input_ids"]])
        size = self.dense[-1][0].out_features if self.dense else self.model.config.hidden_size
        features = np.empty((len(lengths), size), dtype=np.float32)

        def one(rows: np.ndarray) -> int:
            batch = {name: [values[i] for i in rows] for name, values in fields.items()}
            features[rows] = self._forward(batch)
            return len(rows)

        done = 0
        with at_once(1 if self.device.type == "cuda" else None) as each:
            for count in each(one, length_batches(lengths, TOKENS_PER_BATCH)):
                done += count
                if progress is not None:
                    progress(done, len(lengths))
        return features

    def _tokenise(self, texts: list[list[str]]) -> dict[str, list[np.ndarray]]:
        """Token ids and the like, one array a text: as Python numbers they take ten times more."""
        if self.spec.prefix:
            texts = [[self.spec.prefix + text for text in texts[0]], *texts[1:]]
        fields: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(texts[0]), ROWS_PER_CHUNK):
            part = [column[start : start + ROWS_PER_CHUNK] for column in texts]
            batch = self.tokenizer(*part, truncation=True, max_length=self.spec.max_length)
            for name, values in batch.items():
                arrays = [np.array(row, dtype=np.int32) for row in values]
                fields.setdefault(name, []).extend(arrays)
        return fields

    def _forward(self, fields: dict[str, list[np.ndarray]]) -> np.ndarray:
        import torch

        rows = {name: [row.tolist() for row in values] for name, values in fields.items()}
        batch = self.tokenizer.pad(rows, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            hidden = self.model(**batch).last_hidden_state.float()
        if self.spec.pooling == "cls":
            # Left-padding tokenizers (XLNet) are none of the encoders with a [CLS] in front.
            pooled = hidden[:, 0]
        else:
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        with torch.inference_mode():
            for layer in self.dense:
                pooled = layer(pooled)
        if self.spec.normalise:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        return pooled.cpu().numpy()


def _layer(dense: Dense) -> Any:
    """A dense layer as torch has it, in float32: pooled features are."""
    from torch import from_numpy, nn

    shape = reversed(dense.weight.shape)
    linear = nn.utils.skip_init(nn.Linear, *shape, bias=dense.bias is not None)
    linear.weight.data = from_numpy(np.array(dense.weight, dtype=np.float32))
    if dense.bias is not None:
        linear.bias.data = from_numpy(np.array(dense.bias, dtype=np.float32))
    return nn.Sequential(linear, getattr(nn, dense.activation)())


class WordAverages:
    """The mean of the vectors of a text's words; words without a vector count for nothing.

    Words are split as GloVe's corpora were, at most `max_length` of them. A text without a known
    word has zeros. A pair is read as one text.
    """

    def __init__(self, spec: EncoderSpec, folder: Path) -> None:
        from benchmark.core.words import held

        self.spec = spec
        self.words = held(folder)
        _require_room(spec, len(self.words.ids(spec.prefix, spec.max_length)))

    def encode(self, columns: Columns, progress: Progress | None = None) -> np.ndarray:
        """Return features of n texts (or pairs), float32, shape (n, d)."""
        prefix, limit = self.spec.prefix, self.spec.max_length
        rows = [prefix + " ".join(texts) for texts in zip(*columns.values(), strict=True)]
        features = np.zeros((len(rows), self.words.vectors.shape[1]), dtype=np.float32)
        for i, row in enumerate(rows):
            ids = [word for word in self.words.ids(row, limit) if word >= 0]
            if ids:
                features[i] = self.words.vectors[ids].mean(axis=0, dtype=np.float64)
            if progress is not None and ((i + 1) % ROWS_PER_CHUNK == 0 or i + 1 == len(rows)):
                progress(i + 1, len(rows))
        return unit_length(features) if self.spec.normalise else features


def unit_length(features: np.ndarray) -> np.ndarray:
    """Scale rows to unit L2 norm; rows of zeros stay as they are."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms == 0, 1, norms).astype(features.dtype)


def length_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Yield row numbers, longest rows first, such that rows x longest row stays within `budget`.

    The longest come first so that memory is known to suffice from the first batch on.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
