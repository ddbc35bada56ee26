"""The distribution of a session's reward under a target, not only its mean."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, refuse_rows
from mtf_rl.core.errors import ConfigError

__all__ = ["RewardDistribution", "reward_distribution"]


@dataclass(frozen=True)
class RewardDistribution:
    """A step function: F(x) at the rewards that were logged."""

    rewards: FloatArray  # (steps,) rising
    cdf: FloatArray  # (steps,) rising, the last is 1

    @property
    def masses(self) -> FloatArray:
        """Probability of each reward, (steps,)."""
        return np.diff(self.cdf, prepend=0.0)

    @property
    def mean(self) -> float:
        """The mean."""
        return float(self.masses @ self.rewards)

    @property
    def variance(self) -> float:
        """The variance."""
        return float(self.masses @ (self.rewards - self.mean) ** 2)

    def quantile(self, fraction: float) -> float:
        """The smallest reward whose F is at least `fraction`.

        Raises:
            ConfigError: if the share is not in (0, 1].
        """
        _check_share(fraction)
        position = int(np.searchsorted(self.cdf, fraction - 1e-12))
        return float(self.rewards[min(position, len(self.rewards) - 1)])

    def cvar(self, fraction: float) -> float:
        """The mean of the worst `fraction` of sessions: (1 / share) times the integral of F^-1.

        Raises:
            ConfigError: if the share is not in (0, 1].
        """
        _check_share(fraction)
        before = self.cdf - self.masses
        taken = np.clip(fraction - before, 0.0, self.masses)
        return float(taken @ self.rewards) / fraction


def reward_distribution(
    session_rewards: FloatArray, weights: FloatArray, *, normalised: bool = True
) -> RewardDistribution:
    """F(x) = sum of w_i over rewards up to x, over sum w (normalised) or over the sessions.

    Huang et al., "Off-policy risk assessment in contextual bandits", NeurIPS 2021. Without
    normalising F is cut to [0, 1], and reaches 1 at the largest reward.

    Args:
        session_rewards: of logged sessions, (sessions,).
        weights: w_{T-1} of each, (sessions,), at least 0.
        normalised: whether weights are divided by their sum.

    Raises:
        ConfigError: if all weights are 0.
        DataError: if a weight is negative or not finite.
    """
    refuse_rows(~(np.isfinite(weights) & (weights >= 0.0)), "weights must be finite, at least 0")
    total = float(weights.sum()) if normalised else float(len(weights))
    if not weights.sum() > 0.0:
        raise ConfigError("at least one session needs a weight above 0, got none")
    order = np.argsort(session_rewards, kind="stable")
    cdf = np.clip(np.cumsum(weights[order]) / total, 0.0, 1.0)
    cdf[-1] = 1.0
    return RewardDistribution(session_rewards[order], cdf)


def _check_share(fraction: float) -> None:
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"share must be in (0, 1], got {fraction}")
