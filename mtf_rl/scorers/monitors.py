"""Monitors: the one number on validation rows by which fitting chooses its best state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import TASK_NAMES
from mtf_rl.scorers.metrics import auc, normalised_entropy, positive
from mtf_rl.scorers.rows import LabelledRows

__all__ = ["MONITORS", "Monitor"]

TaskMetric = Callable[[str, FloatArray, FloatArray], float]


@dataclass(frozen=True)
class Monitor:
    """A metric of one task, averaged over tasks, and the direction in which it improves."""

    metric: TaskMetric
    """(task name, predictions (rows,), targets (rows,)) -> value, NaN where it is undefined."""

    higher_is_better: bool

    def value(self, predictions: FloatArray, rows: LabelledRows, tasks: Sequence[str]) -> float:
        """Mean over `tasks` of the metric of predictions (rows, tasks); NaN if none is defined."""
        columns = [TASK_NAMES.index(task) for task in tasks]
        values = [
            self.metric(TASK_NAMES[k], predictions[m, k], rows.targets[m, k])
            for k, m in ((k, rows.mask[:, k]) for k in columns)
        ]
        defined = [value for value in values if not np.isnan(value)]
        return float(np.mean(defined)) if defined else np.nan

    def improves(self, value: float, best: float) -> bool:
        """Whether `value` is strictly better than `best`."""
        return value > best if self.higher_is_better else value < best


def _normalised_entropy(task: str, predictions: FloatArray, targets: FloatArray) -> float:
    return normalised_entropy(predictions, targets)


def _auc(task: str, predictions: FloatArray, targets: FloatArray) -> float:
    return auc(predictions, positive(task, targets))


MONITORS = Registry(
    "monitor",
    {
        "normalised_entropy": Monitor(_normalised_entropy, higher_is_better=False),
        "auc": Monitor(_auc, higher_is_better=True),
    },
)
