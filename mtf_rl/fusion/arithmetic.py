"""Arithmetic of the formulas, with sums over tasks in a fixed order.

Small inputs are computed in numpy and large ones in compiled loops, with identical results. Serving
a request therefore imports no numba, and simulating thousands of sessions is still fast.
"""

from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.compiled import compiled

__all__ = ["best_candidates", "ranks_among", "weighted_sum"]

COMPILED_FROM = 1 << 16
"""Number of terms above which a compiled loop is faster than numpy, including its import."""


def weighted_sum(terms: FloatArray, weights: FloatArray) -> FloatArray:
    """sum_k weights_k terms_k, (num_envs, candidates) float32, summed in the order of k.

    Args:
        terms: (num_envs, candidates, tasks).
        weights: (num_envs, tasks).
    """
    total: FloatArray = np.zeros(terms.shape[:2], dtype=np.float32)  # (num_envs, candidates)
    terms = terms.astype(np.float32, copy=False)
    weights = weights.astype(np.float32, copy=False)
    if terms.size < COMPILED_FROM:
        for task in range(weights.shape[1]):
            total += weights[:, task : task + 1] * terms[:, :, task]
        return total
    _weighted_sum_into(np.ascontiguousarray(terms), np.ascontiguousarray(weights), total)
    return total


def ranks_among(pool_ranks: FloatArray) -> FloatArray:
    """Convert ranks within the pool to ranks among the candidates, from 1 for the best.

    Both are (num_envs, candidates, tasks). Ties get the best of their ranks.
    """
    ranks = np.empty_like(pool_ranks, dtype=np.float32)
    if ranks.size < COMPILED_FROM:
        ordered = np.sort(pool_ranks, axis=1)
        for row in range(len(ranks)):
            for task in range(pool_ranks.shape[2]):
                better = np.searchsorted(ordered[row, :, task], pool_ranks[row, :, task])
                ranks[row, :, task] = 1 + better
        return ranks
    _ranks_into(pool_ranks, int(pool_ranks.max(initial=0)), ranks)
    return ranks


def best_candidates(fused: FloatArray, slate: int) -> IntArray:
    """Positions of the `slate` best candidates, best first, ties by position: (num_envs, slate).

    `slate` is at most the number of candidates.
    """
    best = np.empty((len(fused), slate), dtype=np.int64)
    _best_into(np.ascontiguousarray(fused), best)
    return best


# Compiled loops. A row's result does not depend on the other rows, the batch or the thread.


@compiled
def _weighted_sum_into(terms: Any, weights: Any, total: Any) -> None:
    """Compute sum_k weights_k terms_k in the order of k."""
    for row in range(terms.shape[0]):
        for position in range(terms.shape[1]):
            value = np.float32(0.0)
            for task in range(terms.shape[2]):
                value += weights[row, task] * terms[row, position, task]
            total[row, position] = value


@compiled
def _best_into(fused: Any, best: Any) -> None:
    """Insert into a short sorted list; of equal scores the earlier one comes first."""
    slate = best.shape[1]
    kept = np.empty(slate, dtype=fused.dtype)
    for row in range(fused.shape[0]):
        size = 0
        for position in range(fused.shape[1]):
            value = fused[row, position]
            if size == slate and not value > kept[slate - 1]:
                continue
            hole = min(size, slate - 1)
            while hole > 0 and value > kept[hole - 1]:
                kept[hole] = kept[hole - 1]
                best[row, hole] = best[row, hole - 1]
                hole -= 1
            kept[hole] = value
            best[row, hole] = position
            size = min(size + 1, slate)


@compiled
def _ranks_into(pool_ranks: Any, highest: Any, ranks: Any) -> None:
    """Compute ranks among the candidates by counting smaller ranks in the pool."""
    counts = np.empty(highest + 2, dtype=np.int64)
    for row in range(pool_ranks.shape[0]):
        for task in range(pool_ranks.shape[2]):
            counts[:] = 0
            for position in range(pool_ranks.shape[1]):
                counts[int(pool_ranks[row, position, task]) + 1] += 1
            for rank in range(1, highest + 2):
                counts[rank] += counts[rank - 1]
            for position in range(pool_ranks.shape[1]):
                ranks[row, position, task] = 1 + counts[int(pool_ranks[row, position, task])]
