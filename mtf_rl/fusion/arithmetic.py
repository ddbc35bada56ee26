"""The arithmetic of formulas: each row's sums run over the tasks in one fixed order.

Few rows are computed in numpy and many in compiled loops, to the same last bit. Serving a request
therefore imports no numba, and simulating thousands of sessions is as fast as with it.
"""

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray

__all__ = ["best_candidates", "ranks_among", "weighted_sum"]

COMPILED_FROM = 1 << 16
"""Terms from which a compiled loop is faster than a few calls of numpy, import included."""


def weighted_sum(terms: FloatArray, weights: FloatArray) -> FloatArray:
    """sum_k weights_k terms_k, (num_envs, candidates) float32, added up in the order of k.

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
    from mtf_rl.fusion.compiled import weighted_sum_into

    weighted_sum_into(np.ascontiguousarray(terms), np.ascontiguousarray(weights), total)
    return total


def ranks_among(pool_ranks: FloatArray) -> FloatArray:
    """Ranks among the candidates, from 1, of ranks within the pool (num_envs, candidates, tasks).

    Equal ranks in the pool share the best of their ranks among the candidates.
    """
    ranks = np.empty_like(pool_ranks, dtype=np.float32)
    if ranks.size < COMPILED_FROM:
        ordered = np.sort(pool_ranks, axis=1)
        for row in range(len(ranks)):
            for task in range(pool_ranks.shape[2]):
                better = np.searchsorted(ordered[row, :, task], pool_ranks[row, :, task])
                ranks[row, :, task] = 1 + better
        return ranks
    from mtf_rl.fusion.compiled import ranks_into

    ranks_into(pool_ranks, int(pool_ranks.max(initial=0)), ranks)
    return ranks


def best_candidates(fused: FloatArray, slate: int) -> IntArray:
    """Positions of the `slate` best candidates, best first, ties by position: (num_envs, slate).

    `slate` is at most the number of candidates.
    """
    from mtf_rl.fusion.compiled import best_into

    best = np.empty((len(fused), slate), dtype=np.int64)
    best_into(np.ascontiguousarray(fused), best)
    return best
