"""Settings of fitted Q evaluation."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import (
    check_above,
    check_at_least,
    check_fraction,
    check_proper_fraction,
    check_seed,
)

__all__ = ["CONSERVATIVE_OPESTIMATOR", "FQEConfig"]


@dataclass(frozen=True)
class FQEConfig:
    """Settings of the fit of a Q network to a policy.

    Raises:
        ConfigError: if a field is out of its range.
    """

    gamma: float = 0.95
    """Discount factor per request, in [0, 1]; 1 estimates the undiscounted session reward."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers, each at least 1; () makes Q linear."""
    learning_rate: float = 1e-3
    """Adam's step size, > 0."""
    batch_size: int = 512
    """Rows per update, sampled with replacement, at least 1."""
    updates: int = 5000
    """Gradient steps, at least 1."""
    tau: float = 0.05
    """Step of the target network towards the network at each update, in (0, 1]."""
    alpha: float = 0.0
    """Weight of the conservative penalty on Q, in units of the reward's std, >= 0; 0 is plain
    FQE."""
    held_out_fraction: float = 0.1
    """Fraction of sessions excluded from the fit to measure its error, in [0, 1)."""
    seed: int = 0
    """Seed of the initial weights, the batches and the held-out sessions, >= 0."""

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        for units in self.hidden:
            check_at_least("hidden units", units, 1)
        check_above("learning_rate", self.learning_rate, 0.0)
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("updates", self.updates, 1)
        if not 0.0 < self.tau <= 1.0:
            raise ConfigError(f"tau must be in (0, 1], got {self.tau}")
        check_at_least("alpha", self.alpha, 0.0)
        check_proper_fraction("held_out_fraction", self.held_out_fraction)
        check_seed("seed", self.seed)


CONSERVATIVE_OPESTIMATOR = FQEConfig(
    gamma=0.95,
    learning_rate=1e-4,
    batch_size=512,
    updates=5000,
    tau=1.0,
    alpha=5e-4,
    held_out_fraction=0.0,
)
"""Settings of Zhang et al., "Multi-task fusion via reinforcement learning for long-term user
satisfaction in recommender systems" (BatchRL-MTF), KDD 2022, Algorithm 2, with alpha = 5e-4 and
K = 5000 iterations of m = 512 transitions by Adam at 1e-4. As in the paper, fit on sessions that
the policy was not trained on. The paper gives no layers and mentions no target network: the layers
are ours, and tau = 1 means no target network."""
