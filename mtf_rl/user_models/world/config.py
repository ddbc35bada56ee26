"""The settings of a world: its size and the strength of every effect in it."""

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
    """A synthetic world. An effect of strength 0 is absent.

    Raises:
        ConfigError: if a value is out of its range.
    """

    users: int = 2000
    """How many users there are, >= 1."""
    videos: int = 4000
    """How many videos there are, >= 1."""
    days: int = 3
    """How many days of logs are generated, from 2022-04-08 on, >= 1."""
    seed: int = 0
    """What the users, videos and logs are drawn from, >= 0."""
    taste: float = 1.4
    """Log-odds of watching gained per std of taste match, >= 0."""
    appeal: float = 1.0
    """Log-odds of a like gained per std of appeal match, >= 0."""
    bait: float = 1.2
    """Log-odds of starting to watch gained by click-bait, per unit of a video's bait, >= 0."""
    disappointment: float = 0.5
    """Rate, per unit of bait, at which watching click-bait ends in disappointment, >= 0."""
    boredom: float = 0.25
    """Log-odds of watching lost per slate of recent exposure to the same tags, >= 0."""
    monotony: float = 0.1
    """Satisfaction lost per slate of recent exposure to the same tags, >= 0."""
    regret: float = 2.0
    """Satisfaction lost when click-bait is clicked and not watched long, per unit of bait, >= 0."""
    tiring: float = 0.07
    """Log-odds of leaving gained per minute of recent long watching beyond the usual, >= 0."""
    leave_effect: float = 2.0
    """Log-odds of leaving lost per unit of satisfaction, >= 0."""
    return_effect: float = 1.0
    """Log-odds of coming back the next day gained per unit of satisfaction, >= 0."""

    def __post_init__(self) -> None:
        for name in ("users", "videos", "days"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{field.name} must be in [0, inf), got {value}")

    def without_carry_over(self) -> "WorldConfig":
        """The same world in which no request has an effect on what comes after it."""
        return WorldConfig(**asdict(self) | dict.fromkeys(CARRY_OVER_EFFECTS, 0.0))
