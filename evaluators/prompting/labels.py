"""Label words, and the tree of their tokens by which they are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.prompting.pieces import ANCHOR, LABEL, SEPARATOR, continuation

ROOT = -1


def label_words(classes: Sequence[str]) -> list[str]:
    """Return class names as words: underscores are spaces.

    Names that would become the same word, or none, are all left as they are.
    """
    words = [" ".join(name.replace("_", " ").split()) for name in classes]
    return words if len(set(words)) == len(words) and all(words) else list(classes)


@dataclass(frozen=True)
class Branch:
    """A place where labels part: the next tokens seen there, and which class takes which.

    `node` is the tree token it follows, or `ROOT`, the end of the test row. Class `classes[i]`
    goes on with `tokens[choices[i]]`.
    """

    node: int
    tokens: np.ndarray
    classes: np.ndarray
    choices: np.ndarray


@dataclass(frozen=True)
class LabelTree:
    """The tokens that label words share before they part, as a tree, and its branches.

    Most tasks have one branch, at the root, and no tokens. A label ends with the token that
    follows it in the prompt, so that "card" and "card arrival" part too.

    Attributes
    ----------
    tokens : the tree's tokens, each after its parent.
    parents : position of each token's parent, or `ROOT`.
    depths : 0 for children of the root.
    """

    tokens: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    branches: tuple[Branch, ...]
    n_classes: int

    @classmethod
    def of(cls, tokenizer: Any, words: Sequence[str]) -> LabelTree:
        """Build the tree of label words as the tokenizer writes them after "label:"."""
        end = continuation(tokenizer, ANCHOR, SEPARATOR + LABEL)[0]
        return cls.of_tokens([[*continuation(tokenizer, LABEL, f" {word}"), end] for word in words])

    @classmethod
    def of_tokens(cls, labels: Sequence[Sequence[int]]) -> LabelTree:
        """Build the tree of token sequences, none of which begins another one."""
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        branches: list[Branch] = []

        def grow(members: Sequence[int], depth: int, node: int) -> None:
            groups: dict[int, list[int]] = {}
            for member in members:
                groups.setdefault(labels[member][depth], []).append(member)
            if len(groups) > 1:
                branches.append(_branch(node, groups))
            for token, group in groups.items():
                if len({tuple(labels[member]) for member in group}) > 1:
                    tokens.append(token)
                    parents.append(node)
                    depths.append(depth)
                    grow(group, depth + 1, len(tokens) - 1)

        if len(set(map(tuple, labels))) > 1:
            grow(range(len(labels)), 0, ROOT)
        arrays = (np.array(column, dtype=np.int64) for column in (tokens, parents, depths))
        return cls(*arrays, tuple(branches), len(labels))

    @property
    def depth(self) -> int:
        """How many tokens the longest path has."""
        return int(self.depths.max()) + 1 if len(self.depths) else 0

    def ancestry(self) -> np.ndarray:
        """Return which token (row) has which token (column) on its path, itself included."""
        size = len(self.tokens)
        lies = np.eye(size, dtype=bool)
        for token, parent in enumerate(self.parents):
            if parent != ROOT:
                lies[token] |= lies[parent]
        return lies


def _branch(node: int, groups: dict[int, list[int]]) -> Branch:
    members = [(member, i) for i, group in enumerate(groups.values()) for member in group]
    classes, choices = np.array(members).T
    return Branch(node, np.array(list(groups)), classes, choices)
