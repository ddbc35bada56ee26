"""The eight kinds of feedback, in the one order that every array and file uses.

The first seven are 0/1 feedbacks and their predictions are probabilities; the eighth, `watch`,
is E[min(play_seconds, 120)] / 120, in [0, 1].
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry

__all__ = [
    "ALL_TASKS",
    "FEEDBACKS",
    "NUM_FEEDBACKS",
    "NUM_TASKS",
    "TASKS",
    "TASK_NAMES",
    "TASK_SIGNS",
    "WATCH_CAP_SECONDS",
    "Task",
    "TaskSet",
    "is_long_view",
    "is_valid_play",
    "watch_target",
]

WATCH_CAP_SECONDS = 120.0
VALID_PLAY_SECONDS = 7.0
LONG_VIEW_SECONDS = 18.0


@dataclass(frozen=True)
class Task:
    """A kind of feedback: its name, KuaiRand's column, and whether more of it is better."""

    name: str
    log_column: str
    sign: int


TASKS = (
    Task("click", "is_click", 1),
    Task("long_view", "long_view", 1),
    Task("like", "is_like", 1),
    Task("follow", "is_follow", 1),
    Task("comment", "is_comment", 1),
    Task("forward", "is_forward", 1),
    Task("hate", "is_hate", -1),
    Task("watch", "play_time_ms", 1),
)
FEEDBACKS = TASKS[:7]
NUM_TASKS = len(TASKS)
NUM_FEEDBACKS = len(FEEDBACKS)
TASK_NAMES = tuple(task.name for task in TASKS)
TASK_SIGNS = np.array([task.sign for task in TASKS], dtype=np.float32)  # (tasks,)
_BY_NAME: Registry[Task] = Registry("task", {task.name: task for task in TASKS})


@dataclass(frozen=True)
class TaskSet:
    """Some of the tasks, in the one order; `tasks` in the shapes of fusion means these."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> "TaskSet":
        """The tasks of these names, whatever the order in which they are given.

        Raises:
            UnknownNameError: for a name that is no task's.
            ConfigError: if a name is repeated, or there is none.
        """
        given = tuple(names)
        for name in given:
            _BY_NAME[name]
        if not given or len(set(given)) < len(given):
            raise ConfigError(f"tasks must be at least one name and none twice, got {given}")
        return cls(tuple(name for name in TASK_NAMES if name in given))

    @property
    def columns(self) -> IntArray:
        """Their places among all tasks, (tasks,)."""
        return np.array([TASK_NAMES.index(name) for name in self.names])

    @property
    def signs(self) -> FloatArray:
        """+1 where more is better, else -1: (tasks,) float32."""
        return TASK_SIGNS[self.columns]

    def of_scores(self, scores: FloatArray) -> FloatArray:
        """The columns (..., tasks) of scores of all tasks (..., 8)."""
        return scores if self == ALL_TASKS else np.ascontiguousarray(scores[..., self.columns])


ALL_TASKS = TaskSet(TASK_NAMES)


def is_valid_play(play_seconds: FloatArray, duration_seconds: FloatArray) -> BoolArray:
    """KuaiRand's `is_click` in single-column scenes: played 7 s, or to the end if that is sooner.

    Agrees with the column in 98.6 % of the tab-1 rows of KuaiRand-Pure, 4/25 to 5/05.
    """
    return np.asarray(play_seconds >= np.minimum(duration_seconds, VALID_PLAY_SECONDS))


def is_long_view(play_seconds: FloatArray, duration_seconds: FloatArray) -> BoolArray:
    """KuaiRand's `long_view`: played 18 s, or to the end if that is sooner.

    Agrees with the column in 99.7 % of the tab-1 rows of KuaiRand-Pure, 4/25 to 5/05.
    """
    return np.asarray(play_seconds >= np.minimum(duration_seconds, LONG_VIEW_SECONDS))


def watch_target(play_seconds: FloatArray) -> FloatArray:
    """The label of the `watch` task: play time over the cap of 120 s, in [0, 1]."""
    return np.minimum(play_seconds, WATCH_CAP_SECONDS) / WATCH_CAP_SECONDS
