"""The settings of the environments."""

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any

import tyro

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least
from mtf_rl.envs.rewards import check_reward_name
from mtf_rl.fusion import FusionConfig

__all__ = ["RetentionConfig", "SessionConfig"]


@dataclass(frozen=True)
class SessionConfig:
    """One session of one user: what is shown, how it is fused, what it is worth.

    Raises:
        ConfigError: if a number is out of range.
        UnknownNameError: if the reward is not in its registry.
    """

    candidates: int = 100
    """Videos retrieved for each request, at most the pool."""
    slate: int = 6
    """Videos shown at each request, at most the candidates."""
    max_requests: int = 50
    """Requests after which a session is truncated."""
    fusion: Annotated[FusionConfig, tyro.conf.arg(name="")] = field(default_factory=FusionConfig)
    """How predictions are fused into a ranking score."""
    reward: str = "engagement"
    """Worth of a request: engagement, watch_time, interaction, none or your own module:function."""

    def __post_init__(self) -> None:
        check_at_least("slate", self.slate, 1)
        if self.candidates < self.slate:
            raise ConfigError(
                f"candidates must be at least the slate of {self.slate}, got {self.candidates}"
            )
        check_at_least("max_requests", self.max_requests, 1)
        check_reward_name(self.reward)

    def with_settings(self, **settings: Any) -> "SessionConfig":
        """These settings with some replaced, those of fusion by their own names.

        Raises:
            ConfigError: if there is no such setting, or one is out of range.
            UnknownNameError: if a name is not in its registry.
        """
        unknown = sorted(set(settings) - set(self.setting_names()))
        if unknown:
            raise ConfigError(
                f"no such setting: {', '.join(unknown)}; known: {', '.join(self.setting_names())}"
            )
        inner = {entry.name for entry in fields(FusionConfig)} & set(settings)
        fused = {name: settings.pop(name) for name in inner}
        fusion = replace(settings.pop("fusion", self.fusion), **fused)
        return replace(self, fusion=fusion, **settings)

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """What `with_settings` takes: the fields, and those of fusion."""
        return tuple(entry.name for kind in (cls, FusionConfig) for entry in fields(kind))


@dataclass(frozen=True)
class RetentionConfig:
    """Several sessions of one user, with the days between them.

    Raises:
        ConfigError: if a number is out of range.
    """

    max_sessions: int = 6
    """Sessions after which an episode is truncated."""
    return_cost: float = 1.0
    """Reward lost for each day from a session to the user's next active day, at least 0."""
    lost_after_days: int = 14
    """A user who stays away for more days is lost, and the episode terminated; at least 1."""

    def __post_init__(self) -> None:
        check_at_least("max_sessions", self.max_sessions, 1)
        check_at_least("return_cost", self.return_cost, 0.0)
        check_at_least("lost_after_days", self.lost_after_days, 1)
