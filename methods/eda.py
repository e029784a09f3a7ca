"""EDA: rows drawn at random, each with copies in which a few words are changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.method import Budget, Generator, register
from benchmark.core.outline import Outline
from benchmark.core.parameters import require_at_least
from benchmark.core.pool import Pool

Synonyms = Mapping[str, Sequence[str]]
NO_SYNONYMS = "none"


@register("eda", paper="wei2019eda")
class EDA(Generator):
    """Draw rows as `random` does and add nine edited copies of each: ten times the budget.

    Each copy undergoes one of four edits (Wei and Zou, section 2): synonyms in place of words,
    synonyms of its words at random places, two words swapped, words deleted. Of a text of l words
    max(1, alpha l) are changed; deletion takes each word with probability alpha and leaves one. The
    copies of a row take the edits in turn, those left out of the last round drawn at random. Of a
    pair both texts are edited.

    Synonyms are neighbours in GloVe, not WordNet's: no package with WordNet's data is kept. A word
    has the ten nearest of the 50,000 most frequent words whose cosine with it is 0.6 or more; stop
    words have none. Neighbours may be antonyms (`good` and `bad` are), so that an edited row may
    have left its class more often than with the original's synonyms. With `synonyms = "none"` only
    swaps and deletions are made. The libraries nlpaug and textaugment take synonyms from WordNet
    through nltk, whose data are a download apart. The original drops punctuation and capitals; here
    they stay.

    Parameters
    ----------
    times : rows that a row of the budget becomes, itself included.
    alpha : share of a text's words that an edit changes.
    synonyms : catalogue name of the word vectors whose neighbours are taken, or `none`.

    References
    ----------
    J. Wei and K. Zou, "EDA: easy data augmentation techniques for boosting performance on text
    classification tasks", EMNLP-IJCNLP 2019.
    """

    times: int = 10
    alpha: float = 0.1
    synonyms: str = "glove-50d"

    budget = "multiple"
    draws_rows = True
    toy = {"synonyms": NO_SYNONYMS}

    def __post_init__(self) -> None:
        require_at_least(self, 1, "times")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie between 0 and 1")

    @property
    def models(self) -> tuple[str, ...]:
        """The word vectors, if it takes synonyms from any."""
        return () if self.synonyms == NO_SYNONYMS else (self.synonyms,)

    def refuses(self, outline: Outline, budget: Budget) -> str:
        """Refuse a model that is no word vectors."""
        from benchmark.core.assets import is_word_vectors

        folder = outline.models.get(self.synonyms)
        if folder is None or is_word_vectors(folder):
            return ""
        return (
            f"synonyms = {self.synonyms!r} is a transformer; word vectors are meant, as glove-50d"
        )

    def generate(
        self, pool: Pool, label: int, size: int, rng: np.random.Generator, state: Path | None
    ) -> Mapping[str, Sequence[str]]:
        """Return `times` x `size` rows: each drawn row, then its copies."""
        members = np.flatnonzero(pool.labels == label)
        if len(members) < size:
            raise BenchmarkError(
                f"task {pool.task!r}: class {pool.classes[label]!r} has {len(members)} "
                f"examples, fewer than the {size} to draw"
            )
        drawn = pool.texts(rng.choice(members, size, replace=False))
        edits = self._edits(pool, [text for column in drawn.values() for text in column])
        columns: dict[str, list[str]] = {name: [] for name in drawn}
        for row in range(size):
            chosen = _in_turn(len(edits), self.times - 1, rng)
            for name, texts in drawn.items():
                columns[name].append(texts[row])
                columns[name] += [edits[i](texts[row].split(), rng) for i in chosen]
        return columns

    def _edits(self, pool: Pool, texts: Sequence[str]) -> list[Edit]:
        """The edits that can be made, each from the words of a text to a text."""
        alpha = self.alpha
        edits: list[Edit] = [
            lambda words, rng: " ".join(swap(words, how_many(words, alpha), rng)),
            lambda words, rng: " ".join(delete(words, alpha, rng)),
        ]
        if self.synonyms == NO_SYNONYMS:
            return edits
        from methods.word_neighbours import neighbours

        found = neighbours(
            pool.services.model(self.synonyms), {part(w).core for t in texts for w in t.split()}
        )
        return [
            lambda words, rng: " ".join(replace(words, how_many(words, alpha), found, rng)),
            lambda words, rng: " ".join(insert(words, how_many(words, alpha), found, rng)),
            *edits,
        ]


Edit = Callable[[list[str], np.random.Generator], str]


@dataclass(frozen=True)
class Parts:
    """A word as it is looked up, and what stands round it: `("Good!)` is `("`, `good`, `!)`."""

    before: str
    core: str
    after: str
    capital: bool

    def dressed(self, other: str) -> str:
        """Another word in the place of this one."""
        other = other[:1].upper() + other[1:] if self.capital else other
        return f"{self.before}{other}{self.after}"


def part(word: str) -> Parts:
    """Take a word apart; the core is in lower case, and empty if there is no letter or digit."""
    inside = [i for i, character in enumerate(word) if character.isalnum()]
    if not inside:
        return Parts(word, "", "", False)
    first, last = inside[0], inside[-1] + 1
    core = word[first:last]
    return Parts(word[:first], core.lower(), word[last:], core[0].isupper())


def how_many(words: Sequence[str], alpha: float) -> int:
    """Words of a text that an edit changes."""
    return max(1, int(alpha * len(words)))


def replace(
    words: Sequence[str], count: int, synonyms: Synonyms, rng: np.random.Generator
) -> list[str]:
    """Put synonyms in place of `count` different words, wherever they stand; fewer if few have."""
    changed = list(words)
    parts = [part(word) for word in words]
    known = list(dict.fromkeys(p.core for p in parts if p.core in synonyms))
    for core in rng.permutation(known)[:count] if known else ():
        other = str(rng.choice(synonyms[core]))
        changed = [
            p.dressed(other) if p.core == core else word
            for p, word in zip(parts, changed, strict=True)
        ]
    return changed


def insert(
    words: Sequence[str], count: int, synonyms: Synonyms, rng: np.random.Generator
) -> list[str]:
    """Add synonyms of `count` of the words at random places; none where no word has any."""
    changed = list(words)
    known = [p.core for p in map(part, words) if p.core in synonyms]
    for core in rng.choice(known, count) if known else ():
        changed.insert(int(rng.integers(len(changed) + 1)), str(rng.choice(synonyms[core])))
    return changed


def swap(words: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """Exchange two words, `count` times; a single word stays."""
    changed = list(words)
    for _ in range(count if len(changed) > 1 else 0):
        i, j = rng.choice(len(changed), 2, replace=False)
        changed[i], changed[j] = changed[j], changed[i]
    return changed


def delete(words: Sequence[str], probability: float, rng: np.random.Generator) -> list[str]:
    """Leave each word out with this probability; one that is drawn stays if all would go."""
    kept = rng.random(len(words)) >= probability
    if not kept.any():
        kept[rng.integers(len(words))] = True
    return [word for word, stays in zip(words, kept, strict=True) if stays]


def _in_turn(edits: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` numbers below `edits`, each as often as any other, or once less."""
    left = rng.permutation(edits)[: count % edits]
    return np.concatenate([np.tile(np.arange(edits), count // edits), left])
