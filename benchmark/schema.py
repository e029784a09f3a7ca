"""Tables of the store's database. Raise the version when their meaning changes."""

from __future__ import annotations

SCHEMA_VERSION = 1
CELL = ("suite", "task", "method", "params", "dpc", "learner")
MIRROR_NOTE = "mirror"
"""Row of `meta` with the seconds to start MLflow and to send a run, as last measured."""
_CELL_COLUMNS = ", ".join(f"{name} TEXT NOT NULL" for name in CELL)
_CELL_KEY = ", ".join(CELL)

SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cells ({_CELL_COLUMNS}, n_sets INTEGER NOT NULL, n_seeds INTEGER NOT NULL,
  metric TEXT NOT NULL, reason TEXT NOT NULL, structural INTEGER NOT NULL, info TEXT NOT NULL,
  PRIMARY KEY ({_CELL_KEY})) WITHOUT ROWID;
CREATE TABLE sets (set_key TEXT PRIMARY KEY, set_hash TEXT NOT NULL, status TEXT NOT NULL,
  reason TEXT NOT NULL, ingredients TEXT NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (run_key TEXT PRIMARY KEY, status TEXT NOT NULL, reason TEXT NOT NULL,
  scores TEXT NOT NULL, costs TEXT NOT NULL, ingredients TEXT NOT NULL, environment TEXT NOT NULL,
  created REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE rows ({_CELL_COLUMNS}, set_index INTEGER NOT NULL, seed_index INTEGER NOT NULL,
  set_key TEXT NOT NULL, run_key TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY ({_CELL_KEY}, set_index, seed_index)) WITHOUT ROWID;
CREATE INDEX rows_by_run ON rows (run_key);
CREATE TABLE predictions (run_key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE environments (environment TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE mirror (suite TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
  uri TEXT NOT NULL, mlflow_id TEXT NOT NULL, PRIMARY KEY (suite, kind, key, uri)) WITHOUT ROWID;
"""
