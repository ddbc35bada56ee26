"""The mixture of partial estimates that MAGIC chooses."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError

__all__ = ["magic_fraction"]

_NINETY_PERCENT = 1.645
_SUM_WEIGHT = 1e4  # holds the shares' sum to 1 beside an error scaled to about 1


def magic_fraction(influences: Sequence[FloatArray], values: Sequence[float]) -> FloatArray:
    """Fractions x >= 0, sum 1, that minimise x' (Omega + b b') x.

    Omega is the covariance of the partial estimates over sessions; b_j is how far g_j lies outside
    a confidence interval of the last one, which uses no model (Thomas and Brunskill,
    "Data-efficient off-policy policy evaluation for reinforcement learning", ICML 2016, section 8).

    Differs from the paper: covariance and interval are those of the linearised estimates, the
    interval is normal at 90 %, where the paper takes a bootstrap percentile interval, and the
    shares are not chosen anew when sessions are resampled.

    Args:
        influences: of each partial estimate, (sessions,).
        values: of each; the last is the one without a model.

    Raises:
        DataError: if there are fewer than two sessions, which have no covariance.
    """
    stacked = np.stack(influences)  # (estimates, sessions)
    count = stacked.shape[1]
    if count < 2:
        raise DataError(f"a covariance needs at least two sessions, got {count}")
    omega = np.atleast_2d(np.cov(stacked)) / count
    half = _NINETY_PERCENT * np.sqrt(omega[-1, -1])
    distance = np.asarray(values) - values[-1]
    bias = np.sign(distance) * np.maximum(np.abs(distance) - half, 0.0)
    error = omega + np.outer(bias, bias)
    scale = np.trace(error) or 1.0
    sizes, vectors = np.linalg.eigh(error / scale)
    root = np.sqrt(np.maximum(sizes, 0.0))[:, None] * vectors.T  # error / scale = root' root
    # Of shares that are equally good, those with the smaller squares.
    system = np.vstack([root, 1e-6 * np.eye(len(root)), _SUM_WEIGHT * np.ones(len(root))])
    target = np.zeros(len(system))
    target[-1] = _SUM_WEIGHT
    fractions: FloatArray = nnls(system, target)[0]
    total: FloatArray = fractions / fractions.sum()
    return total
