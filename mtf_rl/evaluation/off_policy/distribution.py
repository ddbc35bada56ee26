"""The distribution of session reward under a target policy."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, refuse_rows
from mtf_rl.core.errors import ConfigError

__all__ = ["RewardDistribution", "reward_distribution"]


@dataclass(frozen=True)
class RewardDistribution:
    """The cumulative distribution function F(x), a step function on the logged rewards."""

    rewards: FloatArray  # (steps,) ascending
    cdf: FloatArray  # (steps,) ascending, the last is 1

    @property
    def masses(self) -> FloatArray:
        """Probability of each reward, (steps,)."""
        return np.diff(self.cdf, prepend=0.0)

    @property
    def mean(self) -> float:
        """Mean session reward."""
        return float(self.masses @ self.rewards)

    @property
    def variance(self) -> float:
        """Variance of session reward."""
        return float(self.masses @ (self.rewards - self.mean) ** 2)

    def quantile(self, fraction: float) -> float:
        """The smallest reward x with F(x) of at least `fraction`.

        Raises:
            ConfigError: if the fraction is not in (0, 1].
        """
        _check_fraction(fraction)
        position = int(np.searchsorted(self.cdf, fraction - 1e-12))
        return float(self.rewards[min(position, len(self.rewards) - 1)])

    def cvar(self, fraction: float) -> float:
        """Conditional value at risk: the mean reward of the worst `fraction` of sessions.

        It is the integral of F^-1 from 0 to `fraction`, divided by `fraction`.

        Raises:
            ConfigError: if the fraction is not in (0, 1].
        """
        _check_fraction(fraction)
        before = self.cdf - self.masses
        taken = np.clip(fraction - before, 0.0, self.masses)
        return float(taken @ self.rewards) / fraction


def reward_distribution(
    session_rewards: FloatArray, weights: FloatArray, *, normalised: bool = True
) -> RewardDistribution:
    """F(x) = (sum of w_i over sessions with reward up to x) / (sum of w_i, or the session count).

    Source: Huang et al., "Off-policy risk assessment in contextual bandits" (NeurIPS 2021).
    Without normalisation, F is clipped to [0, 1] and set to 1 at the largest reward.

    Args:
        session_rewards: reward of each logged session, (sessions,).
        weights: importance weight w_{T-1} of each session, (sessions,), at least 0.
        normalised: whether to divide by the sum of weights rather than by the session count.

    Raises:
        ConfigError: if all weights are 0.
        DataError: if a weight is negative or not finite.
    """
    refuse_rows(~(np.isfinite(weights) & (weights >= 0.0)), "weights must be finite, at least 0")
    total = float(weights.sum()) if normalised else float(len(weights))
    if not weights.sum() > 0.0:
        raise ConfigError("the weight of at least one session must be above 0, got none")
    order = np.argsort(session_rewards, kind="stable")
    cdf = np.clip(np.cumsum(weights[order]) / total, 0.0, 1.0)
    cdf[-1] = 1.0
    return RewardDistribution(session_rewards[order], cdf)


def _check_fraction(fraction: float) -> None:
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"fraction must be in (0, 1], got {fraction}")
