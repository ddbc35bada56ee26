"""Which videos a user could be shown at all: the retrieval pool."""

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.data.dataset import Dataset

__all__ = ["retrieve_pools"]

_USERS_AT_ONCE = 512
_AFFINITY_STRENGTH = 10.0
_UNSEEN_EXPOSURES = 0.5


def retrieve_pools(
    dataset: Dataset, rows: NDArray[np.generic], *, pool: int, seed: int
) -> IntArray:
    """A pool of distinct videos for every user, (users, pool) int32, in random order.

    Half of it is drawn without replacement by popularity: the exposures by the standard policy
    among `rows` (all rows if none is standard), plus 0.5. The rest is drawn from the other videos
    by popularity times the user's tag affinity. The draws are fresh for each user, so that pools
    together cover more than the most popular videos.

    The affinity of a user to a tag is the fraction of the user's clicks that fall on it over the
    fraction of all clicks, smoothed by 10 clicks of the average user; a video's is the mean of its
    tags', and 1 without a tag. So a user without a click has affinity 1 everywhere, and the whole
    pool is drawn by popularity. A click is a positive value of `TaskSet.interest`; in a log without
    such a task nobody has one.

    Args:
        dataset: The log.
        rows: A mask or an index array of the training rows.
        pool: Videos per user.
        seed: Same seed, rows and catalogue: same pools.

    Raises:
        DataError: if there are fewer videos than `pool`.
    """
    if dataset.num_videos < pool:
        raise DataError(
            f"a pool of {pool} videos needs as many videos, and the data have"
            f" {dataset.num_videos}. Ask for a smaller pool."
        )
    rng = np.random.default_rng(seed)
    popularity = _popularity(dataset, rows)
    lift = _tag_lift(dataset, rows)  # (users, num_tags)
    fractions = dataset.catalogue.tag_fractions  # (videos, num_tags)
    untagged = (fractions.sum(axis=1) == 0).astype(np.float32)  # (videos,)
    pools = np.empty((dataset.num_users, pool), dtype=np.int32)
    for start in range(0, dataset.num_users, _USERS_AT_ONCE):
        stop = min(start + _USERS_AT_ONCE, dataset.num_users)
        affinity = lift[start:stop] @ fractions.T + untagged  # (users at once, videos)
        pools[start:stop] = _draw_pools(popularity, affinity, pool, rng)
    return pools


def _popularity(dataset: Dataset, rows: NDArray[np.generic]) -> FloatArray:
    """Drawing weights of the videos, (videos,) float32."""
    videos = dataset.impressions.videos[rows]
    standard = ~dataset.impressions.randomised[rows]
    chosen = videos[standard] if standard.any() else videos
    exposures = np.bincount(chosen, minlength=dataset.num_videos)
    return (exposures + _UNSEEN_EXPOSURES).astype(np.float32)


def _tag_lift(dataset: Dataset, rows: NDArray[np.generic]) -> FloatArray:
    """The affinity of every user to every tag, (users, num_tags) float32, 1 on average."""
    impressions, catalogue = dataset.impressions, dataset.catalogue
    clicked = _interested(dataset, rows)  # (rows,)
    users = impressions.users[rows][clicked]
    fractions = catalogue.tag_fractions[impressions.videos[rows][clicked]]  # (clicks, num_tags)
    clicks = np.zeros((dataset.num_users, catalogue.num_tags))
    for tag in range(catalogue.num_tags):
        clicks[:, tag] = np.bincount(users, weights=fractions[:, tag], minlength=dataset.num_users)
    average = (clicks.sum(axis=0) + 1.0) / (clicks.sum() + catalogue.num_tags)  # (num_tags,)
    smoothed = clicks + _AFFINITY_STRENGTH * average
    lift: FloatArray = smoothed / (smoothed.sum(axis=1, keepdims=True) * average)
    return lift.astype(np.float32)


def _interested(dataset: Dataset, rows: NDArray[np.generic]) -> BoolArray:
    """Whether each of `rows` shows interest by the log's task for it, (rows,)."""
    feedback, task = dataset.impressions.feedback[rows], dataset.tasks.interest
    if task is None:
        return np.zeros(len(feedback), dtype=np.bool_)
    return np.asarray(feedback[:, dataset.tasks.feedback_index(task.name)] == 1)


def _draw_pools(
    popularity: FloatArray, affinity: FloatArray, pool: int, rng: np.random.Generator
) -> IntArray:
    """Pools of some users, (users, pool) int32."""
    by_popularity = _race(np.broadcast_to(popularity, affinity.shape), pool // 2, rng)
    rest = popularity * affinity
    np.put_along_axis(rest, by_popularity, 0.0, axis=1)
    by_affinity = _race(rest, pool - pool // 2, rng)
    pools = np.concatenate([by_popularity, by_affinity], axis=1).astype(np.int32)
    # argpartition's order differs between processors; the set does not.
    return rng.permuted(np.sort(pools, axis=1), axis=1)


def _race(weights: FloatArray, winners: int, rng: np.random.Generator) -> IntArray:
    """Weighted draws without replacement along the last axis, (users, winners).

    Exponential arrival times at rate `weights`: the first to arrive are such a draw (Efraimidis
    and Spirakis, "Weighted random sampling with a reservoir", 2006). Weight 0 never arrives.
    """
    taken: BoolArray = weights <= 0
    arrivals = rng.standard_exponential(weights.shape, dtype=np.float32)
    arrivals = np.where(taken, np.float32(np.inf), arrivals / np.where(taken, 1.0, weights))
    if winners >= weights.shape[1]:
        return np.argsort(arrivals, axis=1)[:, :winners]
    return np.argpartition(arrivals, max(winners - 1, 0), axis=1)[:, :winners]
