"""Policies side by side: a row per policy and evaluator, with intervals and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import FEEDBACKS
from mtf_rl.evaluation.intervals import Interval, mean_interval
from mtf_rl.evaluation.rollouts import Sessions

__all__ = [
    "LeaderboardRow",
    "PolicySessions",
    "leaderboard",
    "leaderboard_columns",
    "paired_difference",
]

_FIRST_COLUMNS = (
    "policy",
    "evaluator",
    "declared",
    "requests_used",
    "sessions",
    "reward_mean",
    "reward_low",
    "reward_high",
    "depth_mean",
    "watch_seconds_mean",
    *(f"{task.name}_rate" for task in FEEDBACKS),
    "delta_vs_best_static_mean",
    "delta_vs_best_static_low",
    "delta_vs_best_static_high",
)


def leaderboard_columns(parameter_names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a row's cells, for a formula with these parameters."""
    weights = (f"{name}_weight" for name in parameter_names)
    spreads = (f"{name}_weight_spread" for name in parameter_names)
    return (*_FIRST_COLUMNS, *weights, *spreads)


@dataclass(frozen=True)
class PolicySessions:
    """A policy's sessions under one evaluator, and what it cost to find the policy."""

    policy: str
    requests_used: int
    sessions: Sessions


@dataclass(frozen=True)
class LeaderboardRow:
    """One policy under one evaluator.

    Rewards and watch seconds are per session, rates per shown video; weights are means over
    sessions of the session's mean, spreads of its standard deviation over requests.
    """

    policy: str
    evaluator: str
    declared: tuple[str, ...]
    requests_used: int
    sessions: int
    reward: Interval
    depth_mean: float
    watch_seconds_mean: float
    rates: FloatArray  # (7,)
    delta_vs_best_static: Interval
    parameter_names: tuple[str, ...]
    weights: FloatArray  # (action_dim,)
    weights_spread: FloatArray  # (action_dim,)

    def cells(self) -> dict[str, str | int | float]:
        """The row by column name, in the order of `leaderboard_columns`."""
        values: tuple[str | int | float, ...] = (
            self.policy,
            self.evaluator,
            "+".join(self.declared) or "none",
            self.requests_used,
            self.sessions,
            *_limits(self.reward),
            self.depth_mean,
            self.watch_seconds_mean,
            *(float(rate) for rate in self.rates),
            *_limits(self.delta_vs_best_static),
            *(float(weight) for weight in self.weights),
            *(float(spread) for spread in self.weights_spread),
        )
        return dict(zip(leaderboard_columns(self.parameter_names), values, strict=True))


def leaderboard(
    contestants: Sequence[PolicySessions],
    *,
    evaluator: str,
    best_static: str,
    parameter_names: tuple[str, ...],
    declared: tuple[str, ...] = (),
) -> list[LeaderboardRow]:
    """Rows of all contestants under one evaluator, best reward first.

    Args:
        contestants: with sessions of the same episodes, so that differences are paired.
        evaluator: who answered, `simulator` or `ground_truth`.
        best_static: the static policy, chosen beforehand on tuning users, that the others are
            compared with.
        parameter_names: of the fusion formula.
        declared: parts of the evaluator that are a declared prior, not fitted on the log.

    Raises:
        ConfigError: if `best_static` does not take part, or the episodes differ.
    """
    by_name: Mapping[str, PolicySessions] = {entry.policy: entry for entry in contestants}
    if best_static not in by_name:
        raise ConfigError(f"the best static policy '{best_static}' is not among {list(by_name)}")
    reference = by_name[best_static].sessions
    rows = [_row(entry, reference, evaluator, declared, parameter_names) for entry in contestants]
    return sorted(rows, key=lambda row: -row.reward.mean)


def paired_difference(sessions: Sessions, reference: Sessions) -> Interval:
    """The mean difference of session reward on common random numbers, clustered by user.

    Raises:
        ConfigError: if the two played different episodes.
    """
    if not np.array_equal(sessions.episodes, reference.episodes):
        raise ConfigError("paired policies must play the same episodes")
    return mean_interval(sessions.reward - reference.reward, reference.users)


def _row(
    entry: PolicySessions,
    reference: Sessions,
    evaluator: str,
    declared: tuple[str, ...],
    parameter_names: tuple[str, ...],
) -> LeaderboardRow:
    sessions = entry.sessions
    return LeaderboardRow(
        policy=entry.policy,
        evaluator=evaluator,
        declared=declared,
        requests_used=entry.requests_used,
        sessions=len(sessions.episodes),
        reward=mean_interval(sessions.reward, sessions.users),
        depth_mean=float(sessions.depth.mean()),
        watch_seconds_mean=float(sessions.watch_seconds.mean()),
        rates=sessions.feedback.sum(axis=0) / sessions.impressions.sum(),
        delta_vs_best_static=paired_difference(sessions, reference),
        parameter_names=parameter_names,
        weights=sessions.weights.mean(axis=0),
        weights_spread=sessions.weights_spread.mean(axis=0),
    )


def _limits(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high
