"""Score table: precomputed scorer predictions for the retrieval pool of every user."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray, check_shape
from mtf_rl.core.errors import ArtifactError, ShapeError
from mtf_rl.core.files import load_arrays, save_arrays
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.data.impressions import Impressions

__all__ = ["ScoreTable", "usual_contexts"]

_HOURS = 24


@dataclass(frozen=True)
class ScoreTable:
    """Scores of every user's pool, at the user's most frequent hour and tab.

    Raises:
        ShapeError: if shapes disagree, or a value is out of range or not finite.
    """

    scores: FloatArray  # (users, pool, tasks) float32 in [0, 1], expected labels
    videos: IntArray  # (users, pool) int32
    base_rates: FloatArray  # (tasks,) float64 in [0, 1], mean labels of the training rows
    hours: IntArray  # (users,) int8, 0 to 23
    tabs: IntArray  # (users,) int16
    scorer_keys: IntArray  # (fitted rows,) uint64, `Impressions.keys` of fitting; empty if unknown
    tasks: TaskSet = KUAIRAND_TASKS
    """Tasks of the last axis of `scores`."""

    def __post_init__(self) -> None:
        if self.videos.ndim != 2:
            raise ShapeError(f"videos must have shape (users, pool), got {self.videos.shape}")
        users, pool = self.videos.shape
        check_shape("scores", self.scores, "users, pool, tasks", (users, pool, len(self.tasks)))
        check_shape("base_rates", self.base_rates, "tasks", (len(self.tasks),))
        check_shape("hours", self.hours, "users", (users,))
        check_shape("tabs", self.tabs, "users", (users,))
        _check_unit_interval("scores", self.scores)
        _check_unit_interval("base_rates", self.base_rates)
        if users and not (self.hours.min() >= 0 and self.hours.max() < _HOURS):
            raise ShapeError(f"hours must be in 0..23, got {self.hours.min()}..{self.hours.max()}")
        if self.videos.size and self.videos.min() < 0:
            raise ShapeError(f"videos must be indices from 0, got {self.videos.min()}")

    def find(self, users: IntArray, videos: IntArray) -> IntArray:
        """The index of each video in its user's pool, (rows,) int64, or -1 if not in the pool.

        Args:
            users: user indices, (rows,).
            videos: video indices, (rows,).
        """
        num_users, pool = self.videos.shape
        width = max(int(self.videos.max(initial=0)), int(videos.max(initial=0))) + 1
        pairs = (np.arange(num_users)[:, None] * width + self.videos).ravel()
        order = np.argsort(pairs)
        queries = users.astype(np.int64) * width + videos
        ranks = np.searchsorted(pairs, queries, sorter=order).clip(max=len(pairs) - 1)
        cells = order[ranks]  # (rows,), indices in the flattened table
        positions: IntArray = np.where(pairs[cells] == queries, cells % pool, -1)
        return positions

    def save(self, path: Path) -> None:
        """Write the table as an .npz file."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        tasks = np.array(json.dumps(self.tasks.to_json()))
        save_arrays(path, arrays | {"tasks": tasks})

    @classmethod
    def load(cls, path: Path) -> "ScoreTable":
        """Read a table written by `save`.

        Raises:
            ArtifactError: if the file is missing, damaged, or not a score table.
        """
        try:
            arrays: dict[str, Any] = load_arrays(path)
            tasks = TaskSet.from_json(json.loads(str(arrays.pop("tasks"))))
            return cls(**arrays, tasks=tasks)
        except (TypeError, ValueError, KeyError) as error:
            raise ArtifactError(f"{path} is not a score table ({error}). Make it again.") from error


def _check_unit_interval(name: str, values: FloatArray) -> None:
    # NaN fails both comparisons.
    if values.size and not (values.min() >= 0.0 and values.max() <= 1.0):
        raise ShapeError(f"{name} must be in [0, 1], got {values.min()}..{values.max()}")


def usual_contexts(
    impressions: Impressions, rows: IntArray, *, num_users: int
) -> tuple[IntArray, IntArray]:
    """Each user's most frequent hour (users,) int8 and tab (users,) int16 in `rows`.

    `rows` is a mask or an index array. Ties go to the smaller value. Users without rows get the
    most frequent value over all rows.
    """
    users = impressions.users[rows]
    hours = _modes(users, impressions.hours[rows], num_users)
    tabs = _modes(users, impressions.tabs[rows], num_users)
    return hours.astype(np.int8), tabs.astype(np.int16)


def _modes(users: IntArray, values: IntArray, num_users: int) -> IntArray:
    """The most frequent value of each user, (users,) int64."""
    width = int(values.max(initial=0)) + 1
    cells = users.astype(np.int64) * width + values
    counts = np.bincount(cells, minlength=num_users * width).reshape(num_users, width)
    overall = counts.sum(axis=0).argmax()
    modes: IntArray = np.where(counts.any(axis=1), counts.argmax(axis=1), overall)
    return modes
