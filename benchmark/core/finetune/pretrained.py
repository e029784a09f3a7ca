"""Pretrained classifiers, read once per process and reset before every run.

A reset copies held weights into the live model in place. The held copy shares no memory with the
live one: a `state_dict()` that is not cloned aliases the parameters, and "resetting" from it leaves
the last run's training in place.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.core.assets import load_classifier, load_tokenizer
from benchmark.core.errors import InputError
from benchmark.core.seeding import isolated_torch_rng

LAST_TOKEN = ("OPTForSequenceClassification", "GPT2ForSequenceClassification")
"""Causal classifiers that are no subclass of the library's general one."""

_HELD: dict[Path, Pretrained] = {}


@dataclass
class Pretrained:
    """One checkpoint: its tokenizer, a model to train, and an untouched copy of its weights.

    `fresh` names the parameters that no checkpoint gives: the head, and what the file lacks.
    """

    tokenizer: Any
    model: Any
    weights: dict[str, torch.Tensor]
    fresh: frozenset[str]
    engines: dict[str, Any] = field(default_factory=dict)

    def with_classes(self, n_classes: int) -> None:
        """Rebuild the model with another number of classes; the checkpoint is not read again."""
        if self.model.config.num_labels == n_classes:
            return
        config = copy.deepcopy(self.model.config)
        config.num_labels = n_classes
        with isolated_torch_rng(0):
            self.model = type(self.model)(config).eval()
        self.engines.clear()

    def set_dropout(self, probability: float) -> None:
        """Give every dropout of the model the same probability."""
        set_dropout(self.model, probability)

    @torch.no_grad()
    def reset(self) -> None:
        """Restore pretrained weights in place and draw a new head from torch's global stream."""
        self.draw_head()
        for name, parameter in self.model.named_parameters():
            if name not in self.fresh:
                parameter.copy_(self.weights[name])

    def held_value(self, parameter: torch.Tensor) -> torch.Tensor | None:
        """The untouched value of a live parameter, or None where the checkpoint gives none."""
        names = (name for name, live in self.model.named_parameters() if live is parameter)
        return self.weights.get(next(names, ""))

    @torch.no_grad()
    def draw_head(self) -> None:
        """Draw a new head from torch's global stream; the rest stays as it is."""
        for module in self._modules_with_fresh_parameters():
            self.model._init_weights(module)  # the model family's own initialisation

    def _modules_with_fresh_parameters(self) -> list[nn.Module]:
        modules = []
        for prefix, module in self.model.named_modules():
            own = [name for name, _ in module.named_parameters(prefix, recurse=False)]
            if self.fresh.intersection(own):
                modules.append(module)
        return modules


def set_dropout(model: nn.Module, probability: float) -> None:
    """Give every dropout of a model one probability: some families keep theirs as numbers."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
        for name in ("dropout", "attention_dropout", "activation_dropout", "classifier_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, probability)


def held(folder: Path, n_classes: int) -> Pretrained:
    """Return the checkpoint in `folder` with a head of `n_classes`, loading it at most once."""
    if folder not in _HELD:
        with isolated_torch_rng(0):
            model = load_classifier(folder, n_classes)
        fresh = _fresh_parameters(model)
        weights = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if name not in fresh
        }
        tokenizer = load_tokenizer(folder)
        if reads_last_token(model):
            pad_on_the_right(model, tokenizer)
        _HELD[folder] = Pretrained(tokenizer, model, weights, fresh)
    pretrained = _HELD[folder]
    for other in _HELD.values():
        if other is not pretrained:
            other.engines.clear()  # their optimisers; the weights stay held
    pretrained.with_classes(n_classes)
    return pretrained


def reads_last_token(model: Any) -> bool:
    """Whether a classifier is a causal language model whose head reads a row's last token."""
    from transformers.modeling_layers import GenericForSequenceClassification

    kind = type(model)
    return issubclass(kind, GenericForSequenceClassification) or kind.__name__ in LAST_TOKEN


def pad_on_the_right(model: Any, tokenizer: Any) -> None:
    """Let rows of one batch differ in length: padding after the text, which no token sees.

    Causal attention looks back only, so that a row's last token is what it is without padding. The
    head finds that token as the last one that is not padding; tokenizers without a padding token
    (Phi, Llama) pad with the end of text, which no text has at its end.

    Raises `InputError` for a tokenizer that has neither.
    """
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"{type(model).__name__}: its tokenizer has neither a padding nor an end token, so "
                "that rows of different lengths make no batch"
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    model.config.pad_token_id = tokenizer.pad_token_id


def _fresh_parameters(model: Any) -> frozenset[str]:
    """Names of the parameters outside the body, and of those that the checkpoint lacks.

    Transformers marks every parameter that it read from a file.
    """
    parameters = dict(model.named_parameters())
    read = {name for name, p in parameters.items() if getattr(p, "_is_hf_initialized", False)}
    body = f"{model.base_model_prefix}."
    fresh = frozenset(
        name for name in parameters if not name.startswith(body) or (read and name not in read)
    )
    for name in fresh:
        parameters[name]._is_hf_initialized = False  # a head in the file must not escape a redraw
    return fresh
