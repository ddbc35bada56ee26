"""What a scorer is to predict."""

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.tasks import NUM_TASKS, watch_target
from mtf_rl.data.impressions import Impressions

__all__ = ["base_rates", "labels"]


def labels(impressions: Impressions, rows: NDArray[np.generic]) -> tuple[FloatArray, BoolArray]:
    """Targets (rows, tasks) float32 in [0, 1] and their mask (rows, tasks), True where they count.

    `rows` is a mask or an index array. The seven feedbacks are 0/1; `watch` is `watch_target`.
    """
    feedback = impressions.feedback[rows].astype(np.float32)
    watch = watch_target(impressions.play_seconds[rows]).astype(np.float32)
    targets = np.concatenate([feedback, watch[:, None]], axis=1)  # (rows, tasks)
    return targets, np.ones((len(targets), NUM_TASKS), dtype=np.bool_)


def base_rates(impressions: Impressions, rows: NDArray[np.generic]) -> FloatArray:
    """The mean target of each task over `rows`, (tasks,) float64."""
    targets, _ = labels(impressions, rows)
    return np.asarray(targets.mean(axis=0, dtype=np.float64))
