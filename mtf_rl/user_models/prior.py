"""A declared prior for leaving, pausing and returning, where the log's sessions are fragments.

A log that keeps only some of the shown videos, as KuaiRand-Pure does, has sessions of one request
and shows no leaving. What such a log cannot teach is declared here from published statistics, and
named wherever results are shown.
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import expit, logit, stdtr, stdtrit
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.history import VisibleHistory
from mtf_rl.user_models.session_features import mean_signals
from mtf_rl.user_models.sessions import (
    MAX_PAUSE_SECONDS,
    MIN_PAUSE_SECONDS,
    Leaving,
    Pausing,
    Returning,
)
from mtf_rl.user_models.traces import SessionTrace

__all__ = ["ENGAGEMENT_VALUES", "DeclaredPrior", "visible_engagement"]

# In the order of core's signals: click, long_view, like, follow, comment, forward, hate, ratio.
ENGAGEMENT_VALUES = np.array([0.0, 0.0, 1.0, 5.0, 3.0, 5.0, -5.0, 1.0])
SATISFACTION_LIMIT = 3.0


@dataclass(frozen=True)
class DeclaredPrior(Leaving, Pausing, Returning):
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

    def __post_init__(self) -> None:
        for name in ("leave_probability_mean", "next_day_return", "later_day_return"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} must be in (0, 1), got {getattr(self, name)}")
        for name in ("leave_tilt", "return_tilt"):
            if getattr(self, name) < 0.0:
                raise ConfigError(f"{name} must be >= 0, got {getattr(self, name)}")
        for name in ("gap_freedom", "gap_scale", "engagement_scale"):
            if getattr(self, name) <= 0.0:
                raise ConfigError(f"{name} must be > 0, got {getattr(self, name)}")

    def satisfaction(self, history: VisibleHistory) -> FloatArray:
        """Standardised visible engagement z, (num_envs,) in [-3, 3]; 0 before any request."""
        standard = (visible_engagement(history) - self.engagement_mean) / self.engagement_scale
        limited = np.clip(standard, -SATISFACTION_LIMIT, SATISFACTION_LIMIT)
        return np.where(history.requests > 0, limited, 0.0)

    @override
    def leave_probability(
        self, users: IntArray, history: VisibleHistory, trace: SessionTrace
    ) -> FloatArray:
        tilt = self.leave_tilt * self.satisfaction(history)
        return np.asarray(expit(logit(self.leave_probability_mean) - tilt))

    @override
    def pause_seconds(self, history: VisibleHistory, uniforms: FloatArray) -> FloatArray:
        limits = np.log([MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS])
        low, high = stdtr(self.gap_freedom, (limits - self.gap_location) / self.gap_scale)
        quantiles = stdtrit(self.gap_freedom, low + uniforms * (high - low))
        gap: FloatArray = np.exp(self.gap_location + self.gap_scale * quantiles)
        return np.clip(gap, MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS)

    @override
    def return_probabilities(
        self, users: IntArray, history: VisibleHistory, trace: SessionTrace
    ) -> FloatArray:
        tilt = self.return_tilt * self.satisfaction(history)
        next_day = np.asarray(expit(logit(self.next_day_return) + tilt))
        return np.stack([next_day, np.full_like(next_day, self.later_day_return)], axis=1)

    @property
    def sentences(self) -> dict[str, str]:
        """What to say beside results that rest on this prior, for each part that it replaces."""
        return {
            "leaving": (
                f"leaving is declared (chance {self.leave_probability_mean:g} per request, log"
                f" odds falling by {self.leave_tilt:g} per unit of visible engagement), not fitted"
            ),
            "pausing": (
                f"the gap between requests is declared (log-t, df {self.gap_freedom:g}, location"
                f" {self.gap_location:g}, scale {self.gap_scale:g}), not fitted"
            ),
            "returning": (
                f"the return is declared (next day {self.next_day_return:g}, log odds rising by"
                f" {self.return_tilt:g} per unit of visible engagement; each later day"
                f" {self.later_day_return:g}), not fitted"
            ),
        }

    def to_json(self) -> dict[str, float]:
        """Every field, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def visible_engagement(history: VisibleHistory) -> FloatArray:
    """Engagement per shown video, from the slow averages: (num_envs,).

    play ratio + 1 like + 3 comment + 5 follow + 5 forward - 5 hate. The played ratio stands for
    minutes, as both have a mean of about a third on KuaiRand; unlike minutes per request it does
    not depend on how many videos of a request the log kept.
    """
    _, slow = mean_signals(history)
    # A sum in fixed order: a matrix product's last bits would depend on the number of rows.
    return np.asarray((slow * ENGAGEMENT_VALUES).sum(axis=1))
