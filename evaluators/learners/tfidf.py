"""TF-IDF learners: bag of words with scikit-learn's defaults, as DaLLME evaluates.

Each set has its own vocabulary and idf. The plain way is to tokenise the test set and make its
tf-idf matrix once per run. Here the test set is tokenised and counted once per task; a run takes
the columns of its own words and computes the same scores from the counts::

    scores = counts @ (idf * coef) / sqrt(counts**2 @ idf**2) + intercept

A sentence pair is read as one text, its two parts joined with a space.

Fitting is scikit-learn's own and so are its costs. Logistic regression is the dear one: at 20
examples per class 0.07 s on banking77 (77 classes), 0.15 s on 20 Newsgroups, and 9 s on the whole
training set of the latter, on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import TestTexts, register_learner
from evaluators.linear import Linear, LinearLearner

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix
    from sklearn.base import ClassifierMixin


@dataclass(frozen=True)
class WordCounts:
    """How often each word stands in each test text: int32, by column, so that words are cheap."""

    matrix: csc_matrix
    column_of: Mapping[str, int]

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordCounts:
        """Count `texts` with `CountVectorizer`, which tokenises as `TfidfVectorizer` does."""
        from scipy.sparse import csc_matrix
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(dtype=np.int32)
        if not _has_words(vectorizer, texts):
            return cls(csc_matrix((len(texts), 0), dtype=np.int32), {})
        matrix = vectorizer.fit_transform(texts).tocsc()
        return cls(matrix, vectorizer.vocabulary_)

    def scores(self, words: Sequence[str], idf: np.ndarray, linear: Linear) -> np.ndarray:
        """Return the scores of a classifier of tf-idf vectors over `words`, shape (n, C).

        Only columns of `words` are touched, and float64 copies of them live for this call alone.
        """
        from scipy.sparse import csc_matrix

        columns = np.array([self.column_of.get(word, -1) for word in words], dtype=np.int32)
        known = np.flatnonzero(columns >= 0)
        used = np.flatnonzero(linear.coef.any(axis=1))  # a class without coefficients costs nothing
        scores = np.tile(linear.intercept, (self.matrix.shape[0], 1))
        if not (len(known) and len(used)):
            return scores
        idf = idf[known]
        counts = self.matrix[:, columns[known]]
        values = counts.data.astype(np.float64)
        layout = (counts.indices, counts.indptr)
        weights = (linear.coef[np.ix_(used, known)] * idf).T
        products = csc_matrix((values, *layout), counts.shape) @ np.ascontiguousarray(weights)
        np.square(values, out=values)
        norms = np.sqrt(csc_matrix((values, *layout), counts.shape) @ np.square(idf))
        norms[norms == 0] = 1  # as scikit-learn: a text without known words stays zero
        products /= norms[:, None]
        scores[:, used] += products
        return scores


def _has_words(vectorizer: Any, texts: Sequence[str]) -> bool:
    """Whether any text has a token; scikit-learn raises on an empty vocabulary."""
    return any(map(vectorizer.build_analyzer(), texts))


def _joined(columns: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    """Join the columns of each row with one space."""
    return [" ".join(parts) for parts in zip(*(columns[name] for name in names), strict=True)]


class TfIdf(LinearLearner):
    """Base of the TF-IDF learners; each one names its classifier.

    Recipe: `TfidfVectorizer()` as scikit-learn has it (lower case, words of two and more letters or
    digits, smoothed idf, rows of unit length), fitted on the distilled set alone; then one
    classifier with scikit-learn's defaults. Nothing is tuned. Soft labels are weights: each row
    is given once per class.

    Source: Tao et al., "Textual Dataset Distillation via Language Model Embedding", EMNLP Findings
    2024, which evaluates on TF-IDF with these classifiers. The parameters are scikit-learn's.
    """

    def prepare(self, test: TestTexts) -> WordCounts:
        """Count the test set, once per task for all TF-IDF learners."""
        key = "tfidf word counts"
        if key not in test.scratch:
            test.scratch[key] = WordCounts.of(_joined(test.columns, list(test.columns)))
        return test.scratch[key]

    def represent(
        self, distilled: DistilledSet, test: TestTexts, prepared: WordCounts
    ) -> tuple[csr_matrix, Callable[[Linear], np.ndarray]]:
        """Fit the vectorizer on the set; a set without a word has no columns."""
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = _joined(distilled.columns, list(test.columns))
        vectorizer = TfidfVectorizer()
        if not _has_words(vectorizer, texts):
            return csr_matrix((len(texts), 0)), partial(prepared.scores, (), np.zeros(0))
        features = vectorizer.fit_transform(texts)
        words = vectorizer.get_feature_names_out()
        return features, partial(prepared.scores, words, vectorizer.idf_)


@register_learner("tfidf-lr", paper="tao2024dallme")
class TfIdfLogisticRegression(TfIdf):
    """TF-IDF and logistic regression (L2 penalty, C = 1, lbfgs, at most 100 iterations).

    The rest of the recipe and its source are as `TfIdf` says.
    """

    def classifier(self) -> ClassifierMixin:
        """Return scikit-learn's default."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression()


@register_learner("tfidf-nb", paper="tao2024dallme")
class TfIdfNaiveBayes(TfIdf):
    """TF-IDF and multinomial naive Bayes (alpha = 1); scores are joint log-likelihoods.

    The rest of the recipe and its source are as `TfIdf` says.
    """

    def classifier(self) -> ClassifierMixin:
        """Return scikit-learn's default."""
        from sklearn.naive_bayes import MultinomialNB

        return MultinomialNB()


@register_learner("tfidf-svm", paper="tao2024dallme")
class TfIdfSVM(TfIdf):
    """TF-IDF and linear SVM (C = 1, squared hinge, one against the rest).

    The rest of the recipe and its source are as `TfIdf` says.
    """

    def classifier(self) -> ClassifierMixin:
        """Return scikit-learn's default; its dual solver draws, so the draw is fixed."""
        from sklearn.svm import LinearSVC

        return LinearSVC(random_state=0)
