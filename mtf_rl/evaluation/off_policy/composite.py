"""How much of what a noisy estimate says against a model is believed, for many policies at once."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ConfigError

__all__ = ["Composite", "composite_of"]

# log tau^2 is looked for from this much below the least squared error to as much above the largest
# figure, in steps of a tenth.
_BEYOND, _STEP = 14.0, 0.1


@dataclass(frozen=True)
class Composite:
    """What is believed of departures d_i, each told with an error of deviation s_i."""

    spread: float
    """tau, the deviation of true departures over policies; infinite for a policy alone."""
    fractions: FloatArray
    """lambda_i = tau^2 / (tau^2 + s_i^2), (policies,): the true departure is taken as
    lambda_i d_i."""

    def variance(self, errors: FloatArray) -> FloatArray:
        """Mean squared error of lambda_i d_i, given the errors s: lambda_i s_i^2, (policies,).

        As if tau were known: with few policies the error is larger.
        """
        found: FloatArray = self.fractions * errors**2
        return found


def composite_of(departures: FloatArray, errors: FloatArray) -> Composite:
    """Departures d_i ~ N(0, tau^2 + s_i^2) of several policies, tau estimated from all of them.

    The composite of a model's answer and a direct estimate that small areas are surveyed by (Fay
    and Herriot, JASA 1979). tau maximises tau times the likelihood, which keeps it above 0 (Chung
    et al., "A nondegenerate penalized likelihood estimator for variance parameters in multilevel
    models", Psychometrika 2013; Li and Lahiri, Journal of Multivariate Analysis 2010, multiply by
    tau^2): of n departures that are all 0, 1 / n is believed, and all of one that stands alone.
    Departures are taken as independent, which those that come from one log are not.

    Args:
        departures: d, (policies,).
        errors: s, (policies,), above 0.

    Raises:
        ShapeError: if the two disagree.
        ConfigError: if there is no policy, or a departure or an error is not as it must be.
    """
    check_shape("errors", errors, "policies", departures.shape)
    if departures.ndim != 1 or len(departures) == 0:
        raise ConfigError(f"departures must be (policies,), at least 1, got {departures.shape}")
    if not (np.isfinite(departures).all() and np.isfinite(errors).all() and (errors > 0.0).all()):
        raise ConfigError(
            f"departures must be finite and errors above 0, got {departures} and {errors}"
        )
    if len(departures) == 1:
        return Composite(np.inf, np.ones(1))
    from scipy.optimize import minimize_scalar  # only here: `ope --help` imports this module

    squares, noise = departures**2, errors**2

    def lost(log_variance: float) -> float:
        total = np.exp(log_variance) + noise
        return float(0.5 * np.sum(np.log(total) + squares / total) - 0.5 * log_variance)

    lowest = np.log(noise.min()) - _BEYOND
    highest = np.log(max(noise.max(), squares.max())) + _BEYOND
    grid = np.arange(lowest, highest + _STEP, _STEP)
    position = int(np.argmin([lost(one) for one in grid]))  # it may have more than one valley
    ends = grid[max(position - 1, 0)], grid[min(position + 1, len(grid) - 1)]
    variance = float(np.exp(minimize_scalar(lost, bounds=ends, method="bounded").x))
    return Composite(float(np.sqrt(variance)), variance / (variance + noise))
