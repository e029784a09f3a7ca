"""What a cell's scores say, and how sure that is.

The unit of analysis is the distilled set: the training seeds on one set share that set and are
not independent, so a test that counts every run as one finds "differences" between equal methods
(26% of the time instead of 5% at an intra-class correlation of 0.5, 20 sets x 5 seeds). Every
number that decides something here is computed from set means.

Scores of a cell come as ``scores[set, seed]``, or as a list with one 1-D array per set when runs
are missing. A higher score is always the better one.
"""

from evaluators.statistics.across_tasks import (
    Friedman,
    RankCorrelation,
    critical_difference,
    friedman,
    rank_correlation,
)
from evaluators.statistics.bootstrap import (
    BootstrapResult,
    aggregate_interval,
    resampled_scores,
    two_stage_bootstrap,
)
from evaluators.statistics.family import (
    Comparison,
    compare_family,
    detectable_difference,
    hedges_g,
    holm,
    probability_of_improvement,
)
from evaluators.statistics.ranks import Rank, rank_with_ties
from evaluators.statistics.sets import (
    CellSummary,
    Scores,
    design_effect,
    icc,
    runs_by_set,
    set_means,
    summarise,
    t_interval,
)
from evaluators.statistics.welch import Welch, welch, welch_runs, welch_sets

__all__ = [
    "BootstrapResult",
    "CellSummary",
    "Comparison",
    "Friedman",
    "Rank",
    "RankCorrelation",
    "Scores",
    "Welch",
    "aggregate_interval",
    "compare_family",
    "critical_difference",
    "design_effect",
    "detectable_difference",
    "friedman",
    "hedges_g",
    "holm",
    "icc",
    "probability_of_improvement",
    "rank_correlation",
    "rank_with_ties",
    "resampled_scores",
    "runs_by_set",
    "set_means",
    "summarise",
    "t_interval",
    "two_stage_bootstrap",
    "welch",
    "welch_runs",
    "welch_sets",
]
