"""What a sentence-transformers folder says should follow the transformer: pooling, dense layers.

Its `modules.json` lists them. Without that file a folder is a bare transformer, and says nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.assets.files import is_word_vectors, model_files
from benchmark.core.errors import InputError
from benchmark.core.keys import combine, sha256_file

MODULES = "modules.json"
DENSE_FILES = "*_Dense/*"
MODULE_FILES = (MODULES, "*_Pooling/config.json", DENSE_FILES)
"""What is fetched besides the transformer's files."""

POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")


def all_model_files(folder: Path) -> list[Path]:
    """A model's files, and those that say what follows the transformer, if it is one."""
    if is_word_vectors(folder):
        return model_files(folder)
    after = {path for pattern in MODULE_FILES for path in folder.glob(pattern) if path.is_file()}
    return [*model_files(folder), *sorted(after)]


@dataclass(frozen=True)
class Dense:
    """A linear layer on pooled features: `weight` (out, in), `bias` (out) or None; then a function.

    `files` are those that determine what it computes.
    """

    weight: np.ndarray
    bias: np.ndarray | None
    activation: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Modules:
    """Pooling (`mean`, `cls`, or another by its own name; "" if none is told) and dense layers."""

    pooling: str = ""
    dense: tuple[Dense, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of the dense layers' files; "" without any."""
        files = [path for layer in self.dense for path in layer.files]
        return combine(*map(sha256_file, files)) if files else ""


def read_modules(folder: Path) -> Modules:
    """Read what follows the transformer in a model's folder.

    Raises `InputError` for a module that is not known: features without it would be others.
    """
    if not (folder / MODULES).is_file():
        return Modules()
    pooling, dense = "", []
    for module in json.loads((folder / MODULES).read_text()):
        kind, path = module["type"].rpartition(".")[2], folder / module["path"]
        if kind == "Pooling":
            pooling = _pooling(json.loads((path / "config.json").read_text()))
        elif kind == "Dense":
            dense.append(_dense(path))
        elif kind not in ("Transformer", "Normalize", "WordEmbeddings"):
            raise InputError(
                f"{folder / MODULES}: the module {kind!r} is none of Transformer, Pooling, Dense "
                "and Normalize; the features of this model cannot be computed here"
            )
    return Modules(pooling, tuple(dense))


def _pooling(config: dict[str, Any]) -> str:
    if "pooling_mode" in config:  # as sentence-transformers 5 writes it
        return str(config["pooling_mode"])
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    return "+".join(POOLINGS.get(name, name.removeprefix("pooling_mode_")) for name in modes)


def _dense(folder: Path) -> Dense:
    config = json.loads((folder / "config.json").read_text())
    activation = config["activation_function"].rpartition(".")[2]
    if activation not in ACTIVATIONS:
        raise InputError(
            f"{folder / 'config.json'}: activation {activation!r} is none of "
            f"{', '.join(ACTIVATIONS)}"
        )
    weights = _weights(folder)
    return Dense(
        weights["linear.weight"],
        weights.get("linear.bias"),
        activation,
        (folder / "config.json", _weights_file(folder)),
    )


def _weights_file(folder: Path) -> Path:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: a dense layer without model.safetensors or pytorch_model.bin")


def _weights(folder: Path) -> dict[str, np.ndarray]:
    path = _weights_file(folder)
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in loaded.items()}
