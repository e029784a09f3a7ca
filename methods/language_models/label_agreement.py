"""Do generated rows belong to the class that they were generated for?"""

from __future__ import annotations

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.language_models.generator import Generator
from methods.language_models.sampling import columns_of, sample_texts

ROWS = 200
"""Generated rows of each class that are looked at."""
HELD_OUT = 0.1


def note_label_agreement(
    pool: Pool, generator: Generator, encoder: str, top_p: float, precision: str, journal: Journal
) -> None:
    """Write down how often a classifier of real rows says what generated rows were meant to be.

    The classifier is a logistic regression on the encoder's features of 90% of the pool; how often
    it is right on the other 10% stands beside, as generated rows can hardly do better.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    seed = seed_of("label-agreement", task=pool.task)
    rest, held_out = pool.split(HELD_OUT, numpy_generator(seed))
    if len(set(rest.labels)) < len(pool.classes):
        return  # a class of one or two rows leaves nothing to learn it from
    with threadpool_limits(1):
        classifier = LogisticRegression(max_iter=1000).fit(rest.embed(encoder), rest.labels)
    right = classifier.predict(held_out.embed(encoder)) == held_out.labels
    agreeing = []
    for label in range(len(pool.classes)):
        rows = sample_texts(generator, label, ROWS, seed + label, top_p=top_p, precision=precision)
        features = pool.services.encode(encoder, columns_of(pool.text_columns, rows))
        agreeing.append(np.mean(classifier.predict(features) == label))
    journal.find("label_agreement", float(np.mean(agreeing)))
    journal.find("label_agreement_of_real_rows", float(np.mean(right)))
