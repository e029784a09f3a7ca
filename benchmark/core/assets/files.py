"""The files of a model: which of them count, and their fingerprint."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmark.core.errors import InputError
from benchmark.core.keys import combine, sha256_file

MODEL_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
WEIGHT_PATTERNS = ("*.safetensors", "*.gguf", "pytorch_model*.bin")
WORD_TOKENIZER = "whitespacetokenizer_config.json"  # sentence-transformers' list of words
WORD_VECTOR_PATTERNS = ("*.npy", "*.parquet", "*.txt", "*.txt.gz")


@dataclass(frozen=True)
class ModelSpec:
    """A pretrained model: hub id and pinned revision, or the package that ships its files.

    `sha256` is that of the weights file, checked wherever the files come from. `weights` says which
    of the hub's files hold them: `"safetensors"`, `"bin"`, or the name of a GGUF file. A model that
    is no transformer (word vectors) has `files`: patterns, each of which some file must meet.
    `parts` are for a package too large for one: the pieces, in order, of a ZIP archive, each
    `DISTRIBUTION/PATH`.
    """

    name: str
    hub: str
    revision: str | None = None
    package: str | None = None
    sha256: str | None = None
    weights: str = "safetensors"
    gated: bool = False
    files: tuple[str, ...] = ()
    note: str = ""
    parts: tuple[str, ...] = ()


def model_files(folder: Path) -> list[Path]:
    """List the files of a model folder that determine what it computes, sorted by name.

    Weights count in one format only, the first of safetensors, GGUF, PyTorch that is there. A
    folder of word vectors has no configuration: its words and its vectors count.
    """
    words = _word_tokenizer(folder)
    if words is not None:
        return sorted([words, _only_weights(words.parent)])
    if not (folder / "config.json").is_file():
        found = {path for pattern in WORD_VECTOR_PATTERNS for path in folder.glob(pattern)}
        if found:
            return sorted(found)
    files = [folder / name for name in MODEL_FILES if (folder / name).is_file()]
    for pattern in WEIGHT_PATTERNS:
        weights = sorted(folder.glob(pattern))
        if weights:
            return sorted(files + weights)
    return sorted(files)


@lru_cache(maxsize=64)
def model_fingerprint(folder: Path) -> str:
    """Hash a model's files; equal wherever they came from, so that caches are shared."""
    return combine(*(f"{path.name}:{sha256_file(path)}" for path in model_files(folder)))


def is_word_vectors(folder: Path) -> bool:
    """Whether a model's folder holds word vectors, and no transformer."""
    if _word_tokenizer(folder) is not None:
        return True
    return not (folder / "config.json").is_file() and gguf_file(folder) is None


def is_seq2seq(folder: Path) -> bool:
    """Whether a model's folder holds an encoder-decoder, as T5 is."""
    config = folder / "config.json"
    return config.is_file() and bool(json.loads(config.read_text()).get("is_encoder_decoder"))


def _word_tokenizer(folder: Path) -> Path | None:
    """Find the list of words of a sentence-transformers model of word embeddings."""
    found = sorted([*folder.glob(WORD_TOKENIZER), *folder.glob(f"*/{WORD_TOKENIZER}")])
    return found[0] if found else None


def _only_weights(folder: Path) -> Path:
    for pattern in WEIGHT_PATTERNS:
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise InputError(f"{folder}: words without vectors; there is no {' or '.join(WEIGHT_PATTERNS)}")


def packaged_path(reference: str) -> Path | None:
    """Locate `DISTRIBUTION/PATH` among the files of an installed distribution, or None."""
    name, _, inner = reference.partition("/")
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):  # ValueError: an empty name
        return None
    path = Path(str(distribution.locate_file(inner)))
    return path if path.exists() else None


def is_model(folder: Path, spec: ModelSpec) -> bool:
    """Whether a folder has what makes up the model."""
    if spec.files:
        return all(any(folder.glob(pattern)) for pattern in spec.files)
    return (folder / "config.json").is_file() or gguf_file(folder) is not None


def gguf_file(folder: Path) -> Path | None:
    """The GGUF file of a folder that has no other configuration; it holds a whole model."""
    files = [] if (folder / "config.json").is_file() else sorted(folder.glob("*.gguf"))
    return files[0] if files else None
