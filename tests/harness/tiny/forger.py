"""A bundle that can be spoiled and signed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.bundles.arrays import save_predictions
from benchmark.bundles.layout import SUMS, write_sums
from benchmark.core.distilled import DistilledSet
from benchmark.core.records import CellId
from benchmark.predictions import file_name
from leaderboards import build_leaderboard, render
from leaderboards.rows import CELL


@dataclass
class Bundle:
    """A bundle that a test may spoil, and sign again as a forger would."""

    folder: Path

    def rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "rows.parquet").astype({"reason": object})

    def put(self, rows: pd.DataFrame, statistics: bool = True) -> None:
        """Write rows and all that follows from them, so that only the lie itself is left."""
        rows.to_parquet(self.folder / "rows.parquet", index=False)
        head = json.loads((self.folder / "bundle.json").read_text())
        (self.folder / "bundle.json").write_text(json.dumps({**head, "rows": len(rows)}))
        if statistics:
            text = render(build_leaderboard(rows), "csv")
            (self.folder / "statistics.csv").write_bytes(text.encode())
        self.sign()

    def keep(self, rows: pd.DataFrame) -> None:
        """Write some rows, and leave out what no row needs."""
        cells = rows[CELL].drop_duplicates().itertuples(index=False)
        wanted = {file_name(CellId(*values)) for values in cells} | set(rows.set_hash)
        for path in (*self.folder.glob("predictions/*"), *self.folder.glob("sets/*")):
            if path.name not in wanted:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        environments = [json.loads(text) for text in sorted(set(rows.environment)) if text]
        (self.folder / "environments.json").write_text(json.dumps(environments))
        self.put(rows.reset_index(drop=True))

    def change(self, where: Callable[[pd.DataFrame], pd.Series], **values: object) -> None:
        rows = self.rows()
        for name, value in values.items():
            rows.loc[where(rows), name] = value
        self.put(rows)

    def sign(self) -> None:
        (self.folder / SUMS).unlink()
        write_sums(self.folder)

    def one(self, pattern: str) -> Path:
        return sorted(self.folder.glob(pattern))[0]

    def predictions(self, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
        path = self.one("predictions/*.npz")
        with np.load(path) as arrays:
            found = {key: arrays[key] for key in arrays.files}
        edit(found)
        save_predictions(found, path)
        self.sign()

    def set_with(self, text: str) -> None:
        """Put a text into a set and make its hash, folder and rows agree with it."""
        folder = next(
            path for path in sorted((self.folder / "sets").iterdir())
            if list(json.loads((path / "set.json").read_text())["columns"]) == ["text"]
        )  # fmt: skip
        old = DistilledSet.load(folder)
        texts = [text, *old.columns["text"][1:]]
        new = DistilledSet.of_texts({"text": texts}, old.labels, old.classes)
        new.save(folder.with_name(new.content_hash))
        rows = self.rows()
        mine = rows.set_hash == folder.name
        rows.loc[mine, "set_hash"] = new.content_hash
        for column, size in (("set_words", "words"), ("set_bytes", "bytes")):
            rows.loc[mine, column] = float(new.size()[size])
        shutil.rmtree(folder)
        self.put(rows)


def flip(path: Path, place: float = 0.5, bit: int = 0) -> None:
    body = bytearray(path.read_bytes())
    body[int(place * (len(body) - 1))] ^= 1 << bit
    path.write_bytes(body)
