"""Task definitions: the feedback types of a log and the meaning of each.

A dataset lists its tasks in a `TaskSet`, whose order is that of the array axis `tasks`. The axis
`feedbacks` has all tasks except the one in seconds, in the same order; watched seconds are stored
in a separate array.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry

__all__ = ["KUAIRAND_TASKS", "Task", "TaskKind", "TaskSet"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Names of other columns and entries in the files that have a column per task.
_RESERVED = frozenset(
    {
        "end_reason",
        "feedback",
        "parameters",
        "play_ratio",
        "play_seconds",
        "rank",
        "request",
        "return_days",
        "score",
        "session_ended",
        "user",
        "user_id",
        "video_id",
        "videos",
        "watch_seconds",
    }
)


class TaskKind(StrEnum):
    """Type of a task's value in the log."""

    BINARY = "binary"  # 0 or 1
    SECONDS = "seconds"  # time spent, >= 0; a set has at most one such task
    COUNT = "count"  # an integer >= 0


@dataclass(frozen=True)
class Task:
    """A feedback type.

    Scorers predict its label in [0, 1]: the value of a binary task, else min(value, cap) / cap.

    Raises:
        ConfigError: if a field is out of range or does not apply to the kind.
    """

    name: str
    """Name in code, flags, files and tables: letters, digits and underscores."""
    kind: TaskKind = TaskKind.BINARY
    """`binary`, `seconds` or `count`."""
    sign: int = 1
    """1 if larger values are better, -1 if smaller values are better."""
    worth: float = 0.0
    """Contribution to reward `engagement` per positive label, per count, or per minute
    (`seconds`)."""
    column: str = ""
    """Column of the log; empty: same as the name."""
    cap: float = 1.0
    """Value from which the label is 1, > 0; an integer for a count, 1 for binary."""
    within: str = ""
    """Binary task that is a precondition of this binary task; empty: none."""
    played_seconds: float | None = None
    """Play time in seconds, > 0, from which a binary task is positive; playing a shorter video to
    its end counts too. None: the task does not follow from play time."""
    positive_from: float | None = None
    """Minimum value of the positive class in metrics with two classes, in (0, cap]; None: half of
    the cap."""
    pooled_as: str = ""
    """Name of the past rate in which this task is pooled with other rare tasks; empty: its own."""
    monitored: bool = True
    """Whether early stopping of scorers uses this task; rare tasks add mostly noise."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"a task's name must be letters, digits and underscores, and start with a letter,"
                f" got {self.name!r}"
            )
        if self.name in _RESERVED:
            raise ConfigError(
                f"a task cannot be named '{self.name}': that name is reserved. Rename the task."
            )
        if self.kind not in tuple(TaskKind):
            raise ConfigError(self._refusal("kind", f"one of {', '.join(TaskKind)}", self.kind))
        object.__setattr__(self, "kind", TaskKind(self.kind))
        object.__setattr__(self, "column", self.column or self.name)
        if self.sign not in (1, -1):
            raise ConfigError(self._refusal("sign", "1 or -1", self.sign))
        if not np.isfinite(self.worth):
            raise ConfigError(self._refusal("worth", "a finite number", self.worth))
        self._check_values()

    @property
    def is_seconds(self) -> bool:
        """Whether the value is time spent."""
        return self.kind is TaskKind.SECONDS

    @property
    def positive_label(self) -> float:
        """Minimum label of the positive class, in (0, 1]."""
        return 0.5 if self.positive_from is None else self.positive_from / self.cap

    @property
    def past_signal(self) -> str:
        """Name of the past rate of this task."""
        return self.pooled_as or self.name

    def label(self, values: FloatArray | IntArray) -> FloatArray:
        """Labels in [0, 1] of logged values of any shape; float32 stays float32."""
        if self.kind is TaskKind.BINARY:
            return np.asarray(values)
        return np.asarray(np.minimum(values, self.cap) / self.cap)

    def follows(self, play_seconds: FloatArray, duration_seconds: FloatArray) -> BoolArray:
        """Whether the task is positive: play time >= min(`played_seconds`, duration).

        On tab 1 of KuaiRand-Pure, 4/25 to 5/05, this rule agrees with the logged `is_click` on
        98.6 % of rows, and with `long_view` on 99.7 %.
        """
        assert self.played_seconds is not None
        return np.asarray(play_seconds >= np.minimum(duration_seconds, self.played_seconds))

    def _check_values(self) -> None:
        binary, count = self.kind is TaskKind.BINARY, self.kind is TaskKind.COUNT
        if not (np.isfinite(self.cap) and self.cap > 0):
            raise ConfigError(self._refusal("cap", "a number above 0", self.cap))
        if (binary and self.cap != 1) or (count and self.cap != int(self.cap)):
            expected = "1 for a binary task" if binary else "a whole number for a count"
            raise ConfigError(self._refusal("cap", expected, self.cap))
        start = self.positive_from
        if start is not None and not 0 < start <= self.cap:
            raise ConfigError(self._refusal("positive_from", f"in (0, {self.cap:g}]", start))
        for name in ("within", "played_seconds"):
            if getattr(self, name) and not binary:
                raise ConfigError(
                    f"{name} of task '{self.name}' applies to binary tasks only, and its kind is"
                    f" {self.kind}. Leave {name} out."
                )
        seconds = self.played_seconds
        if seconds is not None and not (np.isfinite(seconds) and seconds > 0):
            raise ConfigError(self._refusal("played_seconds", "above 0", seconds))

    def _refusal(self, field_name: str, expected: str, got: object) -> str:
        return f"{field_name} of task '{self.name}' must be {expected}, got {got}"


@dataclass(frozen=True)
class TaskSet:
    """All or some tasks of a dataset, in the order of arrays and files.

    Raises:
        ConfigError: if there is no task, a name or a column is repeated, or several tasks are in
            seconds.
    """

    tasks: tuple[Task, ...]
    whole: tuple[str, ...] = field(default=(), compare=False)
    """Names of all tasks of the dataset, in order; empty: this set is complete."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", self.whole or tuple(task.name for task in self.tasks))
        if not self.tasks:
            raise ConfigError("tasks must have at least one task, got none")
        for attribute in ("name", "column"):
            values = [getattr(task, attribute) for task in self.tasks]
            repeated = next((value for value in values if values.count(value) > 1), None)
            if repeated is not None:
                raise ConfigError(
                    f"the {attribute} of each task must be unique, got '{repeated}' more than once"
                )
        timed = [task.name for task in self.tasks if task.is_seconds]
        if len(timed) > 1:
            raise ConfigError(f"at most one task may be in seconds, got {', '.join(timed)}")

    def check_complete(self) -> None:
        """Check that all references between tasks can be resolved.

        Raises:
            ConfigError: if `within` is not another binary task of this set, or `played_seconds` is
                given and no task is in seconds.
        """
        for child in self.tasks:
            if child.played_seconds is not None and self.seconds is None:
                raise ConfigError(
                    f"task '{child.name}' has played_seconds, but no task is in seconds."
                    " Add a task for the play time, or leave played_seconds out."
                )
            if not child.within:
                continue
            if child.within == child.name or child.within not in self.names:
                raise ConfigError(
                    f"within of task '{child.name}' must be another task, got '{child.within}'."
                    f" Tasks: {', '.join(self.names)}."
                )
            if self[child.within].kind is not TaskKind.BINARY:
                raise ConfigError(
                    f"within of task '{child.name}' must be a binary task, but '{child.within}' is"
                    f" {self[child.within].kind}"
                )

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, name: str) -> Task:
        return self._by_name[name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each task."""
        return tuple(task.name for task in self.tasks)

    @cached_property
    def signs(self) -> NDArray[np.float32]:
        """The sign of each task: +1 if larger is better, else -1; (tasks,) float32."""
        return np.array([task.sign for task in self.tasks], dtype=np.float32)

    def index(self, name: str) -> int:
        """The index of a task on the axis `tasks`.

        Raises:
            UnknownNameError: if there is no task of this name.
        """
        self._by_name[name]
        return self.names.index(name)

    def indices(self, names: Iterable[str]) -> IntArray:
        """The indices of tasks on the axis `tasks`, in the order of `names`: (names,).

        Raises:
            UnknownNameError: if there is no task of a name.
        """
        return np.array([self.index(name) for name in names], dtype=np.int64)

    def subset(self, names: Iterable[str]) -> "TaskSet":
        """The tasks with these names, in the order of this set; all tasks if `names` is empty.

        Raises:
            UnknownNameError: if there is no task of a name.
            ConfigError: if a name is repeated.
        """
        given = tuple(names)
        for name in given:
            self._by_name[name]
        if len(set(given)) < len(given):
            raise ConfigError(f"each task must be named once, got {given}")
        if not given or len(given) == len(self):
            return self
        return TaskSet(tuple(task for task in self.tasks if task.name in given), self.whole)

    @cached_property
    def seconds(self) -> Task | None:
        """The task in seconds; None if there is none."""
        return next((task for task in self.tasks if task.is_seconds), None)

    @cached_property
    def feedbacks(self) -> tuple[Task, ...]:
        """All tasks except the one in seconds: the axis `feedbacks`."""
        return tuple(task for task in self.tasks if not task.is_seconds)

    @cached_property
    def feedback_names(self) -> tuple[str, ...]:
        """The name of each task on the axis `feedbacks`."""
        return tuple(task.name for task in self.feedbacks)

    def feedback_index(self, name: str) -> int:
        """The index of a task on the axis `feedbacks`.

        Raises:
            UnknownNameError: if there is no task of this name.
            ConfigError: if the task is in seconds.
        """
        if self[name].is_seconds:
            raise ConfigError(
                f"task '{name}' is in seconds, so its values are in `watch_seconds`, not `feedback`"
            )
        return self.feedback_names.index(name)

    @cached_property
    def chains(self) -> tuple[tuple[str, str], ...]:
        """(precondition, task) for every task with `within`, if both are in this set."""
        return tuple((task.within, task.name) for task in self.tasks if task.within in self.names)

    @cached_property
    def interest(self) -> Task | None:
        """The first binary task with a positive sign; retrieval uses it as the sign of interest."""
        return next(
            (task for task in self.tasks if task.kind is TaskKind.BINARY and task.sign > 0), None
        )

    @cached_property
    def signal_names(self) -> tuple[str, ...]:
        """Signals that the history has for each slate: the feedbacks, then `play_ratio`."""
        return (*self.feedback_names, "play_ratio")

    @cached_property
    def signal_worth(self) -> tuple[float, ...]:
        """The worth of each of `signal_names`; a fully played video counts as one minute."""
        minute = 0.0 if self.seconds is None else self.seconds.worth
        return (*(task.worth for task in self.feedbacks), minute)

    @cached_property
    def past_signals(self) -> tuple[str, ...]:
        """Names of the past rates, in order: one for each task or pool of rare tasks."""
        return tuple(dict.fromkeys(task.past_signal for task in self.tasks))

    def labels(self, feedback: FloatArray | IntArray, play_seconds: FloatArray) -> FloatArray:
        """The label of every task, (rows, tasks) float32 in [0, 1].

        Args:
            feedback: logged values, (rows, feedbacks).
            play_seconds: play time in seconds, (rows,).
        """
        columns = iter(np.moveaxis(np.asarray(feedback), -1, 0))
        values = [task.label(play_seconds if task.is_seconds else next(columns)) for task in self]
        return np.stack(values, axis=-1, dtype=np.float32, casting="unsafe")

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON document for `from_json`."""
        return [asdict(task) for task in self.tasks]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any]]) -> "TaskSet":
        """Read the document of `to_json`; fields with a default are optional.

        Raises:
            ConfigError: if the document is not a list of tasks, or a field has a wrong value.
            UnknownNameError: if a field is unknown.
        """
        if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
            raise ConfigError("tasks must be a list of objects, each with a name")
        task_fields = Registry("field of a task", {entry.name: entry for entry in fields(Task)})
        tasks = []
        for item in document:
            for name in item:
                task_fields[name]
            if "name" not in item:
                raise ConfigError(f"a task must have a name, got {dict(item)}")
            try:
                tasks.append(Task(**item))
            except TypeError as error:
                raise ConfigError(
                    f"task {item['name']!r} has a field of a wrong type: {error}"
                ) from error
        return cls(tuple(tasks))

    @cached_property
    def _by_name(self) -> Registry[Task]:
        return Registry("task", {task.name: task for task in self.tasks})

    @property
    def is_whole(self) -> bool:
        """Whether this set has all tasks of the dataset."""
        return len(self) == len(self.whole)

    @cached_property
    def columns(self) -> IntArray:
        """Indices of these tasks among all tasks of the dataset, (tasks,)."""
        return np.array([self.whole.index(name) for name in self.names], dtype=np.int64)

    def of_scores(self, scores: FloatArray) -> FloatArray:
        """Select these tasks from scores of all tasks: (..., whole) to (..., tasks)."""
        return scores if self.is_whole else np.ascontiguousarray(scores[..., self.columns])


# Names, columns and thresholds come from the log; we chose signs, worth and cap. No published
# system states its reward weights. We fixed `worth` before tuning any synthetic world, so that at
# KuaiRand's rates interactions contribute about a tenth of the reward.
KUAIRAND_TASKS = TaskSet(
    (
        Task("click", column="is_click", played_seconds=7.0),
        Task("long_view", column="long_view", within="click", played_seconds=18.0),
        Task("like", column="is_like", worth=1.0),
        Task("follow", column="is_follow", worth=5.0, pooled_as="social", monitored=False),
        Task("comment", column="is_comment", worth=3.0, pooled_as="social", monitored=False),
        Task("forward", column="is_forward", worth=5.0, pooled_as="social", monitored=False),
        Task("hate", column="is_hate", sign=-1, worth=-5.0, monitored=False),
        Task(
            "watch",
            TaskKind.SECONDS,
            column="play_time_ms",
            worth=1.0,
            cap=120.0,
            positive_from=18.0,
        ),
    )
)
