"""Rankings replayed on exposures whose propensity is known: videos shown at random.

A log of random exposures answers one question without a model: of the videos that a user was
shown at random on a day, what did the ones bring that a policy would have ranked first? It says
nothing of sessions (what a video does to the next request), nor of videos that were not shown; and
the user met these videos among others that a recommender had chosen.
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
        ShapeError: if arrays disagree.
        DataError: if there is no row, or an outcome is not finite.
    """

    users: IntArray  # (rows,)
    days: IntArray  # (rows,)
    outcomes: FloatArray  # (rows,), such as a feedback, watch minutes or a reward

    def __post_init__(self) -> None:
        rows = len(self.users)
        if rows == 0:
            raise DataError("random exposures need at least one row, got none")
        check_shape("days", self.days, "rows", (rows,))
        check_shape("outcomes", self.outcomes, "rows", (rows,))
        refuse_rows(~np.isfinite(self.outcomes), "outcomes must be finite")

    @property
    def groups(self) -> IntArray:
        """Number of each row's user and day, (rows,), from 0."""
        pairs = np.stack([self.users, self.days], axis=1)
        numbers: IntArray = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        return numbers


@dataclass(frozen=True)
class TopRanked:
    """What the first-ranked videos brought, over groups with at least two videos."""

    value: Interval
    """Mean outcome of the first-ranked; clustered by user."""
    lift: Interval
    """That less the mean outcome of the group's videos, which a random order gives."""
    groups: int
    """Groups that it speaks for."""
    left_out: int
    """Rows in groups of one video, which no order changes."""


def top_ranked(exposures: RandomExposures, scores: FloatArray) -> TopRanked:
    """Replay a ranking: in each group the video with the largest score; ties are shared.

    Exposures are uniform, so that each group's first-ranked video is a draw of what the policy
    would have shown of these. This is replay as of Li et al. (WSDM 2011), with a day for a request.

    Args:
        exposures: of a log.
        scores: fused score of each row, (rows,), comparable within a group.

    Raises:
        DataError: if a score is not finite, or no group has two videos.
    """
    _check_scores(exposures, scores)
    groups = exposures.groups
    sizes = np.bincount(groups)
    largest = np.full(len(sizes), -np.inf)
    np.maximum.at(largest, groups, scores)
    first = scores == largest[groups]  # (rows,), several where they tie
    tops = np.bincount(groups, weights=first * exposures.outcomes) / np.bincount(groups, first)
    means = np.bincount(groups, weights=exposures.outcomes) / sizes
    users = np.zeros(len(sizes), dtype=np.int64)
    users[groups] = exposures.users
    kept = sizes >= 2
    if not kept.any():
        raise DataError("no user has two random exposures on one day, so that nothing is ranked")
    return TopRanked(
        value=mean_interval(tops[kept], users[kept]),
        lift=mean_interval((tops - means)[kept], users[kept]),
        groups=int(kept.sum()),
        left_out=int(sizes[~kept].sum()),
    )


def mtf_gauc(exposures: RandomExposures, scores: FloatArray, valid: FloatArray) -> Interval:
    """MTF-GAUC of UnifiedRL (2404.17589): mean over users of a weighted AUC of the fused score.

    Label: `valid` consumption, 0/1. A row weighs its outcome, the reward of its exposure: the AUC
    of a user is the weight of (valid, other) pairs in right order over that of all pairs, a tie
    counting half; users weigh the same. Users without both labels, or without weight, are left out;
    NaN if all are. The authors call it not strict.

    Differs from the paper: the paper weighs users without telling how, and normalises scores, which
    an AUC does not see.

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
    below -= np.maximum.accumulate(np.where(first, below, 0.0))  # of the same user alone
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

    Discounts are 1 / log2(1 + place) (Jarvelin and Kekalainen, 2002); equal scores keep the log's
    order. Groups of one video, and those without a gain, are left out; NaN if all are.

    Raises:
        ConfigError: if k is below 1.
        DataError: if a score is not finite.
    """
    check_at_least("k", k, 1)
    _check_scores(exposures, scores)
    groups = exposures.groups
    gains = np.maximum(exposures.outcomes.astype(np.float64), 0.0)
    found, ideal = (_dcg(groups, gains, by, k) for by in (scores, gains))
    users = np.zeros(len(found), dtype=np.int64)
    users[groups] = exposures.users
    kept = (ideal > 0.0) & (np.bincount(groups) >= 2)
    if not kept.any():
        return Interval(np.nan, -np.inf, np.inf)
    return mean_interval(found[kept] / ideal[kept], users[kept])


def _check_scores(exposures: RandomExposures, scores: FloatArray) -> None:
    check_shape("scores", scores, "rows", (len(exposures.users),))
    refuse_rows(~np.isfinite(scores), "scores must be finite")


def _dcg(groups: IntArray, gains: FloatArray, by: FloatArray, k: int) -> FloatArray:
    """Discounted gain of each group's first k by `by`, (groups,)."""
    order = np.lexsort((np.arange(len(by)), -by, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    positions = np.arange(len(by)) - np.repeat(starts, sizes)  # from 0 in each group
    discounts = np.where(positions < k, 1.0 / np.log2(2.0 + positions), 0.0)
    sums = np.zeros(len(sizes))
    np.add.at(sums, groups[order], gains[order] * discounts)
    return sums
