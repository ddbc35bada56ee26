"""Replay of rankings on videos that were shown at random, so that their propensity is known.

Random exposures give a model-free estimate of one quantity: the outcome of the video that a policy
would rank first among those that a user was shown at random on a day. They give no estimate of
effects on later requests of a session, nor of videos that were not shown. The random videos were
shown among others that a recommender had selected.
"""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, check_shape, refuse_rows
from mtf_rl.core.errors import DataError
from mtf_rl.core.ranges import check_at_least
from mtf_rl.evaluation.intervals import Interval, mean_interval

__all__ = ["RandomExposures", "TopRanked", "mtf_gauc", "ndcg", "top_ranked"]


@dataclass(frozen=True)
class RandomExposures:
    """Videos shown at random, in groups of one user and day.

    Raises:
        ShapeError: if the arrays differ in length.
        DataError: if there is no row, or an outcome is not finite.
    """

    users: IntArray  # (rows,)
    days: IntArray  # (rows,)
    outcomes: FloatArray  # (rows,), for example a feedback, watch minutes or a reward

    def __post_init__(self) -> None:
        rows = len(self.users)
        if rows == 0:
            raise DataError("random exposures need at least one row, got none")
        check_shape("days", self.days, "rows", (rows,))
        check_shape("outcomes", self.outcomes, "rows", (rows,))
        refuse_rows(~np.isfinite(self.outcomes), "outcomes must be finite")

    @property
    def groups(self) -> IntArray:
        """Index of each row's pair of user and day, (rows,), from 0."""
        pairs = np.stack([self.users, self.days], axis=1)
        numbers: IntArray = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        return numbers


@dataclass(frozen=True)
class TopRanked:
    """Outcomes of the first-ranked videos, over groups with at least two videos."""

    value: Interval
    """Mean outcome of the first-ranked video; interval clustered by user."""
    lift: Interval
    """`value` minus the mean outcome of all videos of a group, which a random order gives."""
    groups: int
    """Groups with at least two videos."""
    left_out: int
    """Rows in groups of one video, where every order gives the same outcome."""


def top_ranked(exposures: RandomExposures, scores: FloatArray) -> TopRanked:
    """Replay a ranking: the outcome of the video with the largest score in each group.

    Tied videos contribute their mean. Exposures are uniform, so a group's first-ranked video is a
    sample of what the policy would have shown among them. This is the replay of Li et al. (WSDM
    2011). Unlike the paper, we treat a day as one request.

    Args:
        exposures: random exposures of a log.
        scores: fused score of each row, (rows,), comparable within a group.

    Raises:
        DataError: if a score is not finite, or no group has two videos.
    """
    _check_scores(exposures, scores)
    groups = exposures.groups
    sizes = np.bincount(groups)
    largest = np.full(len(sizes), -np.inf)
    np.maximum.at(largest, groups, scores)
    first = scores == largest[groups]  # (rows,); several rows of a group in case of ties
    tops = np.bincount(groups, weights=first * exposures.outcomes) / np.bincount(groups, first)
    means = np.bincount(groups, weights=exposures.outcomes) / sizes
    users = np.zeros(len(sizes), dtype=np.int64)
    users[groups] = exposures.users
    kept = sizes >= 2
    if not kept.any():
        raise DataError(
            "top_ranked needs a user with at least two random exposures on one day, got none;"
            " give more exposures"
        )
    return TopRanked(
        value=mean_interval(tops[kept], users[kept]),
        lift=mean_interval((tops - means)[kept], users[kept]),
        groups=int(kept.sum()),
        left_out=int(sizes[~kept].sum()),
    )


