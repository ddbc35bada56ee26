"""The results of a comparison, one record for each job."""

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
    """Means over a policy's episodes with final users, under one evaluator."""

    reward: float
    """Undiscounted reward per episode."""
    depth: float
    """Requests per episode."""
    watch_minutes: float
    """Watch time per episode, in minutes."""
    visits: float
    """Sessions per episode."""
    return_days: float
    """Days from a session to the user's next active day; 0 if an episode is one session."""
    visits_a_week: float
    """Sessions per user and week, 7 / return_days; 0 if an episode is one session."""
    rates: dict[str, float]
    """Feedback per shown video, by task, in the log's order."""
    weights: dict[str, float]
    """Mean fusion parameter, by name."""
    weights_spread: dict[str, float]
    """Mean std of a parameter within an episode, by name."""
    users: int = 0
    """Number of final users in the episodes; 0 in results of earlier versions."""
    rate_signs: dict[str, int] = field(
        default_factory=lambda: {task.name: task.sign for task in KUAIRAND_TASKS.feedbacks}
    )
    """Whether more (1) or less (-1) of each feedback is better."""


@dataclass(frozen=True)
class Result:
    """The result of a contestant with one seed and one fraction of the budget."""

    contestant: str
    track: str
    """Goal of training: session, watch_time, interaction, retention or reference."""
    seed: int
    fraction: float
    """Fraction of the budget, in (0, 1]."""
    requests_used: int
    seconds: float
    """Wall time of training, in seconds."""
    tuning_reward: float
    """Mean reward per episode of tuning users, by which headline contestants are selected."""
    evaluated: dict[str, EvaluatedPolicy]
    """Means by evaluator: `simulator`, and `ground_truth` if there is one."""


def evaluated_of(sessions: Sessions, parameter_names: Sequence[str]) -> EvaluatedPolicy:
    """Average the episodes of a policy."""
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
    """Write a result with the fingerprint of its job."""
    save_json(path, {"fingerprint": fingerprint, "result": settings_to_json(result)})


def load_result(path: Path, fingerprint: Any) -> Result | None:
    """Load a result; None if the file is missing or has another fingerprint.

    Raises:
        ArtifactError: if the file is torn.
        ConfigError: if it does not hold a result.
    """
    if not path.exists():
        return None
    record = load_json(path)
    if record["fingerprint"] != fingerprint:
        return None
    return settings_from_json(Result, record["result"])


@dataclass(frozen=True)
class Results:
    """Results by contestant, track, seed and fraction of the budget."""

    all: tuple[Result, ...]

    def of(self, contestant: str, *, track: str = "session", fraction: float = 1.0) -> list[Result]:
        """Results of one contestant, sorted by seed."""
        own = [
            result
            for result in self.all
            if (result.contestant, result.track, result.fraction) == (contestant, track, fraction)
        ]
        return sorted(own, key=lambda result: result.seed)

    def names(self, *, track: str = "session") -> list[str]:
        """Contestants with a result at the full budget."""
        whole = (result for result in self.all if result.track == track and result.fraction == 1.0)
        return list(dict.fromkeys(result.contestant for result in whole))

    def rewards(
        self, contestant: str, evaluator: str, *, track: str = "session", fraction: float = 1.0
    ) -> dict[int, float]:
        """Mean reward by seed."""
        own = self.of(contestant, track=track, fraction=fraction)
        return {result.seed: result.evaluated[evaluator].reward for result in own}

    def paired(
        self,
        contestant: str,
        reference: str,
        evaluator: str,
        *,
        track: str = "session",
        fraction: float = 1.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Rewards of two contestants in the seeds that both have, (seeds,) each."""
        first = self.rewards(contestant, evaluator, track=track, fraction=fraction)
        second = self.rewards(reference, evaluator, track=track, fraction=fraction)
        seeds = sorted(set(first) & set(second))
        return np.array([first[seed] for seed in seeds]), np.array([second[s] for s in seeds])

    def mean(
        self, contestant: str, measure: str, evaluator: str, *, track: str = "session"
    ) -> float:
        """Mean over seeds of a field of `EvaluatedPolicy`, such as `depth`."""
        own = self.of(contestant, track=track)
        return float(np.mean([getattr(result.evaluated[evaluator], measure) for result in own]))

    def evaluators(self) -> list[str]:
        """Names of the evaluators, the simulator first."""
        return list(self.all[0].evaluated) if self.all else []
