"""Settings of a world: its size and the strengths of its effects."""

from dataclasses import asdict, dataclass, fields

from mtf_rl.core.errors import ConfigError

__all__ = ["CARRY_OVER_EFFECTS", "WorldConfig"]

CARRY_OVER_EFFECTS = (
    "boredom",
    "monotony",
    "regret",
    "tiring",
    "leave_effect",
    "return_effect",
)


@dataclass(frozen=True)
class WorldConfig:
    """Settings of a synthetic world. A strength of 0 turns an effect off.

    Raises:
        ConfigError: if a value is out of its range.
    """

    users: int = 2000
    """Number of users, >= 1."""
    videos: int = 4000
    """Number of videos, >= 1."""
    days: int = 3
    """Number of days of logs, from 2022-04-08 on, >= 1."""
    seed: int = 0
    """Seed of users, videos and logs, >= 0."""
    taste: float = 1.4
    """Increase of the log-odds of watching per std of taste match, >= 0."""
    appeal: float = 1.0
    """Increase of the log-odds of a like per std of appeal match, >= 0."""
    bait: float = 1.2
    """Increase of the log-odds of starting to watch per unit of a video's click-bait, >= 0."""
    disappointment: float = 0.5
    """Rate, per unit of bait, at which watching click-bait ends in disappointment, >= 0."""
    boredom: float = 0.25
    """Decrease of the log-odds of watching per slate of recent exposure to the same tags, >= 0."""
    monotony: float = 0.1
    """Decrease of satisfaction per slate of recent exposure to the same tags, >= 0."""
    regret: float = 2.0
    """Decrease of satisfaction per unit of bait after a click without a long view, >= 0."""
    tiring: float = 0.07
    """Increase of the log-odds of leaving per minute of recent long watching beyond the usual,
    >= 0."""
    leave_effect: float = 2.0
    """Decrease of the log-odds of leaving per unit of satisfaction, >= 0."""
    return_effect: float = 1.0
    """Increase of the log-odds of returning the next day per unit of satisfaction, >= 0."""

    def __post_init__(self) -> None:
        for name in ("users", "videos", "days"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{field.name} must be in [0, inf), got {value}")

    def without_carry_over(self) -> "WorldConfig":
        """The same world without effects of a request on later requests."""
        return WorldConfig(**asdict(self) | dict.fromkeys(CARRY_OVER_EFFECTS, 0.0))
