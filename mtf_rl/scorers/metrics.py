"""How well predictions rank and how far they can be believed: pure functions of arrays.

Every function takes predictions and labels over `rows`. A label is 0/1, or a share in [0, 1]
(a task in seconds, or a count); ranking metrics need a condition, so callers binarise shares first
(`positive`).
A metric that is not defined on the given rows is NaN, never an exception and never 0.
"""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.tasks import Task

__all__ = [
    "GroupedAUC",
    "auc",
    "calibration_ratio",
    "chance_calibration_error",
    "entropy",
    "expected_calibration_error",
    "grouped_auc",
    "log_loss",
    "normalised_entropy",
    "positive",
]

ECE_BINS = 20
PROBABILITY_FLOOR = 1e-7


@dataclass(frozen=True)
class GroupedAUC:
    """AUC within users, and how much of the rows it speaks for."""

    value: float
    """Mean of the users' AUC, weighted by their rows; NaN if no user is covered."""

    row_coverage: float
    """Fraction of rows whose user has both classes, in [0, 1]."""

    user_coverage: float
    """Fraction of users who have both classes, in [0, 1]."""


def positive(task: Task, targets: FloatArray) -> BoolArray:
    """The 0/1 condition that ranking metrics use, (rows,).

    A binary task is its own condition. A share is positive from the task's `positive_from`:
    KuaiRand's `watch` from 18 s, the threshold of its `long_view`, without the exception for videos
    shorter than that.
    """
    return np.asarray(targets >= task.positive_label)


def auc(predictions: FloatArray, positives: BoolArray) -> float:
    """P(a positive row scores above a negative one), a tie counting half; NaN with one class."""
    return grouped_auc(predictions, positives, np.zeros(len(predictions), dtype=np.int64)).value


def grouped_auc(predictions: FloatArray, positives: BoolArray, users: IntArray) -> GroupedAUC:
    """GAUC: sum_u n_u AUC_u / sum_u n_u over the users u who have both classes.

    n_u counts the user's rows. Source of the weighting: Zhu et al., "Optimized cost per click in
    Taobao display advertising", KDD 2017, equation 9, with impressions as weights. Differs from
    the paper: groups are users, not users at a position. Others leave the mean unweighted, so
    compare with published figures only after reading their definition.

    Args:
        predictions: (rows,) any monotone score.
        positives: (rows,) the condition.
        users: (rows,) integers; equal ones form a group.
    """
    if len(predictions) == 0:
        return GroupedAUC(np.nan, np.nan, np.nan)
    groups = np.unique(users, return_inverse=True)[1]  # (rows,)
    rows = np.bincount(groups).astype(np.float64)  # (users,)
    wins = np.bincount(groups, weights=positives)  # (users,) positives of each user
    losses = rows - wins
    rank_sums = np.bincount(groups, weights=_ranks(predictions, groups) * positives)  # (users,)
    covered = (wins > 0) & (losses > 0)
    if not covered.any():
        return GroupedAUC(np.nan, 0.0, 0.0)
    # Mann-Whitney: U = R - n(n + 1) / 2, where R is the sum of the ranks of the n positives.
    pairs_won = rank_sums[covered] - wins[covered] * (wins[covered] + 1.0) / 2.0
    values = pairs_won / (wins[covered] * losses[covered])  # (covered users,)
    return GroupedAUC(
        value=float(np.average(values, weights=rows[covered])),
        row_coverage=float(rows[covered].sum() / rows.sum()),
        user_coverage=float(covered.mean()),
    )


def log_loss(predictions: FloatArray, targets: FloatArray) -> float:
    """Mean cross-entropy in nats, for 0/1 or share targets; predictions are kept off 0 and 1."""
    if len(predictions) == 0:
        return np.nan
    p = np.clip(predictions.astype(np.float64), PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
    y = targets.astype(np.float64)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log1p(-p)))


def entropy(rate: float) -> float:
    """Entropy of a coin of the given rate, in nats; 0 at the ends."""
    if rate <= 0.0 or rate >= 1.0:
        return 0.0
    return float(-(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate)))


