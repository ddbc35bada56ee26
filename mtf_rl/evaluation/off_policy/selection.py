"""Quality of an estimator's choice among policies whose true values are known."""

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ConfigError

__all__ = ["rank_correlation", "regret", "sharpe_ratio"]


def regret(estimates: FloatArray, values: FloatArray, k: int = 1) -> float:
    """regret@k: the best true value minus the best among the k policies with largest estimates."""
    chosen = _chosen(estimates, values, k)
    return float(values.max() - values[chosen].max())


def rank_correlation(estimates: FloatArray, values: FloatArray) -> float:
    """Spearman's rank correlation; NaN if one of the arrays is constant."""
    _check(estimates, values)
    if np.ptp(estimates) == 0.0 or np.ptp(values) == 0.0:
        return float("nan")
    return float(stats.spearmanr(estimates, values).statistic)


def sharpe_ratio(estimates: FloatArray, values: FloatArray, k: int, *, behaviour: float) -> float:
    """SharpeRatio@k: (best true value of the top k - J(behaviour)) / std of the top k.

    Source: Kiyohara et al. (ICLR 2024). The std divides by k. To make the behaviour policy a
    candidate, include it in both arrays. NaN if the std is 0, as for k = 1.
    """
    chosen = values[_chosen(estimates, values, k)]
    spread = float(chosen.std())
    return float("nan") if spread == 0.0 else (float(chosen.max()) - behaviour) / spread


def _chosen(estimates: FloatArray, values: FloatArray, k: int) -> np.ndarray:
    _check(estimates, values)
    if not 1 <= k <= len(values):
        raise ConfigError(f"k must be in [1, {len(values)}], got {k}")
    return np.argsort(-estimates, kind="stable")[:k]


def _check(estimates: FloatArray, values: FloatArray) -> None:
    check_shape("estimates", estimates, "policies", (len(values),))
