"""TF-IDF runs against scikit-learn's plain pipeline, on 25,000 test texts of IMDB's size.

Real IMDB where BENCHMARK_ASSETS names an assets directory that has it, else synthetic reviews with
its number of words and a Zipf vocabulary. Run with `-s` to see the figures.
"""

import contextlib
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Run, TestTexts
from evaluators.learners.tfidf import TfIdfLogisticRegression, TfIdfNaiveBayes, TfIdfSVM

PLAIN = {
    TfIdfLogisticRegression: LogisticRegression,
    TfIdfNaiveBayes: MultinomialNB,
    TfIdfSVM: lambda: LinearSVC(random_state=0),
}
CLASSES = ("neg", "pos")
N_TEST, N_SETS = 25_000, 20


def synthetic_reviews(rng, n):
    """Reviews of about 230 words (log-normal) over 100,000 words of Zipf frequency."""
    lengths = np.clip(rng.lognormal(5.2, 0.65, n), 10, 2500).astype(int)
    weights = 1 / np.arange(1, 100_001)
    ranks = rng.choice(100_000, lengths.sum(), p=weights / weights.sum())
    words = np.array([f"w{rank:x}" for rank in range(100_000)], dtype=object)[ranks]
    return [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])]


def imdb():
    """Return (name, train texts, train labels, test texts)."""
    folder = Path(os.environ.get("BENCHMARK_ASSETS", "")) / "datasets/stanfordnlp/imdb/plain_text"
    if "BENCHMARK_ASSETS" in os.environ and folder.exists():
        import pyarrow.parquet as parquet

        train, test = (
            parquet.read_table(folder / f"{split}.parquet") for split in ("train", "test")
        )
        labels = np.array(train["label"])
        return "IMDB", train["text"].to_pylist(), labels, test["text"].to_pylist()
    rng = np.random.default_rng(0)
    return (
        "synthetic",
        synthetic_reviews(rng, 2000),
        np.arange(2000) % 2,
        synthetic_reviews(rng, N_TEST),
    )


def reset_peak():
    with contextlib.suppress(OSError):  # Linux only; elsewhere an earlier peak may hide growth
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux


@pytest.mark.performance
def test_thirty_times_faster_than_the_plain_pipeline():
    name, texts, labels, queries = imdb()
    assert len(queries) == N_TEST
    rng = np.random.default_rng(0)

    def sample(dpc):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(labels == c), dpc, replace=False) for c in (0, 1)]
        )
        return DistilledSet.of_texts({"text": [texts[row] for row in rows]}, labels[rows], CLASSES)

    test = TestTexts({"text": queries}, CLASSES, "f", lambda _: None, lambda *_: None)
    reset_peak()
    before = peak_megabytes()
    start = time.perf_counter()
    counts = TfIdfNaiveBayes().prepare(test).matrix
    counting = time.perf_counter() - start
    kept = sum(part.nbytes for part in (counts.data, counts.indices, counts.indptr)) / 2**20
    print(f"\n{name}: {N_TEST:,} texts, {counts.nnz:,} counts, counted once in {counting:.2f} s")

    fast, checks = {}, {}
    for dpc in (5, 10, 20):
        runs = [Run(sample(dpc), seed) for seed in range(N_SETS)]
        for learner in PLAIN:
            start = time.perf_counter()
            outcomes = list(learner().fit_predict(runs, test, {}))
            fast[learner, dpc] = (time.perf_counter() - start) / N_SETS
            checks[learner, dpc] = runs[0].distilled, outcomes[0].scores
    grown = peak_megabytes() - before
    print(f"memory: counts {kept:.0f} MB, peak of the process grew by {grown:.0f} MB")

    ratios = {}
    for (learner, dpc), (distilled, scores) in checks.items():
        if dpc != 10 and learner is not TfIdfLogisticRegression:
            continue  # the plain pipeline takes seconds
        with threadpool_limits(1):
            start = time.perf_counter()
            plain = make_pipeline(TfidfVectorizer(), PLAIN[learner]())
            plain.fit(distilled.columns["text"], distilled.labels)
            if learner is TfIdfNaiveBayes:
                expected = plain[-1].predict_joint_log_proba(plain[0].transform(queries))
            else:
                expected = np.outer(plain.decision_function(queries), [0, 1])
            seconds = time.perf_counter() - start
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)
        ratios[learner, dpc] = seconds / fast[learner, dpc]
        print(
            f"{learner.__name__:24} DPC {dpc:2}: plain {seconds:.2f} s, here "
            f"{fast[learner, dpc] * 1e3:.1f} ms a run, {ratios[learner, dpc]:.0f} times faster"
        )
    amortised = (counting + sum(fast.values()) * N_SETS) / (len(fast) * N_SETS)
    print(
        f"with the counting spread over these {len(fast) * N_SETS} runs: {amortised * 1e3:.1f} ms"
    )
    assert min(ratios.values()) >= 30
    assert grown < 1000
