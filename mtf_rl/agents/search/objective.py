"""The objective of a search: the mean session reward of a point, with reduced variance."""

import math
from dataclasses import dataclass

import numpy as np

from mtf_rl.agents.final import CAUTION
from mtf_rl.agents.learning import LearningTask
from mtf_rl.agents.search.config import SearchConfig
from mtf_rl.agents.search.optimizer import Trial
from mtf_rl.agents.search.space import SearchSpace
from mtf_rl.agents.search.study import Record, Study
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ArtifactError, DataError
from mtf_rl.core.tasks import TaskSet
from mtf_rl.evaluation import Sessions, roll_out, roll_out_each

__all__ = ["Objective", "outcomes_of"]


def outcomes_of(sessions: Sessions, tasks: TaskSet) -> FloatArray:
    """Reward, watch minutes and worth of interactions of each session, (sessions, 3) float64.

    The worth of interactions is defined by `tasks` and does not depend on the reward.

    Raises:
        DataError: if a reward is not finite.
    """
    worth = sessions.feedback @ np.array([task.worth for task in tasks.feedbacks])
    outcomes = np.stack([sessions.reward, sessions.watch_seconds / 60.0, worth], axis=1)
    if not np.isfinite(outcomes).all():
        raise DataError(
            f"the mean session reward must be finite, got {sessions.reward.mean()}; check the"
            " reward function and the user model"
        )
    return outcomes


@dataclass
class Objective:
    """Evaluates points on the same sessions of learning users, block by block.

    Every point is evaluated on the first block. It gets the next block, up to `max_blocks`, while
    its mean reward is less than `promising_errors` standard errors behind the best point so far.
    Both are compared by the paired difference on their common sessions.

    The first point is evaluated on all blocks and is the reference. The value of a point is its
    paired difference from the reference plus the reference's mean over all blocks. Points with
    easier sessions therefore get no advantage.

    Stored trials come first: they are not simulated again, but charged to the budget.
    """

    task: LearningTask
    space: SearchSpace
    config: SearchConfig
    study: Study
    block: int
    """Sessions per block."""

    def __post_init__(self) -> None:
        self.records: list[Record] = []
        self.trials: list[Trial] = []
        self._best = 0  # index of the best record
        self._cost = 0  # requests of the most expensive block
        self._waiting = list(self.study.stored)

    def affordable(self) -> int:
        """Number of points whose first block the budget pays for, without the finalists' part."""
        limit = self.task.budget.limit or 0
        left = self.task.budget.left - self.config.finalist_fraction * limit
        if not self.trials:
            return 1
        return max(0, int(left / (CAUTION * self._cost)))

    @property
    def best(self) -> Trial:
        """The best trial so far: the last one that was better than its predecessor as best."""
        return self.trials[self._best]

    def try_points(self, points: FloatArray) -> list[Trial]:
        """Evaluate the first `affordable()` of some points (points, dimensions).

        Raises:
            ArtifactError: if a stored trial is of another point than the one proposed.
            BudgetExceededError: if the budget does not pay for the first point.
            DataError: if a reward is not finite.
        """
        points = points[: self.affordable()]
        stored, fresh = points[: len(self._waiting)], points[len(self._waiting) :]
        first = len(self.trials)
        for point in stored:
            self._keep(self._take_stored(point))
        for record in self._first_blocks(fresh):
            record = self._further_blocks(record)
            self.study.add(record)
            self._keep(record)
        return self.trials[first:]

    def _keep(self, record: Record) -> None:
        self.records.append(record)
        self.trials.append(self._trial_of(record))
        if self._lead(record) > 0.0:
            self._best = len(self.records) - 1

    def _take_stored(self, point: FloatArray) -> Record:
        record = self._waiting.pop(0)
        if not np.array_equal(record.point, point):
            raise ArtifactError(
                f"the stored trial {len(self.records)} is of point {record.point}, but this search"
                f" proposes {point}: the file was written by other versions or settings. Remove it"
                " to search from the start"
            )
        self.task.budget.spend(record.requests)
        self._cost = max(self._cost, *record.costs)
        return record

    def _first_blocks(self, points: FloatArray) -> list[Record]:
        """Evaluate all points on the first block, in one batch."""
        sessions = roll_out_each(
            self.task.learning,
            [self.space.policy(point) for point in points],
            seed=self.task.seed,
            episodes=np.arange(self.block),
            budget=self.task.budget,
        )
        return [
            self._with_block(Record(point, np.zeros((0, 3)), ()), played)
            for point, played in zip(points, sessions, strict=True)
        ]

    def _further_blocks(self, record: Record) -> Record:
        policy = self.space.policy(record.point)
        for block in range(1, self.config.max_blocks):
            if not (self.affordable() and self._is_promising(record)):
                break
            sessions = roll_out(
                self.task.learning,
                policy,
                seed=self.task.seed,
                episodes=np.arange(block * self.block, (block + 1) * self.block),
                budget=self.task.budget,
            )
            record = self._with_block(record, sessions)
        return record

    def _with_block(self, record: Record, sessions: Sessions) -> Record:
        self._cost = max(self._cost, sessions.requests)
        outcomes = np.concatenate(
            [record.outcomes, outcomes_of(sessions, self.task.learning.sessions.tasks)]
        )
        return Record(record.point, outcomes, (*record.costs, sessions.requests))

    def _is_promising(self, record: Record) -> bool:
        return not self.records or self._lead(record, self.config.promising_errors) > 0.0

    def _lead(self, record: Record, errors: float = 0.0) -> float:
        """Mean paired difference from the best record, plus `errors` standard errors of it."""
        if not self.records:
            return 0.0
        difference = _difference(record, self.records[self._best])[:, 0]  # (common,)
        return float(difference.mean() + errors * _error(difference))

    def _trial_of(self, record: Record) -> Trial:
        reference = self.records[0]
        difference = _difference(record, reference)  # (common, 3)
        value, minutes, worth = difference.mean(axis=0) + reference.outcomes.mean(axis=0)
        return Trial(
            point=record.point,
            value=float(value),
            error=_error(difference[:, 0]),
            objectives=(float(minutes), float(worth)),
            sessions=len(record.outcomes),
            requests=record.requests,
        )


def _difference(record: Record, other: Record) -> FloatArray:
    """Paired differences of outcomes, (common, 3), on the sessions common to both."""
    common = min(len(record.outcomes), len(other.outcomes))
    difference: FloatArray = record.outcomes[:common] - other.outcomes[:common]
    return difference


def _error(values: FloatArray) -> float:
    """Standard error of the mean of (sessions,)."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))
