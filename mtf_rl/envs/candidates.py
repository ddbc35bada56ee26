"""Candidates of requests: sampling, gathering of score rows, summary statistics.

The compiled loops process each request separately, so a row does not depend on the other rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.randomness import EpisodeRng, Purpose, mix64_compiled
from mtf_rl.envs.summaries import STATISTICS, upper_rank

__all__ = ["PoolPredictions", "draw_candidates", "rows_of"]

_HASH_BUCKETS = 256


def draw_candidates(rng: EpisodeRng, *, pool: int, candidates: int) -> IntArray:
    """Sample candidates uniformly without replacement: (num_envs, candidates) int32.

    Returns positions in the pool, in ascending order: those with the `candidates` smallest
    `EpisodeRng.bits`.
    """
    streams = rng.streams(Purpose.CANDIDATES)
    drawn = np.empty((len(streams), candidates), dtype=np.int32)
    if candidates == pool:
        drawn[:] = np.arange(pool)
    else:
        _draw_into(streams, pool, drawn)
    return drawn


def rows_of(table: FloatArray, users: IntArray, candidates: IntArray) -> FloatArray:
    """Gather the candidates' rows (num_envs, candidates, tasks) of a table (users, pool, tasks)."""
    rows = np.empty((*candidates.shape, table.shape[2]), dtype=table.dtype)
    _gather_into(table, users, candidates, rows)
    return rows


@dataclass(frozen=True)
class PoolPredictions:
    """Predictions of every pool on the logit scale, sorted for fast summary statistics."""

    logits: FloatArray  # (users, pool, tasks) float32
    descending: IntArray  # (users, tasks, pool), positions in the pool by descending logit

    @classmethod
    def of(cls, logits: FloatArray) -> "PoolPredictions":
        """Sort logits (users, pool, tasks)."""
        by_task = np.ascontiguousarray(np.moveaxis(logits, 2, 1))  # (users, tasks, pool)
        order = np.argsort(-by_task, axis=2, kind="stable")
        return cls(logits, order.astype(np.min_scalar_type(by_task.shape[2])))

    def statistics(self, users: IntArray, candidates: IntArray) -> FloatArray:
        """Mean, standard deviation and 0.9 quantile over the candidates of each task's logits.

        The quantile is the value at position floor(0.9 (candidates - 1)) in ascending order.

        Args:
            users: user indices, (num_envs,).
            candidates: positions in the users' pools, (num_envs, candidates).

        Returns:
            (num_envs, 3 * tasks) float32: all means, then all standard deviations, then all
            quantiles.
        """
        count, tasks = candidates.shape[1], self.logits.shape[2]
        statistics = np.empty((len(users), len(STATISTICS), tasks), dtype=np.float32)
        largest = upper_rank(count)
        _summarise_into(self.logits, self.descending, users, candidates, largest, statistics)
        return statistics.reshape(len(users), -1)


@njit(cache=True, nogil=True)
def _draw_into(streams: Any, pool: int, drawn: Any) -> None:
    """Write the positions of the smallest hashes of each pool, found by a bucket selection.

    All hashes in the buckets below a boundary bucket are drawn; the boundary bucket is sorted.
    """
    size = drawn.shape[1]
    bits = np.empty(pool, dtype=np.uint64)
    counts = np.empty(_HASH_BUCKETS, dtype=np.int64)
    boundary = np.empty(pool, dtype=np.uint64)
    for row in range(len(streams)):
        counts[:] = 0
        for slot in range(pool):
            counter = np.uint64(slot + 1) * np.uint64(0x9E3779B97F4A7C15)
            bits[slot] = mix64_compiled(streams[row] + counter)
            counts[bits[slot] >> np.uint64(56)] += 1
        bucket, below = 0, 0
        while below + counts[bucket] < size:
            below += counts[bucket]
            bucket += 1
        in_bucket = 0
        for slot in range(pool):
            if bits[slot] >> np.uint64(56) == np.uint64(bucket):
                boundary[in_bucket] = bits[slot]
                in_bucket += 1
        bound = np.sort(boundary[:in_bucket])[size - below - 1]
        position = 0
        for slot in range(pool):
            if position < size:
                drawn[row, position] = slot
                position += bits[slot] <= bound


@njit(cache=True, nogil=True)
def _gather_into(table: Any, users: Any, candidates: Any, rows: Any) -> None:
    for row in range(len(users)):
        pool = table[users[row]]
        for position in range(candidates.shape[1]):
            rows[row, position] = pool[candidates[row, position]]


@njit(cache=True, nogil=True)
def _summarise_into(
    logits: Any, descending: Any, users: Any, candidates: Any, largest: int, statistics: Any
) -> None:
    """Write the statistics of each row; `largest` is the quantile's rank from the top, >= 1."""
    count, tasks = candidates.shape[1], logits.shape[2]
    totals, squares = np.empty(tasks), np.empty(tasks)
    drawn = np.zeros(logits.shape[1], dtype=np.uint8)
    for row in range(len(users)):
        pool, order = logits[users[row]], descending[users[row]]
        totals[:] = 0.0
        squares[:] = 0.0
        for candidate in range(count):
            position = candidates[row, candidate]
            drawn[position] = 1
            for task in range(tasks):
                value = np.float64(pool[position, task])
                totals[task] += value
                squares[task] += value * value
        for task in range(tasks):
            mean = totals[task] / count
            statistics[row, 0, task] = mean
            statistics[row, 1, task] = np.sqrt(max(squares[task] / count - mean * mean, 0.0))
            position, rank = -1, 0
            while rank < largest:
                position += 1
                rank += drawn[order[task, position]]
            statistics[row, 2, task] = pool[order[task, position], task]
        for candidate in range(count):
            drawn[candidates[row, candidate]] = 0
