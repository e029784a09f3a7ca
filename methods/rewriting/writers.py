"""Instruction models that answer prompts: behind an endpoint or local; answers are kept at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from benchmark.core.endpoint import EndpointError, address, ask, open_session, tokens_of
from benchmark.core.errors import BenchmarkError, UnavailableError
from benchmark.core.journal import append_line
from benchmark.core.seeding import isolated_torch_rng, seed_of
from methods.rewriting.prompts import PART

CHAT = "/chat/completions"
FILE = "answers.jsonl"
CUT = "length"
"""How an endpoint says that the limit of tokens ended an answer."""
LEAD = "1."
"""What a model that has no chat form reads last, so that it goes on with a list."""


@dataclass(frozen=True)
class Answer:
    """An answer, the tokens that prompt and answer cost (NaN where a server does not tell), and
    whether it came to its end before the limit of tokens."""

    text: str
    tokens: float
    whole: bool = True

    @property
    def whole_lines(self) -> str:
        """The text, less the line that the limit cut short."""
        return self.text if self.whole else self.text.rpartition("\n")[0]


class Writer(Protocol):
    """A model that writes."""

    def answer(
        self, prompt: str, seeds: Sequence[int], most: int, parted: bool
    ) -> Sequence[Answer]:
        """One answer of at most `most` tokens for each seed; some at least, in order.

        `parted` asks for rows of two texts.
        """


class EndpointWriter:
    """A model behind an endpoint of OpenAI's form. Seeds are sent; not all servers heed them.

    `bill` is told the tokens of every reply, for the model.
    """

    def __init__(self, model: str, temperature: float, bill: Callable[[str, int], None]) -> None:
        self.model, self.temperature, self.bill = model, temperature, bill
        self.session = open_session()

    def answer(
        self, prompt: str, seeds: Sequence[int], most: int, parted: bool
    ) -> Sequence[Answer]:
        """One at a time, so that each is kept as soon as it is paid for."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "max_tokens": most,
            "seed": seeds[0] % 2**31,
        }
        where = address(CHAT)
        reply = ask(self.session, where, body)
        try:
            content = reply.json()
            choice = content["choices"][0]
            text, whole = choice["message"]["content"], choice.get("finish_reason") != CUT
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise EndpointError(f"{where} answered what is no chat reply ({error!r})") from error
        tokens = tokens_of(content)
        self.bill(self.model, tokens)
        if not isinstance(text, str):
            raise EndpointError(f"{where} answered a message without text: {text!r}")
        return [Answer(text, tokens or math.nan, whole)]  # a reply costs something


