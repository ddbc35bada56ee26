"""What a comparison has found so far: one record for each job."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.evaluation import Sessions
from mtf_rl.experiments.settings import settings_from_json, settings_to_json

__all__ = ["EvaluatedPolicy", "Result", "Results", "evaluated_of", "load_result", "save_result"]


@dataclass(frozen=True)
class EvaluatedPolicy:
    """A policy's episodes with final users under one evaluator, in means."""

    reward: float
    """Undiscounted reward of an episode."""
    depth: float
    """Requests of an episode."""
    watch_minutes: float
    """Watch time of an episode."""
    visits: float
    """Sessions of an episode."""
    return_days: float
    """Days from a session to the user's next active day; 0 where an episode is one session."""
    visits_a_week: float
    """Sessions of a user in seven days, by these days; 0 likewise."""
    rates: dict[str, float]
    """Feedback per shown video, by task, in the order of the log's."""
    weights: dict[str, float]
    """Mean fusion parameter, by name."""
    weights_spread: dict[str, float]
    """Mean std of a parameter within an episode, by name."""
    users: int = 0
    """Final users who had one of the episodes; 0 in results from before this was counted."""
    rate_signs: dict[str, int] = field(
        default_factory=lambda: {task.name: task.sign for task in KUAIRAND_TASKS.feedbacks}
    )
    """Whether more (1) or less (-1) of each feedback is better."""


@dataclass(frozen=True)
class Result:
    """The result of a contestant with one seed and one fraction of the budget."""

    contestant: str
    track: str
    """What was trained: session, watch_time, interaction or retention."""
    seed: int
    fraction: float
    """Of the budget, in (0, 1]."""
    requests_used: int
    seconds: float
    """Wall time of learning."""
    tuning_reward: float
    """Mean reward of an episode of tuning users; it selects the headline contestants."""
    evaluated: dict[str, EvaluatedPolicy]
    """By evaluator: `simulator`, and `ground_truth` if there is one."""


def evaluated_of(sessions: Sessions, parameter_names: Sequence[str]) -> EvaluatedPolicy:
    """The means of episodes."""
    rates = sessions.feedback.sum(axis=0) / sessions.impressions.sum()
    weights, spreads = sessions.weights.mean(axis=0), sessions.weights_spread.mean(axis=0)
    days = float(sessions.return_days.sum()) / float(sessions.visits.sum())
    return EvaluatedPolicy(
        reward=float(sessions.reward.mean()),
        depth=float(sessions.depth.mean()),
        watch_minutes=float(sessions.watch_seconds.mean()) / 60.0,
        visits=float(sessions.visits.mean()),
        return_days=days,
        visits_a_week=7.0 / days if days > 0.0 else 0.0,
        rates=_named(sessions.tasks.feedback_names, rates),
        rate_signs={task.name: task.sign for task in sessions.tasks.feedbacks},
        weights=_named(parameter_names, weights),
        weights_spread=_named(parameter_names, spreads),
        users=len(np.unique(sessions.users)),
    )


def _named(names: Sequence[str], values: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def save_result(path: Path, result: Result, fingerprint: Any) -> None:
    """Write a result and what it depends on."""
    save_json(path, {"fingerprint": fingerprint, "result": settings_to_json(result)})


def load_result(path: Path, fingerprint: Any) -> Result | None:
    """The result in the file; None where there is none, or it depends on something else.

    Raises:
        ArtifactError: if the file is torn.
        ConfigError: if it is not a result's.
    """
    if not path.exists():
        return None
    record = load_json(path)
    if record["fingerprint"] != fingerprint:
        return None
    return settings_from_json(Result, record["result"])


@dataclass(frozen=True)
class Results:
    """Results that can be asked for."""

    all: tuple[Result, ...]

    def of(self, contestant: str, *, track: str = "session", fraction: float = 1.0) -> list[Result]:
        """One contestant's, by seed."""
        found = [
            result
            for result in self.all
            if (result.contestant, result.track, result.fraction) == (contestant, track, fraction)
        ]
        return sorted(found, key=lambda result: result.seed)

    def names(self, *, track: str = "session") -> list[str]:
        """Who has a result with the whole budget."""
        whole = (result for result in self.all if result.track == track and result.fraction == 1.0)
        return list(dict.fromkeys(result.contestant for result in whole))

    def rewards(
        self, contestant: str, evaluator: str, *, track: str = "session", fraction: float = 1.0
    ) -> dict[int, float]:
        """Mean reward by seed."""
        found = self.of(contestant, track=track, fraction=fraction)
        return {result.seed: result.evaluated[evaluator].reward for result in found}

    def paired(
        self, one: str, other: str, evaluator: str, *, track: str = "session", fraction: float = 1.0
    ) -> tuple[FloatArray, FloatArray]:
        """The rewards of two in the seeds that both have, (seeds,) each."""
        first = self.rewards(one, evaluator, track=track, fraction=fraction)
        second = self.rewards(other, evaluator, track=track, fraction=fraction)
        seeds = sorted(set(first) & set(second))
        return np.array([first[seed] for seed in seeds]), np.array([second[s] for s in seeds])

    def mean(
        self, contestant: str, measure: str, evaluator: str, *, track: str = "session"
    ) -> float:
        """Mean over seeds of a number that evaluating gave, such as `depth`."""
        found = self.of(contestant, track=track)
        return float(np.mean([getattr(result.evaluated[evaluator], measure) for result in found]))

    def evaluators(self) -> list[str]:
        """Who evaluated."""
        return list(self.all[0].evaluated) if self.all else []
