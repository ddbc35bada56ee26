"""A declared prior for leaving, pausing and returning, for logs with incomplete sessions.

A log that keeps only some of the shown videos, such as KuaiRand-Pure, has sessions of one request,
so leaving cannot be fitted. This prior uses published statistics instead; all results name it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtr, stdtrit
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models.prior_config import DeclaredPriorConfig
from mtf_rl.user_models.session_features import mean_signals
from mtf_rl.user_models.sessions import (
    MAX_PAUSE_SECONDS,
    MIN_PAUSE_SECONDS,
    Leaving,
    Pausing,
    Returning,
)
from mtf_rl.user_models.traces import SessionTrace

__all__ = ["DeclaredPrior", "visible_engagement"]

SATISFACTION_LIMIT = 3.0


@dataclass(frozen=True)
class DeclaredPrior(DeclaredPriorConfig, Leaving, Pausing, Returning):
    """Leaving, pausing and returning with the values of a `DeclaredPriorConfig`."""

    def satisfaction(self, history: VisibleHistory) -> FloatArray:
        """Standardised visible engagement z, (num_envs,) in [-3, 3]; 0 before any request."""
        engagement = visible_engagement(history, self.signal_worth)
        standard = (engagement - self.engagement_mean) / self.engagement_scale
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
        """A sentence for each part that this prior replaces, to print beside results."""
        return {
            "leaving": (
                "Leaving uses the declared prior, not a fit (probability"
                f" {self.leave_probability_mean:g} per request; log-odds fall by"
                f" {self.leave_tilt:g} per unit of satisfaction)"
            ),
            "pausing": (
                "The gap between requests uses the declared prior, not a fit (log-t with"
                f" {self.gap_freedom:g} degrees of freedom, location {self.gap_location:g}, scale"
                f" {self.gap_scale:g})"
            ),
            "returning": (
                "Returning uses the declared prior, not a fit (probability"
                f" {self.next_day_return:g} for the next day, log-odds rise by"
                f" {self.return_tilt:g} per unit of satisfaction; {self.later_day_return:g} for"
                " each later day)"
            ),
        }


def visible_engagement(
    history: VisibleHistory, signal_worth: Sequence[float] = KUAIRAND_TASKS.signal_worth
) -> FloatArray:
    """Engagement per shown video from the slow averages: (num_envs,).

    The sum over signals of the signal's average times its `signal_worth` (`TaskSet.signal_worth`).
    For KuaiRand: play ratio + 1 like + 3 comment + 5 follow + 5 forward - 5 hate. The play ratio
    replaces minutes of play: both have a mean of about a third on KuaiRand, but minutes per request
    depend on how many videos of a request the log kept.
    """
    _, slow = mean_signals(history)
    # Summed in a fixed order: the last bits of a matrix product depend on the number of rows.
    return np.asarray((slow * np.array(signal_worth)).sum(axis=1))
