"""Compiled loops over candidates: each row runs in one fixed order, whatever the other rows are.

Only `mtf_rl.fusion.arithmetic` imports this module, and only for many rows: serving needs no numba.
"""

from typing import Any

import numpy as np
from numba import njit

__all__ = ["best_into", "ranks_into", "weighted_sum_into"]


@njit(cache=True, nogil=True)
def weighted_sum_into(terms: Any, weights: Any, total: Any) -> None:
    """sum_k weights_k terms_k, in the order of k."""
    for row in range(terms.shape[0]):
        for position in range(terms.shape[1]):
            value = np.float32(0.0)
            for task in range(terms.shape[2]):
                value += weights[row, task] * terms[row, position, task]
            total[row, position] = value


@njit(cache=True, nogil=True)
def best_into(fused: Any, best: Any) -> None:
    """Insertion into a short sorted list; a later equal score goes behind an earlier one."""
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


@njit(cache=True, nogil=True)
def ranks_into(pool_ranks: Any, highest: Any, ranks: Any) -> None:
    """Ranks among the candidates, by counting how many have a smaller rank in the pool."""
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