class LocalWriter:
    """A causal language model on this machine; it is asked in its own chat form, if it has one."""

    def __init__(self, folder: Path, name: str, temperature: float) -> None:
        from benchmark.core.assets import load_causal_lm, load_tokenizer
        from methods.language_models.generator import device

        try:
            self.tokenizer = load_tokenizer(folder)
            self.model = load_causal_lm(folder, "float32").requires_grad_(False).to(device())
        except (OSError, ValueError) as error:
            raise BenchmarkError(
                f"writer {name!r} is no causal language model: {str(error).splitlines()[0][:150]}"
            ) from error
        self.name, self.temperature = name, temperature
        self._lead = "" if getattr(self.tokenizer, "chat_template", None) else LEAD
        self.context = getattr(self.model.config, "max_position_embeddings", None) or 2**20

    def answer(
        self, prompt: str, seeds: Sequence[int], most: int, parted: bool
    ) -> Sequence[Answer]:
        """All at once: they share the reading of the prompt.

        Small models forget to part the texts of a pair. Such an answer's first line is taken as a
        first text, and the model goes on after the mark.
        """
        ids = self._ids(prompt)
        room = self.context - 2 * most
        if room < 1:
            raise BenchmarkError(
                f"writer {self.name!r} reads {self.context} tokens, which leaves no room for "
                f"answers of {most}"
            )
        ids = ids[-room:]  # the request is at the end
        answers = []
        for made in self._generate(ids, seeds, most):
            if parted and PART not in made.text:
                made = self._second(made, ids, seeds[:1], most)
            tokens = len(ids) // len(seeds) + made.tokens
            answers.append(Answer(self._lead + made.text, tokens, made.whole))
        return answers

    def _second(self, made: Answer, ids: Sequence[int], seeds: Sequence[int], most: int) -> Answer:
        """The first whole line of an answer as the first text of a pair, with a second one."""
        line = next(iter(made.whole_lines.strip().splitlines()), "")
        if not line:
            return made
        first = f"{line} {PART}"
        more = self.tokenizer(first, add_special_tokens=False)["input_ids"][:most]
        (second,) = self._generate([*ids, *more], seeds, most)
        tokens = made.tokens + len(ids) + len(more) + second.tokens  # all is read once more
        return Answer(f"{first} {second.text.strip()}", tokens, second.whole)

    def _generate(self, ids: Sequence[int], seeds: Sequence[int], most: int) -> list[Answer]:
        """A continuation for each seed, with its own tokens alone."""
        import torch

        given = torch.tensor([list(ids)], device=self.model.device)
        ends = self._ends()
        with isolated_torch_rng(seed_of("answers", seed=seeds[0])), torch.inference_mode():
            out = self.model.generate(
                input_ids=given, attention_mask=torch.ones_like(given), do_sample=True,
                temperature=self.temperature, top_p=0.95, max_new_tokens=most,
                num_return_sequences=len(seeds), eos_token_id=ends or None,
                pad_token_id=ends[0] if ends else 0,
            )[:, len(ids) :].tolist()  # fmt: skip
        rows = [list(takewhile(lambda token: token not in ends, row)) for row in out]
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [
            Answer(text, len(row), len(row) < len(whole))
            for text, row, whole in zip(texts, rows, out, strict=True)
        ]

    def _ends(self) -> list[int]:
        """Tokens that end an answer: the tokenizer's, and those that the model's settings name."""
        own = self.model.generation_config.eos_token_id
        named = [self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
        return [end for end in dict.fromkeys(named) if end is not None]

    def _ids(self, prompt: str) -> list[int]:
        if self._lead:
            return list(self.tokenizer(f"{prompt}\n\n{self._lead}")["input_ids"])
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


class KeptAnswers:
    """A writer whose answers are kept in a folder, one line each; what is there is not asked again.

    A killed or failed try loses nothing that was answered, and sets of other settings find it too.
    """

    def __init__(self, writer: Writer, folder: Path) -> None:
        self.writer, self.path = writer, folder / FILE
        self.tokens = 0.0
        self._known: dict[str, Answer] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                body = json.loads(line)
                self._known[body["key"]] = Answer(body["text"], body["tokens"], body["whole"])
            except (ValueError, TypeError, KeyError):
                continue  # a line that a kill cut short

    def answers(
        self, prompt: str, seeds: Sequence[int], most: int, parted: bool = False
    ) -> list[Answer]:
        """One answer for each seed."""
        keys = [hashlib.sha256(f"{seed}\0{prompt}".encode()).hexdigest() for seed in seeds]
        while missing := [i for i, key in enumerate(keys) if key not in self._known]:
            try:
                found = self.writer.answer(prompt, [seeds[i] for i in missing], most, parted)
            except UnavailableError as error:
                raise EndpointError(
                    f"{error}; {len(self._known):,} answers are kept: run it again to go on"
                ) from error
            for i, answer in zip(missing, found, strict=False):
                self._known[keys[i]] = answer
                append_line(self.path, json.dumps({"key": keys[i], **asdict(answer)}))
        answers = [self._known[key] for key in keys]
        self.tokens += sum(answer.tokens for answer in answers)
        return answers
