"""Computes the score table: a scorer's predictions for every user's retrieval pool."""

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from mtf_rl.core.arrays import IntArray
from mtf_rl.data import Dataset, FeatureEncoder, FeatureSide, ScoreTable
from mtf_rl.scorers.scorer import Scorer, tab_codes
from mtf_rl.scorers.split_scoring import PairScorer

__all__ = ["score_pools"]

PAIRS_AT_ONCE = 16_384


def score_pools(
    scorer: Scorer,
    encoder: FeatureEncoder,
    dataset: Dataset,
    pools: IntArray,
    *,
    hours: IntArray,
    tabs: IntArray,
    on_users: Callable[[int], None] | None = None,
    dtype: DTypeLike = np.float32,
) -> ScoreTable:
    """Compute the score table of `pools`, in chunks of users.

    The table stores the keys of the rows that the scorer used, so that fitting a user model on the
    same rows can be refused.

    Args:
        scorer: scorer fitted on features of `encoder`.
        encoder: fitted feature encoder; history features end at the time of its fit.
        dataset: dataset with the users and videos.
        pools: (users, pool) video indices.
        hours: (users,) hour of the day at which each user is scored, in [0, 23].
        tabs: (users,) scene (KuaiRand's `tab`) in which each user is scored.
        on_users: called with the number of users scored so far.
        dtype: dtype of the scores: float32, or float16 for half the memory at 3 significant digits.
    """
    users, pool = pools.shape
    pair_layout = encoder.layout.restrict(FeatureSide.PAIR)
    chunk = max(1, PAIRS_AT_ONCE // max(pool, 1))
    scores = np.empty((users, pool, len(scorer.tasks)), dtype=dtype)
    pairs = PairScorer(
        scorer.model, len(scorer.tasks), encoder.user_side(dataset), encoder.video_side(dataset)
    )
    pair_side = encoder.pair_side(dataset)
    for start in range(0, users, chunk):
        members = np.arange(start, min(start + chunk, users))
        columns = np.repeat(members, pool), pools[members].ravel()  # (pairs,) users and videos
        own = pair_side.encode(
            *columns, np.repeat(hours[members], pool), np.repeat(tabs[members], pool)
        )
        tab_column = tab_codes(own, pair_layout)
        probabilities = scorer.calibration.apply(pairs.logits(*columns, own), tab_column)
        scores[members] = probabilities.reshape(len(members), pool, -1)
        if on_users is not None:
            on_users(int(members[-1]) + 1)
    return ScoreTable(
        scores=scores,
        videos=pools.astype(np.int32),
        base_rates=np.array(scorer.base_rates),
        hours=hours.astype(np.int8),
        tabs=tabs.astype(np.int16),
        scorer_keys=scorer.row_keys,
        tasks=scorer.tasks,
    )
