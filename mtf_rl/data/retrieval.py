"""Retrieval pools: the videos that can be shown to each user."""

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

    Half of the pool is drawn without replacement by popularity: 0.5 plus the number of exposures in
    `rows` by the standard policy (by any policy if none is standard). The other half is drawn from
    the remaining videos by popularity times the user's tag affinity. Draws are independent across
    users, so that the pools together cover more than the most popular videos.

    A user's affinity to a tag is the fraction of their clicks on the tag over the fraction of all
    clicks, smoothed by 10 clicks of the average user. A video's affinity is the mean over its tags,
    or 1 without tags. A user without clicks has affinity 1 to every video, so their whole pool
    follows popularity. A click is a positive value of `TaskSet.interest`; a log without such a task
    has no clicks.

    Args:
        dataset: the log.
        rows: mask or index array of the training rows.
        pool: videos per user.
        seed: equal seed, rows and catalogue give equal pools.

    Raises:
        DataError: if there are fewer videos than `pool`.
    """
    if dataset.num_videos < pool:
        raise DataError(
            f"the pool must be at most the number of videos, {dataset.num_videos}, got {pool}. Use"
            " a smaller pool."
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
    """Sampling weight of each video, (videos,) float32."""
    videos = dataset.impressions.videos[rows]
    standard = ~dataset.impressions.randomised[rows]
    counted = videos[standard] if standard.any() else videos
    exposures = np.bincount(counted, minlength=dataset.num_videos)
    return (exposures + _UNSEEN_EXPOSURES).astype(np.float32)


def _tag_lift(dataset: Dataset, rows: NDArray[np.generic]) -> FloatArray:
    """Affinity of every user to every tag, (users, num_tags) float32, 1 on average."""
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
    """Whether the interest task of each row is positive, (rows,)."""
    feedback, task = dataset.impressions.feedback[rows], dataset.tasks.interest
    if task is None:
        return np.zeros(len(feedback), dtype=np.bool_)
    return np.asarray(feedback[:, dataset.tasks.feedback_index(task.name)] == 1)


def _draw_pools(
    popularity: FloatArray, affinity: FloatArray, pool: int, rng: np.random.Generator
) -> IntArray:
    """Pools of a block of users, (users, pool) int32."""
    by_popularity = _weighted_sample(np.broadcast_to(popularity, affinity.shape), pool // 2, rng)
    rest = popularity * affinity
    np.put_along_axis(rest, by_popularity, 0.0, axis=1)
    by_affinity = _weighted_sample(rest, pool - pool // 2, rng)
    pools = np.concatenate([by_popularity, by_affinity], axis=1).astype(np.int32)
    # The order of argpartition depends on the processor, the selected set does not.
    return rng.permuted(np.sort(pools, axis=1), axis=1)


def _weighted_sample(weights: FloatArray, size: int, rng: np.random.Generator) -> IntArray:
    """Weighted sample without replacement along the last axis, (users, size).

    The `size` smallest of exponential arrival times with rate `weights` are such a sample
    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). An item with
    weight 0 is never drawn.
    """
    excluded: BoolArray = weights <= 0
    arrivals = rng.standard_exponential(weights.shape, dtype=np.float32)
    arrivals = np.where(excluded, np.float32(np.inf), arrivals / np.where(excluded, 1.0, weights))
    if size >= weights.shape[1]:
        return np.argsort(arrivals, axis=1)[:, :size]
    return np.argpartition(arrivals, max(size - 1, 0), axis=1)[:, :size]
