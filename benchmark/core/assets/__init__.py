"""Where data and models come from: an assets directory, an installed package, or the hub.

The only place that loads datasets and model files; it imports those libraries inside functions, so
a learner or method runs on a machine that lacks them. There is no silent fall-back: what cannot be
had raises `UnavailableError` with every place that was tried.
"""

from benchmark.core.assets.downloads import Download, ToFetchError, sizes
from benchmark.core.assets.files import (
    ModelSpec,
    is_model,
    is_seq2seq,
    is_word_vectors,
    model_files,
    model_fingerprint,
    packaged_path,
)
from benchmark.core.assets.models import (
    load_causal_lm,
    load_classifier,
    load_encoder,
    load_seq2seq,
    load_tokenizer,
    quiet_transformers,
)
from benchmark.core.assets.modules import all_model_files
from benchmark.core.assets.sources import PACKAGE, Assets
from benchmark.core.assets.word_vectors import load_word_vectors

__all__ = [
    "PACKAGE",
    "Assets",
    "Download",
    "ModelSpec",
    "ToFetchError",
    "all_model_files",
    "is_model",
    "is_seq2seq",
    "is_word_vectors",
    "load_causal_lm",
    "load_classifier",
    "load_encoder",
    "load_seq2seq",
    "load_tokenizer",
    "load_word_vectors",
    "model_files",
    "model_fingerprint",
    "packaged_path",
    "quiet_transformers",
    "sizes",
]
