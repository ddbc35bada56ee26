"""The settings that all actor-critics share."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_fraction

__all__ = ["ActorCriticConfig"]


@dataclass(frozen=True)
class ActorCriticConfig:
    """What all actor-critics share.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 0.95
    """Discount per request, in [0, 1]; 0 makes the learner myopic."""
    learning_rate: float = 5e-4
    """The optimizer's step, above 0, for actor and critics."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critics."""
    num_envs: int = 32
    """Sessions simulated side by side, at least 1."""
    warmup_requests: int = 10_000
    """Requests served with uniformly random actions before the first update, at least num_envs."""

    @property
    def requests_before_learning(self) -> int:
        """What a budget has to exceed, a step of all sessions aside."""
        return self.warmup_requests

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)
        check_above("learning_rate", self.learning_rate, 0.0)
        check_at_least("num_envs", self.num_envs, 1)
        check_at_least("warmup_requests", self.warmup_requests, self.num_envs)
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden needs positive widths, got {self.hidden}")
