"""Metrics of a policy's sessions, and their differences between two policies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskKind, TaskSet
from mtf_rl.evaluation.intervals import (
    Interval,
    change_interval,
    mean_interval,
    rate_change_interval,
    rate_difference_interval,
    rate_interval,
)
from mtf_rl.evaluation.rollouts import Sessions

__all__ = [
    "Metrics",
    "metric_changes",
    "metric_differences",
    "metrics_of",
    "paired_difference",
]


@dataclass(frozen=True)
class Metrics:
    """Every metric with its 95 % interval: values, differences or relative changes."""

    reward: Interval
    """Undiscounted reward of a session."""
    depth: Interval
    """Requests per session."""
    watch_seconds: Interval
    """Play time per session, in seconds."""
    rates: tuple[Interval, ...]
    """Each feedback per shown video, in the order of the task set's feedbacks."""
    rate_names: tuple[str, ...] = KUAIRAND_TASKS.feedback_names
    """Names of the feedbacks."""
    rate_signs: tuple[int, ...] = tuple(task.sign for task in KUAIRAND_TASKS.feedbacks)
    """+1 for a feedback where more is better, else -1."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics in `all`, for tables."""
        return ("session reward", "session length", "watch time", *self.rate_names)

    @property
    def signs(self) -> tuple[int, ...]:
        """For each metric in `all`, +1 if more is better, else -1."""
        return (1, 1, 1, *self.rate_signs)

    @property
    def all(self) -> tuple[Interval, ...]:
        """Reward, depth, watch seconds and the rates."""
        return (self.reward, self.depth, self.watch_seconds, *self.rates)

    @classmethod
    def of(
        cls,
        intervals: Sequence[Interval],
        rate_names: tuple[str, ...] = KUAIRAND_TASKS.feedback_names,
        rate_signs: tuple[int, ...] = tuple(task.sign for task in KUAIRAND_TASKS.feedbacks),
    ) -> "Metrics":
        """Metrics from intervals in the order of `all`."""
        reward, depth, watch_seconds, *rates = intervals
        return cls(reward, depth, watch_seconds, tuple(rates), rate_names, rate_signs)

    def worse(self) -> tuple[bool, ...]:
        """For differences: whether each metric is significantly worse."""
        return tuple(
            interval.excludes_zero and interval.mean * sign < 0.0
            for interval, sign in zip(self.all, self.signs, strict=True)
        )


def _rates_of(tasks: TaskSet) -> dict[str, Any]:
    """Names and signs of the rates, as fields of `Metrics`."""
    return {
        "rate_names": tasks.feedback_names,
        "rate_signs": tuple(task.sign for task in tasks.feedbacks),
    }


def metrics_of(sessions: Sessions) -> Metrics:
    """The metrics of some sessions, with 95 % intervals clustered by user."""
    users = sessions.users
    return Metrics(
        reward=mean_interval(sessions.reward, users),
        depth=mean_interval(_floats(sessions.depth), users),
        watch_seconds=mean_interval(sessions.watch_seconds, users),
        rates=tuple(
            rate_interval(
                counts,
                sessions.impressions,
                users,
                most=1.0 if task.kind is TaskKind.BINARY else np.inf,
            )
            for task, counts in zip(sessions.tasks.feedbacks, sessions.feedback.T, strict=True)
        ),
        **_rates_of(sessions.tasks),
    )


def metric_differences(sessions: Sessions, reference: Sessions) -> Metrics:
    """Every metric minus that of the reference, on common random numbers, clustered by user.

    Raises:
        ConfigError: if the two have different episodes.
    """
    _check_paired(sessions, reference)
    users = reference.users
    return Metrics(
        reward=mean_interval(sessions.reward - reference.reward, users),
        depth=mean_interval(_floats(sessions.depth - reference.depth), users),
        watch_seconds=mean_interval(sessions.watch_seconds - reference.watch_seconds, users),
        rates=_paired_rates(rate_difference_interval, sessions, reference),
        **_rates_of(sessions.tasks),
    )


def metric_changes(sessions: Sessions, reference: Sessions) -> Metrics:
    """Every metric relative to that of the reference, minus 1, on common random numbers.

    Raises:
        ConfigError: if the two have different episodes.
    """
    _check_paired(sessions, reference)
    users = reference.users
    return Metrics(
        reward=change_interval(sessions.reward, reference.reward, users),
        depth=change_interval(_floats(sessions.depth), _floats(reference.depth), users),
        watch_seconds=change_interval(sessions.watch_seconds, reference.watch_seconds, users),
        rates=_paired_rates(rate_change_interval, sessions, reference),
        **_rates_of(sessions.tasks),
    )


def paired_difference(sessions: Sessions, reference: Sessions) -> Interval:
    """The mean difference of session reward on common random numbers, clustered by user.

    Raises:
        ConfigError: if the two have different episodes.
    """
    _check_paired(sessions, reference)
    return mean_interval(sessions.reward - reference.reward, reference.users)


def _paired_rates(
    compare: Callable[..., Interval], sessions: Sessions, reference: Sessions
) -> tuple[Interval, ...]:
    return tuple(
        compare(
            counts, sessions.impressions, reference_counts, reference.impressions, reference.users
        )
        for counts, reference_counts in zip(sessions.feedback.T, reference.feedback.T, strict=True)
    )


def _floats(counts: IntArray) -> FloatArray:
    return counts.astype(np.float64)


def _check_paired(sessions: Sessions, reference: Sessions) -> None:
    if sessions.episodes.tolist() != reference.episodes.tolist():
        raise ConfigError(
            "paired policies must have the same episodes in the same order; roll both out with the"
            " same episodes"
        )
