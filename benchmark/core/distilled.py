"""The artefact that a method makes: a few labelled examples, immutable and content-hashed.

On disk a set is a folder: `set.json` (everything but arrays, with the content hash) beside
`rows.jsonl` for texts and `arrays.safetensors` for embeddings and native recipes. No pickle.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmark.core.errors import DamagedFileError, InputError
from benchmark.core.keys import canonical_json, combine, fingerprint_array, fingerprint_texts

SOFT_LABEL_TOLERANCE = 1e-3


@dataclass(frozen=True)
class DistilledSet:
    """A few examples that stand for a training set.

    Attributes
    ----------
    classes : class names in label order.
    labels : class indices, int64 of shape (n,); or class probabilities, float32 of shape (n, C).
    columns : text columns, each of length n; None for an embedding-level set.
    arrays : named float arrays of an embedding-level set (input embeddings, learning rates, ...).
    recipe : native training recipe that belongs to the artefact (as TDD's), JSON-able, or None.
    rows : positions of the examples in the training pool, for selectors; not part of the hash.
    notes : numbers that the method found on the way (seconds of a phase, a loss), for the record of
        the set's making; neither hashed nor saved with the set.
    row_notes : numbers that the method found of each row, n of each name; saved with the set, not
        part of the hash.

    Raises `InputError` when labels and texts disagree in number, a label is unknown, a text is
    blank, or soft labels do not sum to 1 (within 1e-3).
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    columns: Mapping[str, tuple[str, ...]] | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    recipe: Mapping[str, Any] | None = None
    rows: tuple[int, ...] | None = None
    notes: Mapping[str, float] = field(default_factory=dict, compare=False)
    row_notes: Mapping[str, Sequence[float]] = field(default_factory=dict, compare=False)

    @classmethod
    def of_texts(
        cls,
        columns: Mapping[str, Sequence[str]],
        labels: Sequence[int] | np.ndarray,
        classes: Sequence[str],
        *,
        rows: Sequence[int] | None = None,
        recipe: Mapping[str, Any] | None = None,
        notes: Mapping[str, float] | None = None,
        row_notes: Mapping[str, Sequence[float]] | None = None,
    ) -> DistilledSet:
        """Make a text-level set; labels are class indices (n,) or probabilities (n, C)."""
        return cls(
            classes=tuple(classes),
            labels=np.asarray(labels),
            columns={name: tuple(texts) for name, texts in columns.items()},
            rows=None if rows is None else tuple(int(row) for row in rows),
            recipe=recipe,
            notes=dict(notes or {}),
            row_notes={name: [float(v) for v in of] for name, of in (row_notes or {}).items()},
        )

    def __post_init__(self) -> None:
        labels = np.array(self.labels)
        if labels.ndim == 1 and (labels != labels.astype(np.int64)).any():
            raise InputError("hard labels must be whole numbers, the indices of classes")
        labels = labels.astype(np.int64 if labels.ndim == 1 else np.float32)
        labels.setflags(write=False)
        object.__setattr__(self, "labels", labels)
        arrays = {name: np.array(array) for name, array in self.arrays.items()}
        for array in arrays.values():
            array.setflags(write=False)
        object.__setattr__(self, "arrays", MappingProxyType(arrays))
        if self.recipe is not None:  # a copy, so that the caller's own may change
            recipe = json.loads(canonical_json(dict(self.recipe)))
            object.__setattr__(self, "recipe", MappingProxyType(recipe))
        if self.columns is not None:
            columns = {name: tuple(texts) for name, texts in self.columns.items()}
            object.__setattr__(self, "columns", MappingProxyType(columns))
        self._check()

    def _check(self) -> None:
        if self.labels.ndim not in (1, 2):
            raise InputError(f"labels of a distilled set have {self.labels.ndim} dimensions")
        if len(self.labels) == 0:
            raise InputError("a distilled set has no rows")
        if "labels" in self.arrays:
            raise InputError("an array of a distilled set is called 'labels', which is reserved")
        n_classes = len(self.classes)
        if self.is_soft:
            if self.labels.shape[1] != n_classes:
                raise InputError(
                    f"soft labels have {self.labels.shape[1]} columns for {n_classes} classes"
                )
            sums = self.labels.sum(axis=1)
            bad = np.flatnonzero(
                ~np.isfinite(sums)
                | (np.abs(sums - 1) > SOFT_LABEL_TOLERANCE)
                | (self.labels < 0).any(axis=1)
            )
            if len(bad) and (self.recipe or {}).get("label_type") != "unrestricted":
                raise InputError(
                    f"soft labels of row {bad[0]} sum to {sums[bad[0]]:.4g} or are negative; "
                    "class probabilities must be non-negative and sum to 1"
                )
        elif self.labels.min() < 0 or self.labels.max() >= n_classes:
            outside = self.labels[(self.labels < 0) | (self.labels >= n_classes)]
            raise InputError(f"label {outside[0]} is outside the {n_classes} classes of the task")
        for name, numbers in self.row_notes.items():
            if len(numbers) != len(self.labels):
                raise InputError(
                    f"row note {name!r}: {len(numbers)} numbers, {len(self.labels)} labels"
                )
        for name, texts in (self.columns or {}).items():
            if len(texts) != len(self.labels):
                raise InputError(f"column {name!r}: {len(texts)} texts, {len(self.labels)} labels")
            for row, text in enumerate(texts):
                if not isinstance(text, str) or not text.strip():
                    raise InputError(f"column {name!r}, row {row}: the text is empty")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def level(self) -> str:
        """`"text"` or `"embedding"`."""
        return "embedding" if self.columns is None else "text"

    @property
    def is_soft(self) -> bool:
        """Whether labels are class probabilities."""
        return self.labels.ndim == 2

    @property
    def hard_labels(self) -> np.ndarray:
        """Class indices, shape (n,); the most probable class of soft labels."""
        return self.labels.argmax(axis=1) if self.is_soft else self.labels

    @cached_property
    def content_hash(self) -> str:
        """Hash of what a learner can see; where rows came from does not count."""
        return combine(
            fingerprint_texts(self.columns or {}),
            fingerprint_array(self.labels),
            [f"{name}:{fingerprint_array(array)}" for name, array in sorted(self.arrays.items())],
            canonical_json(None if self.recipe is None else dict(self.recipe)),
            list(self.classes),
        )

    def size(self) -> dict[str, int]:
        """Rows, white-space words, UTF-8 bytes and stored floats of the set."""
        texts = [text for column in (self.columns or {}).values() for text in column]
        return {
            "rows": len(self),
            "words": sum(len(text.split()) for text in texts),
            "bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
            + sum(array.nbytes for array in self.arrays.values()),
            "floats": sum(array.size for array in self.arrays.values()),
        }

    def save(self, folder: Path) -> None:
        """Write the set to `folder`, atomically: it is there whole, or not at all."""
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        temporary.mkdir(parents=True)
        try:
            arrays = dict(self.arrays)
            if self.is_soft:
                arrays["labels"] = self.labels
            if arrays:
                from safetensors.numpy import save_file

                save_file(
                    {name: np.ascontiguousarray(array) for name, array in arrays.items()},
                    temporary / "arrays.safetensors",
                )
            if self.columns is not None:
                lines = []
                for row in range(len(self)):
                    line = {name: texts[row] for name, texts in self.columns.items()}
                    line["label"] = self.classes[self.hard_labels[row]]
                    lines.append(json.dumps(line, ensure_ascii=False))
                (temporary / "rows.jsonl").write_bytes(
                    ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
                )
            head = {
                "format": 1,
                "hash": self.content_hash,
                "level": self.level,
                "soft": self.is_soft,
                "classes": list(self.classes),
                "columns": None if self.columns is None else list(self.columns),
                "recipe": None if self.recipe is None else dict(self.recipe),
                "rows": self.rows,
                "hard_labels": None if self.is_soft else self.labels.tolist(),
            }
            if self.row_notes:
                head["row_notes"] = {name: list(of) for name, of in self.row_notes.items()}
            head["check"] = _check_sum(head)
            (temporary / "set.json").write_text(json.dumps(head))
            # A folder cannot be renamed over another one: a kill between these two lines leaves
            # no set at all, which a reader takes for one that was never made.
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path, expected_hash: str | None = None) -> DistilledSet:
        """Read a set; raises `DamagedFileError` when it is not what its hash says."""
        try:
            head = json.loads((folder / "set.json").read_text())
            arrays: dict[str, np.ndarray] = {}
            if (folder / "arrays.safetensors").exists():
                from safetensors.numpy import load_file

                arrays = load_file(folder / "arrays.safetensors")
            columns = None
            if head["columns"] is not None:
                text = (folder / "rows.jsonl").read_bytes().decode("utf-8", "surrogatepass")
                lines = [json.loads(line) for line in text.rstrip("\n").split("\n")]
                columns = {name: tuple(line[name] for line in lines) for name in head["columns"]}
            labels = arrays.pop("labels") if head["soft"] else np.array(head["hard_labels"])
            loaded = cls(
                classes=tuple(head["classes"]),
                labels=labels,
                columns=columns,
                arrays=arrays,
                recipe=head["recipe"],
                rows=None if head["rows"] is None else tuple(head["rows"]),
                row_notes=head.get("row_notes", {}),
            )
            intact = (
                loaded.content_hash == head["hash"]
                and expected_hash in (None, head["hash"])
                and head.get("check") in (None, _check_sum(head))
            )
        except Exception as error:  # any unreadable byte means the same: make it again
            raise DamagedFileError(
                f"distilled set {folder.name} cannot be read: {error}"
            ) from error
        if not intact:
            raise DamagedFileError(f"distilled set {folder.name} does not match its hash")
        return loaded


def _check_sum(head: Mapping[str, Any]) -> str:
    """Hash everything that `set.json` says; the content hash leaves out where rows came from."""
    return combine(canonical_json({key: head[key] for key in head if key != "check"}))
