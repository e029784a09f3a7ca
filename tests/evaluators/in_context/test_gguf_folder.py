"""A folder that holds only a GGUF file is a model, vouched for by its hash."""

from __future__ import annotations

import hashlib

import pytest

from benchmark.core.assets import Assets, ModelSpec, model_fingerprint
from benchmark.core.errors import InputError, UnavailableError


def test_a_folder_with_a_gguf_file_alone_is_a_model(tmp_path):
    folder = tmp_path / "models" / "some" / "lm"
    folder.mkdir(parents=True)
    (folder / "lm.gguf").write_bytes(b"GGUF weights")
    digest = hashlib.sha256(b"GGUF weights").hexdigest()
    entry = f'{{"some/lm/lm.gguf": {{"sha256": "{digest}"}}}}'
    (tmp_path / "models" / "manifest.json").write_text(entry)
    assets = Assets(tmp_path, offline=True)
    assert assets.model(ModelSpec("lm", "some/lm", sha256=digest)) == folder
    assert model_fingerprint(folder)
    with pytest.raises(InputError, match="sha256"):
        assets.model(ModelSpec("lm", "some/lm", sha256="0" * 64))
    with pytest.raises(UnavailableError):
        assets.model(ModelSpec("lm", "other/lm"))
