"""Settings of the environments."""

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
    """Settings of a session: candidates, slate, length, fusion, reward.

    Raises:
        ConfigError: if a number is out of range.
        UnknownNameError: if the reward is not registered.
    """

    candidates: int = 100
    """Videos retrieved per request, from `slate` to the size of the pool."""
    slate: int = 6
    """Videos shown per request, from 1 to `candidates`."""
    max_requests: int = 50
    """Number of requests after which a session is truncated, >= 1."""
    fusion: Annotated[FusionConfig, tyro.conf.arg(name="")] = field(default_factory=FusionConfig)
    """Fusion of predictions into a ranking score."""
    reward: str = "engagement"
    """Reward of a request: engagement, watch_time, interaction, none or your own
    module:function."""

    def __post_init__(self) -> None:
        check_at_least("slate", self.slate, 1)
        if self.candidates < self.slate:
            raise ConfigError(
                f"candidates must be at least the slate of {self.slate}, got {self.candidates}"
            )
        check_at_least("max_requests", self.max_requests, 1)
        check_reward_name(self.reward)

    def with_settings(self, **settings: Any) -> "SessionConfig":
        """A copy with some settings replaced; settings of fusion are given by their field names.

        Raises:
            ConfigError: if a setting is unknown or out of range.
            UnknownNameError: if a name is not registered.
        """
        unknown = sorted(set(settings) - set(self.setting_names()))
        if unknown:
            raise ConfigError(
                f"no such setting: {', '.join(unknown)}; known: {', '.join(self.setting_names())}"
            )
        fusion_names = set(FusionConfig.setting_names()) & set(settings)
        fusion_settings = {name: settings.pop(name) for name in fusion_names}
        fusion = replace(settings.pop("fusion", self.fusion), **fusion_settings)
        return replace(self, fusion=fusion, **settings)

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Names that `with_settings` accepts: the fields of this class and settings of fusion."""
        return (*(entry.name for entry in fields(cls)), *FusionConfig.setting_names())


@dataclass(frozen=True)
class RetentionConfig:
    """Settings of an episode of several sessions of one user.

    Raises:
        ConfigError: if a number is out of range.
    """

    max_sessions: int = 6
    """Number of sessions after which an episode is truncated, >= 1."""
    return_cost: float = 1.0
    """Reward subtracted per day from a session to the user's next active day, >= 0."""
    lost_after_days: int = 14
    """An absence of more days counts as a lost user and terminates the episode, >= 1."""

    def __post_init__(self) -> None:
        check_at_least("max_sessions", self.max_sessions, 1)
        check_at_least("return_cost", self.return_cost, 0.0)
        check_at_least("lost_after_days", self.lost_after_days, 1)
