"""Which tokens may stand in a text, and the tokens of label words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.core.errors import InputError

MARKS = ".,!?'-"
LONGEST = 17
"""Characters of a token: longer ones are names of files and the like."""
WITHIN = "##"
"""How WordPiece marks a token that goes on with a word."""
ANCHOR = "a"  # stands before a word, so that a tokenizer puts no start of text there


def writable(tokenizer: Any, size: int) -> np.ndarray:
    """Ids below `size` that may stand in a readable text.

    Tokens of Latin letters, or one mark of `.,!?'-`; no digits, no special tokens, none of more
    than 17 characters. The paper's released code bans much the same.
    """
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(size)))
    kept = [
        i
        for i, token in enumerate(tokens)
        if token is not None and i not in special and _is_readable(tokenizer, i, token)
    ]
    if not kept:
        raise InputError("the tokenizer has no token of letters; no text can be written with it")
    return np.array(kept, dtype=np.int64)


def may_begin(tokenizer: Any, ids: np.ndarray) -> np.ndarray:
    """Those of some ids that may be a text's first: none that WordPiece would put within a word.

    It would be written out with its mark, as nothing stands before it. Byte-level tokens have no
    such mark; any of them reads as the beginning of a word there.
    """
    tokens = tokenizer.convert_ids_to_tokens(ids.tolist())
    return ids[[not token.startswith(WITHIN) for token in tokens]]


def _is_readable(tokenizer: Any, number: int, token: str) -> bool:
    within = token.startswith(WITHIN)
    text = token.removeprefix(WITHIN) if within else tokenizer.decode([number])
    word = text.strip()
    letters = word.replace("'", "")
    plain = letters.isalpha() and letters.isascii()
    return len(word) <= LONGEST and (plain or (len(word) == 1 and word in MARKS))


def words_of_classes(classes: Sequence[str], given: Sequence[str]) -> list[str]:
    """The label words: those given, or class names with underscores read as spaces.

    Raises `InputError` for words that are not one a class, or the same for two classes.
    """
    words = list(given) or [" ".join(name.replace("_", " ").split()) for name in classes]
    if len(words) != len(classes):
        raise InputError(f"{len(words)} label words for {len(classes)} classes: {', '.join(words)}")
    if len(set(words)) < len(words) or not all(words):
        raise InputError(
            f"label words must be different and not blank: {', '.join(map(repr, words))}; give "
            "one for each class with words=first+second"
        )
    return words


def label_tokens(tokenizer: Any, words: Sequence[str], model: str) -> list[list[int]]:
    """Tokens of each label word as it follows a text.

    One token a class where the first tokens of all words differ, which is what the paper compares;
    else each word's tokens up to the last one.

    Raises `InputError` for a word that the model has no tokens for, or two that it can't tell
    apart; and for a word of several tokens where the first alone would count: a byte-level model
    has tokens for any word, and those of one that it does not know are bits of it.
    """
    before = tokenizer(ANCHOR, add_special_tokens=False)["input_ids"]
    found = []
    for word in words:
        ids = tokenizer(f"{ANCHOR} {word}", add_special_tokens=False)["input_ids"][len(before) :]
        if not ids or tokenizer.unk_token_id in ids:
            raise InputError(
                f"model {model!r} has no tokens for the label word {word!r}; give words that it "
                "knows, one for each class, with words=first+second"
            )
        found.append([int(i) for i in ids])
    if len({ids[0] for ids in found}) == len(found):
        for word, ids in zip(words, found, strict=True):
            if len(ids) > 1:
                bits = " ".join(repr(tokenizer.decode([i]).strip()) for i in ids)
                raise InputError(
                    f"model {model!r} reads the label word {word!r} as {len(ids)} tokens ({bits}), "
                    f"and {bits.split()[0]} alone would count; give words of one token, one for "
                    "each class, with words=first+second"
                )
        return found
    if len(set(map(tuple, found))) < len(found):
        raise InputError(f"model {model!r} reads two of the label words {list(words)} as the same")
    return found
