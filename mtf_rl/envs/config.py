"""The settings of a session environment."""

from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.envs.rewards import REWARDS
from mtf_rl.fusion import FORMULAS, check_pair

__all__ = ["SessionConfig"]


@dataclass(frozen=True)
class SessionConfig:
    """One session of one user as an episode.

    Raises:
        ConfigError: if a number is out of range, or formula and action map do not fit.
        UnknownNameError: if a name is not in its registry.
    """

    candidates: int = 100
    """Videos retrieved for each request, at most the pool."""
    slate: int = 6
    """Videos shown at each request, at most the candidates."""
    max_requests: int = 50
    """Requests after which a session is truncated."""
    formula: str = "log_sum"
    """Fusion formula: weighted_sum or log_sum."""
    action_map: str = "box"
    """Map from action to fusion parameters: box."""
    reward: str = "engagement"
    """Worth of a request: engagement, watch_time or interaction."""

    def __post_init__(self) -> None:
        if self.slate < 1:
            raise ConfigError(f"slate must be at least 1, got {self.slate}")
        if self.candidates < self.slate:
            raise ConfigError(
                f"candidates must be at least the slate of {self.slate}, got {self.candidates}"
            )
        if self.max_requests < 1:
            raise ConfigError(f"max_requests must be at least 1, got {self.max_requests}")
        FORMULAS[self.formula]
        REWARDS[self.reward]
        check_pair(self.formula, self.action_map)
