"""MLflow beside the work: a thread that sends what the driver has written."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from statistics import median

from benchmark.schema import MIRROR_NOTE
from benchmark.store import Store
from benchmark.tracking import Mirror
from benchmark.tracking_server import damaged_files, tracking_uri

PAUSE_SECONDS = 1.0


class BackgroundMirror:
    """Keeps MLflow up to date in a thread while the driver works; never stops the work.

    Use as a context manager. `failure` says afterwards why something was not sent, if so;
    `damaged` are then the files to move away before it can be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = tracking_uri(root)
        self.failure = ""
        self.damaged: list[Path] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> BackgroundMirror:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        """Send batches until told to stop, then what is left."""
        try:
            store = Store(self.root)
            try:
                begun = time.perf_counter()
                mirror = Mirror(store, self.uri)
                seconds = time.perf_counter() - begun - mirror.making_seconds  # made once for all
                while not self._stop.wait(PAUSE_SECONDS):
                    begun = time.perf_counter()
                    mirror.sync(self._stop.is_set)
                    seconds += time.perf_counter() - begun
                begun = time.perf_counter()
                mirror.complete()
                _note(store, mirror, seconds + time.perf_counter() - begun)
            finally:
                store.close()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            self.damaged = damaged_files(self.uri)


def _note(store: Store, mirror: Mirror, seconds: float) -> None:
    """Note what sending a run costs, and what comes on top once, for estimates."""
    if mirror.send_seconds:
        each = median(mirror.send_seconds)
        starting = max(0.0, seconds - each * len(mirror.send_seconds))
        note = json.dumps({"starting": starting, "each": each})
        store.database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MIRROR_NOTE, note))
