"""Leaderboard rows: one per policy and evaluator, with intervals and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.evaluation.intervals import Interval
from mtf_rl.evaluation.metrics import (
    Metrics,
    metric_changes,
    metric_differences,
    metrics_of,
    paired_difference,
)
from mtf_rl.evaluation.rollouts import Sessions

__all__ = [
    "LeaderboardRow",
    "PolicySessions",
    "difference_cells",
    "leaderboard",
    "leaderboard_columns",
    "limits",
    "metric_cells",
]


def leaderboard_columns(
    parameter_names: tuple[str, ...], tasks: TaskSet = KUAIRAND_TASKS
) -> tuple[str, ...]:
    """Column names, for a formula with these parameters and a log with these tasks."""
    none = Interval(0.0, 0.0, 0.0)
    names = tasks.feedback_names
    metrics = Metrics(none, none, none, (none,) * len(names), names)
    empty = np.zeros(len(parameter_names))
    row = LeaderboardRow(
        "", "", (), 0, 0, 0, metrics, "", metrics, metrics, none, parameter_names, empty, empty
    )
    return tuple(row.cells())


@dataclass(frozen=True)
class PolicySessions:
    """A policy's sessions under one evaluator, and the number of requests used to train it."""

    policy: str
    requests_used: int
    sessions: Sessions


@dataclass(frozen=True)
class LeaderboardRow:
    """One policy under one evaluator.

    `weights` are means over sessions of the session's mean weights. `weights_spread` are means of
    the session's standard deviation over requests.
    """

    policy: str
    evaluator: str
    declared: tuple[str, ...]
    requests_used: int
    sessions: int
    users: int
    """Number of distinct users of the sessions."""
    metrics: Metrics
    reference: str
    """Name of the current production policy, or of uniform weights."""
    differences: Metrics
    """Every metric minus that of the reference."""
    changes: Metrics
    """Every metric relative to that of the reference, minus 1."""
    delta_vs_best_static: Interval
    parameter_names: tuple[str, ...]
    weights: FloatArray  # (action_dim,)
    weights_spread: FloatArray  # (action_dim,)

    def cells(self) -> dict[str, str | int | float]:
        """The cells by column name, in the order of `leaderboard_columns`."""
        weights = zip(self.parameter_names, self.weights, strict=True)
        spreads = zip(self.parameter_names, self.weights_spread, strict=True)
        return {
            "policy": self.policy,
            "evaluator": self.evaluator,
            "declared": "+".join(self.declared) or "none",
            "requests_used": self.requests_used,
            "sessions": self.sessions,
            "users": self.users,
            **metric_cells(self.metrics),
            **limits("delta_vs_best_static", self.delta_vs_best_static),
            "reference": self.reference,
            **difference_cells(self.differences),
            **{f"{name}_weight": float(weight) for name, weight in weights},
            **{f"{name}_weight_spread": float(spread) for name, spread in spreads},
        }


def metric_cells(metrics: Metrics) -> dict[str, float]:
    """Means and limits by column name: X_mean, X_low, X_high; the mean of a rate is TASK_rate."""
    cells: dict[str, float] = {
        **limits("reward", metrics.reward),
        **limits("depth", metrics.depth),
        **limits("watch_seconds", metrics.watch_seconds),
    }
    for task, rate in zip(metrics.rate_names, metrics.rates, strict=True):
        name = f"{task}_rate"
        cells |= {name: rate.mean, f"{name}_low": rate.low, f"{name}_high": rate.high}
    return cells


def difference_cells(differences: Metrics) -> dict[str, float]:
    """Differences from production: delta_vs_production (reward) and X_delta_vs_production."""
    cells = limits("delta_vs_production", differences.reward)
    names = ("depth", "watch_seconds", *(f"{name}_rate" for name in differences.rate_names))
    for name, interval in zip(names, differences.all[1:], strict=True):
        cells |= limits(f"{name}_delta_vs_production", interval)
    return cells


def limits(name: str, interval: Interval) -> dict[str, float]:
    """An interval as NAME_mean, NAME_low and NAME_high."""
    return {
        f"{name}_mean": interval.mean,
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


def leaderboard(
    contestants: Sequence[PolicySessions],
    *,
    evaluator: str,
    best_static: str,
    reference: str,
    parameter_names: tuple[str, ...],
    declared: tuple[str, ...] = (),
) -> list[LeaderboardRow]:
    """Rows of all contestants under one evaluator, in descending order of mean reward.

    Args:
        contestants: policies with sessions of the same episodes, so that differences are paired.
        evaluator: `simulator` or `ground_truth`.
        best_static: name of the static policy selected on tuning users; all contestants are
            compared with it.
        reference: name of the production policy, or of uniform weights; all contestants are
            compared with it too.
        parameter_names: names of the fusion formula's parameters.
        declared: parts of the evaluator that are a declared prior, not fitted on the log.

    Raises:
        ConfigError: if `best_static` or `reference` is not a contestant, or the episodes differ.
    """
    by_name: Mapping[str, Sessions] = {entry.policy: entry.sessions for entry in contestants}
    for role, name in (("best static policy", best_static), ("reference", reference)):
        if name not in by_name:
            raise ConfigError(f"the {role} '{name}' is not a contestant, got {list(by_name)}")
    rows = [
        LeaderboardRow(
            policy=entry.policy,
            evaluator=evaluator,
            declared=declared,
            requests_used=entry.requests_used,
            sessions=len(entry.sessions.episodes),
            users=len(np.unique(entry.sessions.users)),
            metrics=metrics_of(entry.sessions),
            reference=reference,
            differences=metric_differences(entry.sessions, by_name[reference]),
            changes=metric_changes(entry.sessions, by_name[reference]),
            delta_vs_best_static=paired_difference(entry.sessions, by_name[best_static]),
            parameter_names=parameter_names,
            weights=entry.sessions.weights.mean(axis=0),
            weights_spread=entry.sessions.weights_spread.mean(axis=0),
        )
        for entry in contestants
    ]
    return sorted(rows, key=lambda row: -row.metrics.reward.mean)
