"""What would be fetched from the hub, and how large it is: asked, not fetched."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

from benchmark.core.errors import UnavailableError

ASK_SECONDS = 10.0
TABLES = ("*.parquet", "*.csv", "*.json", "*.jsonl", "*.txt", "*.tsv", "*.arrow", "*.zip", "*.gz")


@dataclass(frozen=True)
class Download:
    """A part of a hub repository.

    `patterns` are those of its files that would be fetched; `part` names them to a reader.
    """

    kind: Literal["dataset", "model"]
    repository: str
    revision: str | None
    patterns: tuple[str, ...]
    part: str = ""

    @property
    def label(self) -> str:
        """The repository and its part, for a reader."""
        return f"{self.repository} ({self.part})" if self.part else self.repository

    @classmethod
    def of_table(cls, dataset: str, config: str, revision: str | None) -> Download:
        """All splits of a dataset's configuration, which the hub's library fetches together."""
        if config == "default":
            return cls("dataset", dataset, revision, TABLES)
        patterns = (f"{config}/*", f"*/{config}/*", f"*{config}.*")
        return cls("dataset", dataset, revision, patterns, config)


class ToFetchError(UnavailableError):
    """What is on the hub only, where a plan looks and fetches nothing."""

    def __init__(self, download: Download) -> None:
        super().__init__(f"to be fetched from the hub: {download.kind} {download.label}")
        self.download = download


def sizes(downloads: Iterable[Download]) -> tuple[dict[Download, int], str]:
    """Ask the hub for the bytes of each; returns what it told, and why it told no more ("").

    After the first question that goes wrong no other one is put: the hub is likely out of reach.
    """
    found: dict[Download, int] = {}
    try:
        from huggingface_hub import HfApi
    except ImportError:
        return found, "the package `huggingface_hub` is not installed"
    with _online():
        api = HfApi()
        for download in downloads:
            try:
                info = api.repo_info(
                    download.repository,
                    repo_type=download.kind,
                    revision=download.revision,
                    files_metadata=True,
                    timeout=ASK_SECONDS,
                )
            except Exception as error:  # the hub's errors have no common base
                text = " ".join(str(error).split())[:120]
                return found, f"the hub could not be asked ({type(error).__name__}: {text})"
            files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
            found[download] = _wanted_bytes(files, download.patterns)
    return found, ""


def _wanted_bytes(files: dict[str, int], patterns: Sequence[str]) -> int:
    return sum(
        size for name, size in files.items() if any(fnmatch(name, pattern) for pattern in patterns)
    )


@contextlib.contextmanager
def _online() -> Iterator[None]:
    """Let the hub be asked though its libraries were told to fetch nothing."""
    constants = sys.modules["huggingface_hub.constants"]
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before  # type: ignore[attr-defined]
