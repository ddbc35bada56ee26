"""Summary statistics of the candidates' predictions, for serving; needs numpy only.

`PoolPredictions` computes bitwise equal numbers for thousands of requests at once.
"""

import numpy as np

from mtf_rl.core.arrays import FloatArray

__all__ = [
    "OBSERVATION_BOUND",
    "STATISTICS",
    "UPPER_QUANTILE",
    "logits_of",
    "summarise",
    "upper_rank",
]

OBSERVATION_BOUND = 20.0
STATISTICS = ("mean", "spread", "upper")
UPPER_QUANTILE = 0.9
_SMALLEST_PROBABILITY = 1e-6


def logits_of(scores: FloatArray) -> FloatArray:
    """Logits of predictions, float32; predictions are clipped to [1e-6, 1 - 1e-6]."""
    low = np.float32(_SMALLEST_PROBABILITY)
    clipped = np.clip(scores.astype(np.float32), low, np.float32(1.0) - low)
    logits: FloatArray = np.log(clipped) - np.log1p(-clipped)
    return logits


def upper_rank(candidates: int) -> int:
    """The rank from the top of the value at position floor(0.9 (candidates - 1)), ascending."""
    return candidates - int(UPPER_QUANTILE * (candidates - 1))


def summarise(logits: FloatArray) -> FloatArray:
    """Mean, standard deviation and 0.9 quantile of each task's logits, (num_envs, 3 * tasks).

    All means, then all standard deviations, then all quantiles, float32.

    Args:
        logits: logits of the candidates' predictions, (num_envs, candidates, tasks).
    """
    num_envs, count, _ = logits.shape
    values = logits.astype(np.float64)
    # cumsum adds in a fixed order; the order of `sum` depends on the shape.
    totals = np.cumsum(values, axis=1)[:, -1]  # (num_envs, tasks)
    squares = np.cumsum(values * values, axis=1)[:, -1]
    mean = totals / count
    spread = np.sqrt(np.maximum(squares / count - mean * mean, 0.0))
    upper = np.sort(logits, axis=1)[:, count - upper_rank(count)]
    parts = [part.astype(np.float32) for part in (mean, spread, upper)]
    return np.stack(parts, axis=1).reshape(num_envs, -1)
