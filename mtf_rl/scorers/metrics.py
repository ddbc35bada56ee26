"""Ranking and calibration metrics: pure functions of arrays.

Every function takes predictions and labels over `rows`. A label is 0 or 1 for a binary task, and a
fraction in [0, 1] for a task in seconds or a count. Ranking metrics need 0/1 labels, so callers
binarise fractions first (`positive`). A metric that is undefined on the given rows is NaN.
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
    """AUC within users, and the fractions of rows and users that it covers."""

    value: float
    """Mean of the users' AUC, weighted by their rows; NaN if no user has both classes."""

    row_coverage: float
    """Fraction of rows whose user has both classes, in [0, 1]."""

    user_coverage: float
    """Fraction of users who have both classes, in [0, 1]."""


def positive(task: Task, targets: FloatArray) -> BoolArray:
    """The 0/1 labels that ranking metrics use, (rows,).

    A binary task keeps its labels. For other tasks a row is positive from the task's
    `positive_from`. KuaiRand's `watch` is positive from 18 s, the threshold of its `long_view`,
    without the exception for shorter videos.
    """
    return np.asarray(targets >= task.positive_label)


def auc(predictions: FloatArray, positives: BoolArray) -> float:
    """P(a positive row scores above a negative row); a tie counts half. NaN with one class."""
    return grouped_auc(predictions, positives, np.zeros(len(predictions), dtype=np.int64)).value


def grouped_auc(predictions: FloatArray, positives: BoolArray, users: IntArray) -> GroupedAUC:
    """GAUC: sum_u n_u AUC_u / sum_u n_u over the users u who have both classes.

    n_u is the user's number of rows. Source of the weighting: Zhu et al., "Optimized cost per click
    in Taobao display advertising", KDD 2017, equation 9, with impressions as weights. Unlike the
    paper, we group by user, not by user and position. Some publications use the unweighted mean, so
    check the definition before comparing with published values.

    Args:
        predictions: (rows,) scores; only their order matters.
        positives: (rows,) bool labels.
        users: (rows,) integers; rows with equal values form a group.
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
    """Mean cross-entropy in nats, for targets in [0, 1]; predictions are clipped off 0 and 1."""
    if len(predictions) == 0:
        return np.nan
    p = np.clip(predictions.astype(np.float64), PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
    y = targets.astype(np.float64)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log1p(-p)))


def entropy(rate: float) -> float:
    """Entropy of a Bernoulli variable with the given rate, in nats; 0 at rates 0 and 1."""
    if rate <= 0.0 or rate >= 1.0:
        return 0.0
    return float(-(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate)))


def normalised_entropy(predictions: FloatArray, targets: FloatArray) -> float:
    """NE: log loss divided by the log loss of predicting the rows' base rate.

    A value below 1 is better than predicting the base rate; NaN if the base rate is 0 or 1.
    Source: He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014,
    equation 1.
    """
    if len(targets) == 0:
        return np.nan
    reference = entropy(float(np.mean(targets, dtype=np.float64)))
    return log_loss(predictions, targets) / reference if reference > 0.0 else np.nan


def expected_calibration_error(
    predictions: FloatArray, targets: FloatArray, bins: int = ECE_BINS
) -> float:
    """ECE: sum_b (n_b / n) |mean prediction - mean target| over equal-mass bins.

    With equal-width bins, all rows of a task with rate 0.001 would fall into the first bin. Rows
    with equal predictions get their mean target before binning, so the order of rows has no effect.

    Args:
        predictions: (rows,) probabilities.
        targets: (rows,) labels in [0, 1].
        bins: number of equal-mass bins, at least 1; at most one bin per row is used.
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
    """The expected ECE of perfectly calibrated `predictions`, from sampling noise alone.

    An ECE is a mean of absolute values, so sampling noise keeps it above 0; no scorer can be
    expected to fall below this value on the same rows. A bin's sum of labels X with mean m has
    E|X - m| close to sqrt(2 Var X / pi), or close to 2 min(m, n_b - m) if few labels are expected.

    Args:
        predictions: (rows,) probabilities.
        bins: as in `expected_calibration_error`.
    """
    if len(predictions) == 0:
        return np.nan
    p = np.sort(predictions).astype(np.float64)
    edges = np.unique(np.linspace(0, len(p), bins + 1).astype(np.int64))
    # ECE gives tied rows their mean label. If a bin holds only part of a tie, the variance of its
    # sum is smaller in proportion.
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
    """Sum of predictions over sum of targets: 1 is calibrated on average, NaN without targets."""
    total = float(np.sum(targets, dtype=np.float64))
    return float(np.sum(predictions, dtype=np.float64)) / total if total > 0.0 else np.nan


def _ranks(predictions: FloatArray, groups: IntArray) -> FloatArray:
    """Rank of each row within its group, from 1; ties get their mean rank: (rows,) float64."""
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
