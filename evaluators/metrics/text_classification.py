"""The metrics of text classification as an `evaluate` module, after GLUE's. Local: no hub.

    evaluate.load("evaluators/metrics/text_classification.py", "accuracy_f1")

The configurations are the names that a task's `metric` may have. The harness scores its many runs
by `evaluators.scoring`, which a test holds equal to this module.
"""

import datasets
import evaluate

DESCRIPTION = """\
Metrics of text classification as the GLUE benchmark defines them. F1 is that of class 1, the
positive one, and needs two classes; accuracy_f1 is the mean of accuracy and F1 (MRPC, QQP);
matthews is the Matthews correlation coefficient (CoLA). What would divide by zero is 0.
"""

INPUTS = """\
Args:
    predictions: class indices, one for each example.
    references: the true class indices.
Returns:
    "accuracy": accuracy
    "macro_f1": macro_f1, the plain mean of F1 over the classes that occur in either list
    "matthews": matthews
    "accuracy_f1": accuracy_f1, and its two parts accuracy and f1
Examples:

    >>> metric = evaluate.load("evaluators/metrics/text_classification.py", "accuracy_f1")
    >>> metric.compute(predictions=[0, 1, 1, 1], references=[0, 1, 0, 1])
    {'accuracy': 0.75, 'f1': 0.8, 'accuracy_f1': 0.775}
"""

CITATION = """\
@inproceedings{wang2019glue,
  title     = {{GLUE}: A Multi-Task Benchmark and Analysis Platform for Natural Language
               Understanding},
  author    = {Wang, Alex and Singh, Amanpreet and Michael, Julian and Hill, Felix and Levy, Omer
               and Bowman, Samuel R.},
  booktitle = {International Conference on Learning Representations},
  year      = {2019}
}
"""


class TextClassification(evaluate.Metric):
    """Accuracy, accuracy and F1, Matthews correlation or macro-F1, by configuration name."""

    def _info(self):
        if self.config_name not in CONFIGURATIONS:
            raise KeyError(
                f"no metric {self.config_name!r}; name one of {', '.join(CONFIGURATIONS)}"
            )
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
            reference_urls=["https://gluebenchmark.com"],
        )

    def _compute(self, predictions, references):
        return CONFIGURATIONS[self.config_name](predictions, references)


def accuracy(predictions, references):
    """Share of predictions that are right."""
    from sklearn.metrics import accuracy_score

    return {"accuracy": float(accuracy_score(references, predictions))}


def accuracy_f1(predictions, references):
    """Mean of accuracy and of F1 of class 1, with both parts."""
    from sklearn.metrics import f1_score

    share = accuracy(predictions, references)["accuracy"]
    f1 = float(f1_score(references, predictions, pos_label=1, zero_division=0))
    return {"accuracy": share, "f1": f1, "accuracy_f1": (share + f1) / 2}


def matthews(predictions, references):
    """Matthews correlation coefficient."""
    from sklearn.metrics import matthews_corrcoef

    return {"matthews": float(matthews_corrcoef(references, predictions))}


def macro_f1(predictions, references):
    """Plain mean of F1 over the classes that occur."""
    from sklearn.metrics import f1_score

    return {"macro_f1": float(f1_score(references, predictions, average="macro", zero_division=0))}


CONFIGURATIONS = {
    "accuracy": accuracy,
    "accuracy_f1": accuracy_f1,
    "matthews": matthews,
    "macro_f1": macro_f1,
}
