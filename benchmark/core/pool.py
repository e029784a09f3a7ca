"""The pool: the training examples that a method may see, and nothing else.

A pool has no reference to the test split, so a method cannot reach it. Sub-pools (one class, a
resample, a selection split) share the parent's texts and its cached features by index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmark.core.errors import InputError
from benchmark.core.keys import combine, fingerprint_array, fingerprint_texts
from benchmark.core.services import Columns, Services

Embed = Callable[[str], np.ndarray]


class Pool:
    """Labelled training examples.

    Parameters
    ----------
    task : name of the task, for messages.
    columns : text columns by name, 1 or 2 of equal length n.
    labels : class indices, shape (n,).
    classes : class names in label order.
    embed : gives features of *all* of `columns`, shape (n, d), for an encoder's name.
    services : what the harness does for methods: encodes new texts, finds models, tells progress.
    dropped : how many blank rows were left out when the pool was read.
    groups, group_names : number of each row's group, shape (n,), and what the groups are called;
        None for a task without groups. They are in no fingerprint but their own.
    """

    def __init__(
        self,
        task: str,
        columns: Columns,
        labels: np.ndarray,
        classes: Sequence[str],
        *,
        embed: Embed | None = None,
        services: Services | None = None,
        dropped: int = 0,
        groups: np.ndarray | None = None,
        group_names: Sequence[str] = (),
        _indices: np.ndarray | None = None,
        _fingerprint: str | None = None,
    ) -> None:
        self.task = task
        self.classes = tuple(classes)
        self.dropped = dropped
        self._columns = columns
        self._labels = labels
        self._groups = groups
        self.group_names = tuple(group_names)
        self._embed = embed
        self.services = services or Services()
        self._indices = np.arange(len(labels)) if _indices is None else _indices
        self._indices.setflags(write=False)
        self._root_fingerprint = _fingerprint

    def __len__(self) -> int:
        return len(self._indices)

    def __repr__(self) -> str:
        return f"Pool({self.task!r}, {len(self):,} rows, {len(self.classes)} classes)"

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Names of the text columns."""
        return tuple(self._columns)

    @property
    def is_pair(self) -> bool:
        """Whether an example is a pair of texts."""
        return len(self._columns) == 2

    @property
    def indices(self) -> np.ndarray:
        """Row numbers in the whole training pool, read-only."""
        return self._indices

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indices, shape (n,), read-only."""
        labels = self._labels[self._indices]
        labels.setflags(write=False)
        return labels

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Number of each row's group, shape (n,), read-only; None for a task without groups."""
        if self._groups is None:
            return None
        groups = self._groups[self._indices]
        groups.setflags(write=False)
        return groups

    @cached_property
    def groups_fingerprint(self) -> str:
        """Fingerprint of the groups, part of the keys of methods that read them; "" without any."""
        groups = self.groups
        return "" if groups is None else combine(fingerprint_array(groups), list(self.group_names))

    def texts(self, rows: Sequence[int] | np.ndarray | None = None) -> dict[str, list[str]]:
        """Return the text columns of `rows` (all by default), in that order."""
        chosen = self._indices if rows is None else self._indices[_positions(rows)]
        return {name: [texts[i] for i in chosen] for name, texts in self._columns.items()}

    def class_counts(self) -> np.ndarray:
        """Number of rows of each class, shape (n_classes,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def embed(self, encoder: str) -> np.ndarray:
        """Return features from `encoder`, float32, shape (n, d).

        They are computed once for the whole training pool and cached; a sub-pool gets its rows.
        """
        if self._embed is None:
            raise InputError(f"pool of task {self.task!r} was made without encoders")
        features = self._embed(encoder)
        return features if self._is_whole else np.asarray(features[self._indices])

    @cached_property
    def _is_whole(self) -> bool:
        """Whether these are all training rows, in their own order."""
        return len(self._indices) == len(self._labels) and bool((np.diff(self._indices) == 1).all())

    def subset(self, rows: Sequence[int] | np.ndarray) -> Pool:
        """Return the pool of these rows (positions within this pool)."""
        return Pool(
            self.task,
            self._columns,
            self._labels,
            self.classes,
            embed=self._embed,
            services=self.services,
            dropped=self.dropped,
            groups=self._groups,
            group_names=self.group_names,
            _indices=self._indices[_positions(rows)],
            _fingerprint=self.root_fingerprint,
        )

    def with_parts(self, folder: Path) -> Pool:
        """Return the same pool with a folder where a method may keep what is long in the making."""
        same = self.subset(np.arange(len(self)))
        same.services = replace(self.services, parts=folder)
        return same

    def of_class(self, label: int) -> Pool:
        """Return the sub-pool of one class."""
        return self.subset(np.flatnonzero(self.labels == label))

    def resample(self, fraction: float, rng: np.random.Generator) -> Pool:
        """Draw a fraction of each class without replacement, in row order; at least one row."""
        kept = []
        for label in range(len(self.classes)):
            rows = np.flatnonzero(self.labels == label)
            if len(rows):
                size = max(1, round(fraction * len(rows)))
                kept.append(rng.choice(rows, size=size, replace=False))
        return self.subset(np.sort(np.concatenate(kept)))

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Pool, Pool]:
        """Cut off a stratified selection split; returns (the rest, the selection split).

        This is where hyper-parameters and stopping steps are chosen: never on the test split.
        """
        chosen = self.resample(fraction, rng)
        rest = np.flatnonzero(~np.isin(self.indices, chosen.indices))
        return self.subset(rest), chosen

    @cached_property
    def texts_fingerprint(self) -> str:
        """Fingerprint of the texts alone, part of the features' key."""
        return fingerprint_texts(self.texts())

    @cached_property
    def root_fingerprint(self) -> str:
        """Fingerprint of the whole training pool that this pool was cut from."""
        if self._root_fingerprint is not None:
            return self._root_fingerprint
        return combine(
            fingerprint_texts(self._columns), fingerprint_array(self._labels), list(self.classes)
        )

    @cached_property
    def fingerprint(self) -> str:
        """Content fingerprint: equal for equal examples in equal order."""
        if self._is_whole:
            return self.root_fingerprint
        return combine(self.root_fingerprint, fingerprint_array(self._indices))


def _positions(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Row numbers; a mask means the rows where it is true."""
    given = np.asarray(rows)
    return np.flatnonzero(given) if given.dtype == bool else given.astype(np.int64)