def mtf_gauc(exposures: RandomExposures, scores: FloatArray, valid: FloatArray) -> Interval:
    """MTF-GAUC of UnifiedRL (arXiv 2404.17589): mean over users of a weighted AUC of the score.

    The label is `valid` consumption, 0 or 1. The weight of a row is its outcome, the reward of the
    exposure. A user's AUC is the weight of correctly ordered (valid, not valid) pairs, divided by
    the weight of all pairs; a tie counts half. Users without both labels, or without weight, are
    left out; NaN if all are. The authors call the metric not strict.

    Unlike the paper, we weight all users equally: the paper does not define its user weights. We
    do not normalise the scores either, because an AUC does not depend on it.

    Raises:
        DataError: if a score is not finite, or a label neither 0 nor 1.
    """
    _check_scores(exposures, scores)
    check_shape("valid", valid, "rows", (len(exposures.users),))
    refuse_rows((valid != 0) & (valid != 1), "valid must be 0 or 1")
    weights = np.maximum(exposures.outcomes.astype(np.float64), 0.0)
    users = np.unique(exposures.users, return_inverse=True)[1].ravel()
    order = np.lexsort((scores, users))
    user, score = users[order], scores[order]
    good = np.where(valid[order] > 0, weights[order], 0.0)
    other = np.where(valid[order] > 0, 0.0, weights[order])
    starts = np.append(True, user[1:] != user[:-1])
    ties = np.cumsum(starts | np.append(True, score[1:] != score[:-1])) - 1  # runs of equal scores
    good_of_run = np.bincount(ties, weights=good)
    other_of_run = np.bincount(ties, weights=other)
    user_of_run = np.zeros(len(good_of_run), dtype=np.int64)
    user_of_run[ties] = user
    below = np.cumsum(other_of_run) - other_of_run
    first = np.append(True, user_of_run[1:] != user_of_run[:-1])
    below -= np.maximum.accumulate(np.where(first, below, 0.0))  # within the same user
    won = np.bincount(user_of_run, weights=good_of_run * (below + 0.5 * other_of_run))
    pairs = np.bincount(users, weights=np.where(valid > 0, weights, 0.0)) * np.bincount(
        users, weights=np.where(valid > 0, 0.0, weights)
    )
    covered = pairs > 0.0
    if not covered.any():
        return Interval(np.nan, -np.inf, np.inf)
    return mean_interval(won[covered] / pairs[covered], np.flatnonzero(covered))


def ndcg(exposures: RandomExposures, scores: FloatArray, k: int) -> Interval:
    """Mean over groups of DCG@k / ideal DCG@k with gains max(outcome, 0); clustered by user.

    Discounts are 1 / log2(1 + position), with positions from 1 (Jarvelin and Kekalainen, 2002).
    Equal scores keep the log's order. Groups of one video, and groups without a gain, are left
    out; NaN if all are.

    Raises:
        ConfigError: if k is below 1.
        DataError: if a score is not finite.
    """
    check_at_least("k", k, 1)
    _check_scores(exposures, scores)
    groups = exposures.groups
    gains = np.maximum(exposures.outcomes.astype(np.float64), 0.0)
    actual, ideal = (_dcg(groups, gains, keys, k) for keys in (scores, gains))
    users = np.zeros(len(actual), dtype=np.int64)
    users[groups] = exposures.users
    kept = (ideal > 0.0) & (np.bincount(groups) >= 2)
    if not kept.any():
        return Interval(np.nan, -np.inf, np.inf)
    return mean_interval(actual[kept] / ideal[kept], users[kept])


def _check_scores(exposures: RandomExposures, scores: FloatArray) -> None:
    check_shape("scores", scores, "rows", (len(exposures.users),))
    refuse_rows(~np.isfinite(scores), "scores must be finite")


def _dcg(groups: IntArray, gains: FloatArray, keys: FloatArray, k: int) -> FloatArray:
    """Discounted gain of the k rows with the largest keys in each group, (groups,)."""
    order = np.lexsort((np.arange(len(keys)), -keys, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    positions = np.arange(len(keys)) - np.repeat(starts, sizes)  # from 0 in each group
    discounts = np.where(positions < k, 1.0 / np.log2(2.0 + positions), 0.0)
    sums = np.zeros(len(sizes))
    np.add.at(sums, groups[order], gains[order] * discounts)
    return sums