def normalised_entropy(predictions: FloatArray, targets: FloatArray) -> float:
    """NE: log loss over that of predicting the rows' base rate; below 1 means it knows something.

    Source: He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014,
    equation 1. NaN where the base rate is 0 or 1.
    """
    if len(targets) == 0:
        return np.nan
    reference = entropy(float(np.mean(targets, dtype=np.float64)))
    return log_loss(predictions, targets) / reference if reference > 0.0 else np.nan


def expected_calibration_error(
    predictions: FloatArray, targets: FloatArray, bins: int = ECE_BINS
) -> float:
    """ECE: sum_b (n_b / n) |mean prediction - mean target| over equal-mass bins.

    Equal-width bins would put a task of rate 0.001 wholly into the first one. Rows of equal
    prediction share their mean target before the cut, so that the order of rows changes nothing.

    Args:
        predictions: (rows,) probabilities.
        targets: (rows,) 0/1 or shares.
        bins: how many bins of equal mass, at least 1; fewer rows than bins make a bin each.
    """
    if len(predictions) == 0:
        return np.nan
    order = np.argsort(predictions, kind="stable")
    p = predictions[order].astype(np.float64)
    ties = np.cumsum(np.r_[False, p[1:] != p[:-1]])  # (rows,) number of the tie
    y = (np.bincount(ties, weights=targets[order]) / np.bincount(ties))[ties]
    edges = np.unique(np.linspace(0, len(p), bins + 1).astype(np.int64))
    gaps = np.add.reduceat(p - y, edges[:-1])  # (bins,) n_b times the gap
    return float(np.abs(gaps).sum() / len(p))


def chance_calibration_error(predictions: FloatArray, bins: int = ECE_BINS) -> float:
    """The ECE that 0/1 labels drawn from `predictions` themselves would show, on average.

    An ECE is a mean of absolute values, so chance alone keeps it above 0: a scorer cannot be asked
    to fall below this on so many rows. A bin's sum of labels X with mean m has E|X - m| close to
    sqrt(2 Var X / pi), or to 2 min(m, n_b - m) where hardly a label is expected.

    Args:
        predictions: (rows,) probabilities.
        bins: as in `expected_calibration_error`.
    """
    if len(predictions) == 0:
        return np.nan
    p = np.sort(predictions).astype(np.float64)
    edges = np.unique(np.linspace(0, len(p), bins + 1).astype(np.int64))
    # Rows of equal prediction share their mean label, so a tie of n has a fraction of its variance.
    ties = np.cumsum(np.r_[False, p[1:] != p[:-1]])  # (rows,)
    sizes = np.bincount(ties)[ties]
    numbers = np.repeat(np.arange(len(edges) - 1), np.diff(edges))  # (rows,) of the bin
    cells, first, inside = np.unique(
        np.stack([numbers, ties]), axis=1, return_index=True, return_counts=True
    )
    cell_variances = inside**2 / sizes[first] * p[first] * (1.0 - p[first])
    variances = np.bincount(cells[0], cell_variances)  # (bins,)
    few = np.minimum(np.add.reduceat(p, edges[:-1]), np.add.reduceat(1.0 - p, edges[:-1]))
    gaps = np.minimum(np.sqrt(2.0 * variances / np.pi), 2.0 * few)
    return float(gaps.sum() / len(p))


def calibration_ratio(predictions: FloatArray, targets: FloatArray) -> float:
    """Sum of predictions over sum of targets: 1 is calibrated on average; NaN without a target."""
    total = float(np.sum(targets, dtype=np.float64))
    return float(np.sum(predictions, dtype=np.float64)) / total if total > 0.0 else np.nan


def _ranks(predictions: FloatArray, groups: IntArray) -> FloatArray:
    """Rank from 1 of each row within its group, ties sharing their mean rank: (rows,) float64."""
    order = np.lexsort((predictions, groups))
    p, g = predictions[order], groups[order]
    new_group = np.r_[True, g[1:] != g[:-1]]
    new_tie = new_group | np.r_[True, p[1:] != p[:-1]]
    starts = np.flatnonzero(new_tie)
    ends = np.r_[starts[1:], len(p)]
    mean_position = (starts + ends + 1) / 2.0  # of each tie, counting rows from 1
    group_start = np.flatnonzero(new_group)[np.cumsum(new_group) - 1]  # (rows,)
    ranks = np.empty(len(p))
    ranks[order] = mean_position[np.cumsum(new_tie) - 1] - group_start
    return ranks
