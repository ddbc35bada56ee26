"""The numbers of the declared prior, from published statistics."""

from dataclasses import dataclass, fields
from typing import Any

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS

__all__ = ["DeclaredPriorConfig"]


@dataclass(frozen=True)
class DeclaredPriorConfig:
    """Leaving, pausing and returning as published for the whole feed of KuaiRand-27K and -1K.

    Satisfaction is `visible_engagement`, standardised with the two `engagement_` fields and cut
    at +-3. It tilts the odds of leaving by exp(-leave_tilt z) and those of returning by
    exp(return_tilt z). That engagement has such effects, and how strong they are, is assumed.

    Raises:
        ConfigError: if a field is out of its range.
    """

    leave_probability_mean: float = 0.0738
    """Chance that a request is the session's last, at z = 0, in (0, 1). KuaiRand-27K."""
    leave_tilt: float = 0.25
    """Log odds of leaving lost per unit of satisfaction, >= 0. Assumed."""
    next_day_return: float = 0.957
    """Chance of being active on the next day, at z = 0, in (0, 1). KuaiRand-1K."""
    later_day_return: float = 0.46
    """Chance of each later day, in (0, 1); gives KuaiRand-1K's mean return of 1.093 days."""
    return_tilt: float = 0.25
    """Log odds of next-day return gained per unit of satisfaction, >= 0. Assumed."""
    gap_freedom: float = 1.74
    """Degrees of freedom of the log-t gap between requests, > 0. KuaiRand-27K."""
    gap_location: float = 4.319
    """Location of ln(gap seconds). KuaiRand-27K."""
    gap_scale: float = 1.263
    """Scale of ln(gap seconds), > 0. KuaiRand-27K."""
    engagement_mean: float = 0.33
    """Visible engagement of an average session; measured on the log when a model is fitted."""
    engagement_scale: float = 0.15
    """Its deviation between sessions, > 0; measured on the log when a model is fitted."""
    signal_worth: tuple[float, ...] = KUAIRAND_TASKS.signal_worth
    """Worth of each signal of a slate in visible engagement; taken from the log's tasks when a
    model is fitted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal_worth", tuple(self.signal_worth))
        for name in ("leave_probability_mean", "next_day_return", "later_day_return"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} must be in (0, 1), got {getattr(self, name)}")
        for name in ("leave_tilt", "return_tilt"):
            if getattr(self, name) < 0.0:
                raise ConfigError(f"{name} must be >= 0, got {getattr(self, name)}")
        for name in ("gap_freedom", "gap_scale", "engagement_scale"):
            if getattr(self, name) <= 0.0:
                raise ConfigError(f"{name} must be > 0, got {getattr(self, name)}")

    def to_json(self) -> dict[str, Any]:
        """Every field, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
