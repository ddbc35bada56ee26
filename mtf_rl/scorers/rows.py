"""Labelled rows on which a scorer is fitted and evaluated."""

from dataclasses import dataclass

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.data import Dataset, FeatureEncoder, FeatureRows, labels

__all__ = ["LabelledRows", "labelled_rows"]


@dataclass(frozen=True)
class LabelledRows:
    """Features and labels of rows of a log; `core.arrays.select_rows` selects a subset.

    Raises:
        ShapeError: if the numbers of rows differ, or the number of tasks is not that of `tasks`.
    """

    features: FeatureRows
    targets: FloatArray  # (rows, tasks) float32 in [0, 1]
    mask: BoolArray  # (rows, tasks), True where the row is in the task's sample space
    users: IntArray  # (rows,) user index
    keys: IntArray  # (rows,) uint64, hash of the raw row
    tasks: TaskSet = KUAIRAND_TASKS

    def __post_init__(self) -> None:
        rows = len(self.features.categorical)
        check_shape("targets", self.targets, "rows, tasks", (rows, len(self.tasks)))
        check_shape("mask", self.mask, "rows, tasks", (rows, len(self.tasks)))
        check_shape("users", self.users, "rows", (rows,))
        check_shape("keys", self.keys, "rows", (rows,))

    def __len__(self) -> int:
        return len(self.targets)

    def base_rates(self) -> FloatArray:
        """Mean target of each task over its sample space, (tasks,) float64; 0 if it is empty."""
        counts = self.mask.sum(axis=0)
        totals = self.targets.sum(axis=0, where=self.mask, dtype=float)
        rates: FloatArray = totals / counts.clip(min=1)
        return rates


def labelled_rows(encoder: FeatureEncoder, dataset: Dataset, row_numbers: IntArray) -> LabelledRows:
    """Features and labels of the rows `row_numbers` (rows,) of `dataset`, in that order."""
    targets, mask = labels(dataset.impressions, row_numbers, dataset.tasks)
    return LabelledRows(
        features=encoder.encode(dataset, row_numbers),
        targets=targets,
        mask=mask,
        users=dataset.impressions.users[row_numbers],
        keys=dataset.impressions.keys[row_numbers],
        tasks=dataset.tasks,
    )
