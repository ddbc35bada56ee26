"""Prediction targets of scorers."""

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.tasks import TaskSet
from mtf_rl.data.impressions import Impressions

__all__ = ["base_rates", "labels"]


def labels(
    impressions: Impressions, rows: NDArray[np.generic], tasks: TaskSet
) -> tuple[FloatArray, BoolArray]:
    """Targets (rows, tasks) float32 in [0, 1], and a mask (rows, tasks), True for valid targets.

    Args:
        impressions: rows of the log.
        rows: mask or index array of the rows.
        tasks: tasks of the log.
    """
    targets = tasks.labels(impressions.feedback[rows], impressions.play_seconds[rows])
    return targets, np.ones(targets.shape, dtype=np.bool_)


def base_rates(impressions: Impressions, rows: NDArray[np.generic], tasks: TaskSet) -> FloatArray:
    """The mean target of each task over `rows`, (tasks,) float64."""
    targets, _ = labels(impressions, rows, tasks)
    return np.asarray(targets.mean(axis=0, dtype=np.float64))
