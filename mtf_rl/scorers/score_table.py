"""Scoring every user's retrieval pool, once."""

from collections.abc import Callable

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import NUM_TASKS
from mtf_rl.data import Dataset, FeatureEncoder, ScoreTable
from mtf_rl.scorers.scorer import Scorer

__all__ = ["score_pools"]

PAIRS_AT_ONCE = 262_144


def score_pools(
    scorer: Scorer,
    encoder: FeatureEncoder,
    dataset: Dataset,
    pools: IntArray,
    *,
    hours: IntArray,
    tabs: IntArray,
    on_users: Callable[[int], None] | None = None,
) -> ScoreTable:
    """The score table of `pools`, in chunks of users.

    The table names the rows that the scorer was fitted on, so that a user model fitted on one of
    them can be refused.

    Args:
        scorer: fitted on features of `encoder`.
        encoder: history stops where it was fitted.
        dataset: users and videos by index.
        pools: (users, pool) video indices.
        hours: (users,) hour of the day at which each user is scored.
        tabs: (users,) KuaiRand's scene in which each user is scored.
        on_users: called with the number of users scored so far.
    """
    users, pool = pools.shape
    chunk = max(1, PAIRS_AT_ONCE // max(pool, 1))
    scores: FloatArray = np.empty((users, pool, NUM_TASKS), dtype=np.float32)
    for start in range(0, users, chunk):
        members = np.arange(start, min(start + chunk, users))
        features = encoder.encode_pairs(
            dataset,
            users=np.repeat(members, pool),
            videos=pools[members].ravel(),
            hours=np.repeat(hours[members], pool),
            tabs=np.repeat(tabs[members], pool),
        )
        scores[members] = scorer.predict(features).reshape(len(members), pool, NUM_TASKS)
        if on_users is not None:
            on_users(int(members[-1]) + 1)
    return ScoreTable(
        scores=scores,
        videos=pools.astype(np.int32),
        base_rates=np.array(scorer.base_rates),
        hours=hours.astype(np.int8),
        tabs=tabs.astype(np.int16),
        scorer_keys=scorer.row_keys,
    )
