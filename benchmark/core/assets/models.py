"""Loading models from local files; transformers is imported inside the functions."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.core.assets.files import gguf_file
from benchmark.core.errors import UnavailableError


def _source(folder: Path) -> dict[str, Any]:
    """What `from_pretrained` must be told besides the folder: the GGUF file, if it is one."""
    path = gguf_file(folder)
    if path is None:
        return {}
    missing = [name for name in ("accelerate", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"{path.name} cannot be read: {' and '.join(missing)} not installed; "
            "pip install -c constraints.txt -e '.[llm]'"
        )
    return {"gguf_file": path.name}


def _unpacked(folder: Path) -> dict[str, Any]:
    """`_source` for loading weights: those of a GGUF file are unpacked, so that results depend on
    no optional kernel."""
    source = _source(folder)
    if source:
        from transformers import GgufConfig

        source["quantization_config"] = GgufConfig(dequantize=True)
    return source


def _no_bar(source: dict[str, Any]) -> contextlib.AbstractContextManager:
    """Keep the progress bar that the reader of GGUF draws off the terminal."""
    return contextlib.redirect_stderr(io.StringIO()) if source else contextlib.nullcontext()


def load_tokenizer(folder: Path) -> Any:
    """Load a model's tokenizer from local files."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, **_source(folder))


def load_causal_lm(folder: Path, dtype: str) -> Any:
    """Load a causal language model with weights of `dtype`, in evaluation mode.

    A GGUF file's weights are unpacked.
    """
    from transformers import AutoModelForCausalLM

    source = _unpacked(folder)
    with quiet_transformers(), _no_bar(source):
        return AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=dtype, **source
        ).eval()


def load_seq2seq(folder: Path) -> Any:
    """Load a sequence-to-sequence model with its head in float32, in evaluation mode."""
    from transformers import AutoModelForSeq2SeqLM

    with quiet_transformers():
        return AutoModelForSeq2SeqLM.from_pretrained(
            folder, local_files_only=True, dtype="float32"
        ).eval()


def load_encoder(folder: Path) -> Any:
    """Load a model's body in float32, in evaluation mode; of an encoder-decoder the encoder."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    kind = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
    with quiet_transformers():
        return kind.from_pretrained(folder, local_files_only=True, dtype="float32").eval()


def load_classifier(folder: Path, n_classes: int) -> Any:
    """Load a sequence classifier in float32, in evaluation mode.

    Its head is new and drawn from torch's global stream: seed that first.
    """
    from transformers import AutoModelForSequenceClassification

    source = _unpacked(folder)
    with quiet_transformers(), _no_bar(source):
        return AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=n_classes, local_files_only=True, dtype="float32", **source
        ).eval()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence what transformers reports of loading and saving, such as that a head is new."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
