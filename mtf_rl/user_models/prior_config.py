"""Values of the declared prior, from published statistics."""

from dataclasses import dataclass, fields
from typing import Any

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS

__all__ = ["DeclaredPriorConfig"]


@dataclass(frozen=True)
class DeclaredPriorConfig:
    """Leaving, pausing and returning, from published statistics of KuaiRand-27K and -1K.

    Satisfaction z is `visible_engagement`, standardised with the two `engagement_` fields and
    clipped to [-3, 3]. It multiplies the odds of leaving by exp(-leave_tilt z) and the odds of
    returning by exp(return_tilt z). The existence and the strength of these effects are assumed.

    Raises:
        ConfigError: if a field is out of its range.
    """

    leave_probability_mean: float = 0.0738
    """Probability that a request is the session's last, at z = 0, in (0, 1). From KuaiRand-27K."""
    leave_tilt: float = 0.25
    """Decrease of the log-odds of leaving per unit of satisfaction, >= 0. Assumed."""
    next_day_return: float = 0.957
    """Probability of being active on the next day, at z = 0, in (0, 1). From KuaiRand-1K."""
    later_day_return: float = 0.46
    """Probability of returning on each later day, in (0, 1). It gives KuaiRand-1K's mean return
    time of 1.093 days."""
    return_tilt: float = 0.25
    """Increase of the log-odds of next-day return per unit of satisfaction, >= 0. Assumed."""
    gap_freedom: float = 1.74
    """Degrees of freedom of the log-t gap between requests, > 0. From KuaiRand-27K."""
    gap_location: float = 4.319
    """Location of ln(gap seconds). From KuaiRand-27K."""
    gap_scale: float = 1.263
    """Scale of ln(gap seconds), > 0. From KuaiRand-27K."""
    engagement_mean: float = 0.33
    """Mean of visible engagement; measured on the log when a model is fitted."""
    engagement_scale: float = 0.15
    """Std of visible engagement between sessions, > 0; measured on the log when a model is
    fitted."""
    signal_worth: tuple[float, ...] = KUAIRAND_TASKS.signal_worth
    """Weight of each signal in visible engagement; taken from the log's tasks when a model is
    fitted."""

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
        """All fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
