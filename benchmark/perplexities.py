"""Perplexities of the sets in a store, under a language model that the user names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmark.core.errors import DamagedFileError, InputError
from benchmark.core.library import Library
from benchmark.core.records import SetRecord, Status
from benchmark.frame import PERPLEXITY
from benchmark.store import Store


def unread_sets(store: Store, suite: str, model: str) -> list[SetRecord]:
    """Return the sets of a suite that `model` has not read; those without texts are left out."""
    found = store.database.execute(
        "SELECT DISTINCT set_key FROM rows WHERE suite=? AND dpc<>'0'", (suite,)
    )
    keys = {row[0] for row in found}
    return [
        record
        for key, record in sorted(store.sets().items())
        if key in keys
        and record.status == Status.OK
        and "tokens" in record.facts
        and f"{PERPLEXITY}{model}" not in record.facts
    ]


def read_sets(
    store: Store, records: Sequence[SetRecord], model: str, library: Library
) -> Iterator[SetRecord]:
    """Note the perplexity of each set in the store, and yield its record as it then is.

    What another model said before is replaced. A damaged set stays as it is: `run` makes it again.

    Raises `InputError` when the model is no causal language model, `UnavailableError` when it can't
    be had.
    """
    from evaluators.perplexity import PerplexityJudge

    folder = library.model_folder(model)
    try:
        judge = PerplexityJudge(folder)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--perplexity {model} is no causal language model that can be loaded: "
            f"{str(error).splitlines()[0]}"
        ) from error
    for record in records:
        try:
            distilled = store.load_set(record)
        except DamagedFileError:
            yield record
            continue
        facts = {k: v for k, v in record.facts.items() if not k.startswith(PERPLEXITY)}
        facts[f"{PERPLEXITY}{model}"] = judge.perplexity(distilled.columns or {})
        store.put_set(read := replace(record, facts=facts))
        store.commit()
        yield read
