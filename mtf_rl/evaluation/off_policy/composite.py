"""Empirical-Bayes shrinkage of noisy departures from a model, over several policies."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ConfigError

__all__ = ["Composite", "composite_of"]

# The grid of log tau^2 extends by _MARGIN below the smallest squared error and above the largest
# squared error or departure.
_MARGIN, _STEP = 14.0, 0.1


@dataclass(frozen=True)
class Composite:
    """Shrinkage of departures d_i that have standard errors s_i."""

    spread: float
    """tau, the std of true departures over policies; infinite for a single policy."""
    fractions: FloatArray
    """lambda_i = tau^2 / (tau^2 + s_i^2), (policies,); the estimated departure is lambda_i d_i."""

    def variance(self, errors: FloatArray) -> FloatArray:
        """Mean squared error lambda_i s_i^2 of lambda_i d_i, given the errors s, (policies,).

        It assumes that tau is known, so it is too small for few policies.
        """
        variances: FloatArray = self.fractions * errors**2
        return variances


def composite_of(departures: FloatArray, errors: FloatArray) -> Composite:
    """Estimate tau jointly for departures d_i ~ N(0, tau^2 + s_i^2) of several policies.

    This is the composite of a model prediction and a direct estimate in small-area estimation (Fay
    and Herriot, JASA 1979). tau maximises tau times the likelihood, which keeps it above 0 (Chung
    et al., "A nondegenerate penalized likelihood estimator for variance parameters in multilevel
    models", Psychometrika 2013; Li and Lahiri, Journal of Multivariate Analysis 2010, multiply by
    tau^2). For n departures that are all 0, lambda is 1 / n. For a single departure, it is 1.
    The likelihood treats departures as independent, although those from one log are not.

    Args:
        departures: d, (policies,), finite.
        errors: s, (policies,), finite and above 0.

    Raises:
        ShapeError: if the two differ in length.
        ConfigError: if there is no policy, or a departure or an error is out of range.
    """
    check_shape("errors", errors, "policies", departures.shape)
    if departures.ndim != 1 or len(departures) == 0:
        raise ConfigError(
            "departures must have shape (policies,) with at least 1 policy, got shape"
            f" {departures.shape}"
        )
    if not (np.isfinite(departures).all() and np.isfinite(errors).all() and (errors > 0.0).all()):
        raise ConfigError(
            f"departures must be finite and errors above 0, got {departures} and {errors}"
        )
    if len(departures) == 1:
        return Composite(np.inf, np.ones(1))
    from scipy.optimize import minimize_scalar  # only here: `ope --help` imports this module

    squares, noise = departures**2, errors**2

    def loss(log_variance: float) -> float:
        total = np.exp(log_variance) + noise
        return float(0.5 * np.sum(np.log(total) + squares / total) - 0.5 * log_variance)

    lowest = np.log(noise.min()) - _MARGIN
    highest = np.log(max(noise.max(), squares.max())) + _MARGIN
    grid = np.arange(lowest, highest + _STEP, _STEP)
    position = int(np.argmin([loss(point) for point in grid]))  # there may be several minima
    ends = grid[max(position - 1, 0)], grid[min(position + 1, len(grid) - 1)]
    variance = float(np.exp(minimize_scalar(loss, bounds=ends, method="bounded").x))
    return Composite(float(np.sqrt(variance)), variance / (variance + noise))
