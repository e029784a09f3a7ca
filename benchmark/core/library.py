"""The library: everything that can be looked up, opened on demand and kept while it is in use.

It can be made anew from four plain values in any process, which is how executors hand it to
workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmark.core.assets import Assets, Download, ToFetchError, model_fingerprint
from benchmark.core.catalogue import Catalogue
from benchmark.core.data import TaskData, load_task
from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import words_of
from benchmark.core.encoders import Encoder, EncoderSpec, Encodes, Progress, WordAverages
from benchmark.core.endpoint_encoder import EndpointEncoder, require_endpoint
from benchmark.core.errors import InputError
from benchmark.core.features import FeatureCache
from benchmark.core.keys import features_key
from benchmark.core.learner import LEARNERS, TestTexts
from benchmark.core.parameters import build, check_parameter
from benchmark.core.pool import Columns, Pool
from benchmark.core.registry import Entry
from benchmark.core.services import Services
from benchmark.core.vector_cache import VectorCache


@dataclass(frozen=True)
class LibraryConfig:
    """What a library is made of; plain values that cross process borders."""

    store: Path
    assets: Path | None = None
    offline: bool = False
    tasks: tuple[Path, ...] = ()
    look: bool = False

    def absolute(self) -> LibraryConfig:
        """The same places by absolute paths, for workers with another working directory."""
        assets = None if self.assets is None else self.assets.absolute()
        tasks = tuple(path.absolute() for path in self.tasks)
        return LibraryConfig(self.store.absolute(), assets, self.offline, tasks)


class Library:
    """Catalogue, assets and caches behind one door.

    `report` is told in words what takes long ("encoding sst2 with minilm", done, total). Where
    nothing is to be fetched (`config.look`), `to_fetch` gathers what would be, by the message.
    """

    def __init__(
        self, config: LibraryConfig, report: Callable[[str, int, int], None] | None = None
    ) -> None:
        self.config = config
        self.assets = Assets(config.assets, config.offline, config.look)
        self.to_fetch: dict[str, Download] = {}
        self.catalogue = Catalogue.load(config.tasks)
        self.report = report
        register_catalogue_learners(self.catalogue)
        self._features = FeatureCache(config.store / "features")
        self._vectors = VectorCache(config.store / "features")
        self._task: TaskData | None = None
        self._scratch: dict = {}
        self._encoder: Encodes | None = None
        self._models: dict[str, Path] = {}
        self._pool_rows: dict[tuple[str, ...], int] | None = None

    def task(self, name: str) -> TaskData:
        """Read a task; the last one is kept, as work is ordered by task.

        Raises `UnavailableError` when its data cannot be had.
        """
        if self._task is None or self._task.task.name != name:
            self._task = None
            self._scratch = {}
            self._pool_rows = None
            self._features.release()
            with self._noting():
                self._task = load_task(
                    self.catalogue.task(name), self.assets, self._embed_pool, self._services()
                )
        return self._task

    def model_folder(self, name: str) -> Path:
        """Folder of a pretrained model; raises `UnavailableError`."""
        if name not in self._models:
            with self._noting():
                self._models[name] = self.assets.model(self.catalogue.model(name))
        return self._models[name]

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note what would have to be fetched."""
        try:
            yield
        except ToFetchError as error:
            self.to_fetch[str(error)] = error.download
            raise

    def model_fingerprint(self, name: str) -> str:
        """Content hash of a pretrained model's files."""
        return model_fingerprint(self.model_folder(name))

    def encoder_fingerprint(self, name: str) -> str:
        """Hash of an encoder: its settings and its model's files."""
        return self._fingerprint(self.catalogue.encoder(name))

    def require_encoder(self, name: str) -> None:
        """Raise `UnavailableError` where an encoder's model or endpoint cannot be had."""
        spec = self.catalogue.encoder(name)
        if spec.endpoint:
            require_endpoint(spec, self.assets.offline)
        else:
            self.model_folder(spec.model)

    def test_texts(self, name: str) -> TestTexts:
        """What a learner may see of a task's test split; the lists are its own to change."""
        data = self.task(name)
        return TestTexts(
            columns={column: list(texts) for column, texts in data.test.columns.items()},
            classes=data.task.classes,
            fingerprint=data.test.texts_fingerprint,
            features=lambda encoder: self._features_of(
                encoder, lambda: data.test.columns, data.test.texts_fingerprint, f"{name} test"
            ),
            embed_set=lambda encoder, distilled: self._embed_set(encoder, distilled, data.pool),
            scratch=self._scratch,
        )

    def _services(self) -> Services:
        return Services(
            encode=lambda encoder, columns: self._loaded(encoder).encode(columns),
            model=self.model_folder,
            report=self.report or Services().report,
            bill=self._vectors.bill,
        )

    def _embed_pool(self, encoder: str, pool: Pool) -> np.ndarray:
        return self._features_of(encoder, pool.texts, pool.texts_fingerprint, f"{pool.task} pool")

    def _features_of(
        self, encoder: str, columns: Callable[[], Columns], fingerprint: str, what: str
    ) -> np.ndarray:
        key = features_key(texts=fingerprint, encoder=self._fingerprint(self._spec(encoder)))

        def compute() -> np.ndarray:
            words = f"encoding {what} with {encoder}"
            progress: Progress | None = None
            if self.report is not None:
                report = self.report
                progress = lambda done, total: report(words, done, total)  # noqa: E731
            return self._loaded(encoder).encode(columns(), progress)

        def about() -> dict:
            note = {"encoder": encoder, "words": int(words_of(columns()).sum())}
            loaded = self._loaded(encoder)
            if isinstance(loaded, EndpointEncoder):
                note |= asdict(loaded.spent)  # of this matrix: `compute` was called just before
            return note

        return self._features.get(key.digest, compute, about)

    def _embed_set(self, encoder: str, distilled: DistilledSet, pool: Pool) -> np.ndarray:
        """Features of a set's rows, the same whatever else was encoded before.

        A row that stands in the training pool has its pool features; the others are encoded
        together, as one batch of this set.
        """
        assert distilled.columns is not None
        if self._pool_rows is None:
            rows = zip(*pool.texts().values(), strict=True)
            self._pool_rows = {row: i for i, row in reversed(list(enumerate(rows)))}
        columns = {name: distilled.columns[name] for name in pool.text_columns}
        texts = list(zip(*columns.values(), strict=True))
        found = np.array([self._pool_rows.get(row, -1) for row in texts])
        known = found >= 0
        parts = []
        if known.any():
            parts.append((known, np.asarray(self._embed_pool(encoder, pool)[found[known]])))
        if not known.all():
            new = {
                name: [text for text, is_known in zip(column, known, strict=True) if not is_known]
                for name, column in columns.items()
            }
            parts.append((~known, self._loaded(encoder).encode(new)))
        features = np.empty((len(texts), parts[0][1].shape[1]), dtype=np.float32)
        for mask, values in parts:
            features[mask] = values
        return features

    def _spec(self, name: str) -> EncoderSpec:
        """An encoder as it is for the task at hand: its prefix may name the task's classes."""
        spec = self.catalogue.encoder(name)
        return spec if self._task is None else spec.for_classes(self._task.task.classes)

    def _fingerprint(self, spec: EncoderSpec) -> str:
        return spec.fingerprint(None if spec.endpoint else self.model_folder(spec.model))

    def _loaded(self, name: str) -> Encodes:
        spec = self._spec(name)
        if self._encoder is None or self._encoder.spec != spec:
            self._encoder = self._opened(spec)
        return self._encoder

    def _opened(self, spec: EncoderSpec) -> Encodes:
        if spec.endpoint:
            require_endpoint(spec, self.assets.offline)
            return EndpointEncoder(spec, self._vectors)
        kind = WordAverages if spec.pooling == "words" else Encoder
        return kind(spec, self.model_folder(spec.model))


def register_catalogue_learners(catalogue: Catalogue) -> None:
    """Make the catalogue's learners known by name beside those that register themselves.

    Raises `InputError` with file and line for an unknown kind or parameter.
    """
    for spec in catalogue.learners.values():
        key: str | None = "kind"
        try:
            cls = LEARNERS.cls(spec.kind)
            for key, value in spec.parameters.items():
                check_parameter(cls, spec.name, key, value)
            key = None
            build(cls, spec.name, spec.parameters)
        except InputError as error:
            where = f"learner.{spec.name}"
            file = catalogue.learner_files[spec.name]
            raise file.error(f"[{where}]: {error}", where, key) from error
        LEARNERS.add(Entry(spec.name, cls, dict(spec.parameters)))
