"""The benchmark of text dataset distillation: plan, run, record and rank."""

__version__ = "0.1.0"
