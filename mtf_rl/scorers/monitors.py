"""Monitors: validation metrics by which fitting selects its best state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import Task
from mtf_rl.scorers.metrics import auc, normalised_entropy, positive
from mtf_rl.scorers.rows import LabelledRows

__all__ = ["MONITORS", "Monitor"]

TaskMetric = Callable[[Task, FloatArray, FloatArray], float]


@dataclass(frozen=True)
class Monitor:
    """A metric per task that is averaged over tasks, and the direction in which it improves."""

    metric: TaskMetric
    """(task, predictions (rows,), targets (rows,)) -> value, NaN if it is undefined."""

    higher_is_better: bool

    def value(self, predictions: FloatArray, rows: LabelledRows, tasks: Sequence[str]) -> float:
        """Mean over `tasks` of the metric for predictions (rows, tasks); NaN if none is defined."""
        values = [
            self.metric(rows.tasks[name], predictions[m, k], rows.targets[m, k])
            for name, k, m in ((name, k, rows.mask[:, k]) for name, k in _columns(rows, tasks))
        ]
        defined = [value for value in values if not np.isnan(value)]
        return float(np.mean(defined)) if defined else np.nan

    def improves(self, value: float, best: float) -> bool:
        """Whether `value` is strictly better than `best`."""
        return value > best if self.higher_is_better else value < best


def _columns(rows: LabelledRows, tasks: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, rows.tasks.index(name)) for name in tasks]


def _normalised_entropy(task: Task, predictions: FloatArray, targets: FloatArray) -> float:
    return normalised_entropy(predictions, targets)


def _auc(task: Task, predictions: FloatArray, targets: FloatArray) -> float:
    return auc(predictions, positive(task, targets))


MONITORS = Registry(
    "monitor",
    {
        "normalised_entropy": Monitor(_normalised_entropy, higher_is_better=False),
        "auc": Monitor(_auc, higher_is_better=True),
    },
)
