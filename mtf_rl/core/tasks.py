"""Tasks as data: which kinds of feedback a log holds, and what each of them means.

A dataset names its tasks in a `TaskSet`. Arrays over `tasks` follow its order. Arrays over
`feedbacks` hold all tasks but the one that is measured in seconds, in the same order: watched
seconds have an array of their own.
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
# Columns and entries that stand beside those of the tasks, by name.
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
    """What a task's value in the log is."""

    BINARY = "binary"  # 0 or 1
    SECONDS = "seconds"  # time spent, at least 0; one task of a set at most
    COUNT = "count"  # a whole number, at least 0


@dataclass(frozen=True)
class Task:
    """A kind of feedback.

    Its label, which scorers predict, is in [0, 1]: a binary task's value, or min(value, cap) / cap.

    Raises:
        ConfigError: if a field is out of range, or does not fit the kind.
    """

    name: str
    """Letters, digits and underscores; names the task in code, flags, files and tables."""
    kind: TaskKind = TaskKind.BINARY
    """`binary`, `seconds` or `count`."""
    sign: int = 1
    """1 where more is better, -1 where less is."""
    worth: float = 0.0
    """Reward `engagement` of one positive label, one count, or one minute for `seconds`."""
    column: str = ""
    """Column of the log that holds it; the name, where it is empty."""
    cap: float = 1.0
    """Value from which the label is 1, above 0; a whole number for a count, 1 for binary."""
    within: str = ""
    """The binary task without which this binary task cannot happen; none, where it is empty."""
    played_seconds: float | None = None
    """Play time from which a binary task is positive, or to the end of a shorter video; None where
    it does not follow from play."""
    positive_from: float | None = None
    """Value from which the label counts as positive where a metric needs two classes, above 0; half
    the cap by default."""
    pooled_as: str = ""
    """Name of the past rate that this task shares with others that are rare; its own if empty."""
    monitored: bool = True
    """Whether a scorer's fit is stopped by this task; rare tasks would add mostly noise."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"a task's name must be letters, digits and underscores, and start with a letter,"
                f" got {self.name!r}"
            )
        if self.name in _RESERVED:
            raise ConfigError(f"a task cannot be named '{self.name}': that name is taken. Rename.")
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
        """Whether its value is time spent."""
        return self.kind is TaskKind.SECONDS

    @property
    def positive_label(self) -> float:
        """The label from which it counts as positive, in (0, 1]."""
        return 0.5 if self.positive_from is None else self.positive_from / self.cap

    @property
    def past_signal(self) -> str:
        """The name of the past rate in which it counts."""
        return self.pooled_as or self.name

    def label(self, values: FloatArray | IntArray) -> FloatArray:
        """Labels in [0, 1] of logged values, any shape; float32 stays float32."""
        if self.kind is TaskKind.BINARY:
            return np.asarray(values)
        return np.asarray(np.minimum(values, self.cap) / self.cap)

    def follows(self, play_seconds: FloatArray, duration_seconds: FloatArray) -> BoolArray:
        """Whether it happens by `played_seconds`: played as long, or to the end if that is sooner.

        On rows of tab 1 of KuaiRand-Pure, 4/25 to 5/05, it agrees with the logged `is_click` in
        98.6 % and with `long_view` in 99.7 %.
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
                raise ConfigError(self._refusal(name, "left out unless binary", self.kind))
        seconds = self.played_seconds
        if seconds is not None and not (np.isfinite(seconds) and seconds > 0):
            raise ConfigError(self._refusal("played_seconds", "above 0", seconds))

    def _refusal(self, what: str, expected: str, got: object) -> str:
        return f"{what} of task '{self.name}' must be {expected}, got {got}"


@dataclass(frozen=True)
class TaskSet:
    """The tasks of a dataset, in the order of every array and file; or some of them.

    Raises:
        ConfigError: if there is no task, a name or a column stands twice, or two are in seconds.
    """

    tasks: tuple[Task, ...]
    whole: tuple[str, ...] = field(default=(), compare=False)
    """Names of all tasks of the dataset, in order, of which these are some; these, where empty."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", self.whole or tuple(task.name for task in self.tasks))
        if not self.tasks:
            raise ConfigError("tasks must be at least one, got none")
        for what in ("name", "column"):
            given = [getattr(task, what) for task in self.tasks]
            twice = next((value for value in given if given.count(value) > 1), None)
            if twice is not None:
                raise ConfigError(f"the {what} of a task must stand once, got '{twice}' twice")
        timed = [task.name for task in self.tasks if task.is_seconds]
        if len(timed) > 1:
            raise ConfigError(f"one task may be in seconds, got {', '.join(timed)}")

    def check_complete(self) -> None:
        """Refuse a task that refers to one which is not there.

        Raises:
            ConfigError: naming a task within one that is unknown or not binary, or one that follows
                from play where no task is in seconds.
        """
        for child in self.tasks:
            if child.played_seconds is not None and self.seconds is None:
                raise ConfigError(
                    f"task '{child.name}' has played_seconds, and no task is in seconds."
                    " Add the task that is time played, or leave played_seconds out."
                )
            if not child.within:
                continue
            if child.within == child.name or child.within not in self.names:
                raise ConfigError(
                    f"task '{child.name}' must be within another task, got '{child.within}'."
                    f" Tasks: {', '.join(self.names)}."
                )
            if self[child.within].kind is not TaskKind.BINARY:
                raise ConfigError(
                    f"task '{child.name}' must be within a binary task, and '{child.within}' is not"
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
        """+1 where more is better, else -1: (tasks,) float32."""
        return np.array([task.sign for task in self.tasks], dtype=np.float32)

    def index(self, name: str) -> int:
        """The position of a task on the axis `tasks`.

        Raises:
            UnknownNameError: naming the nearest and all names.
        """
        self._by_name[name]
        return self.names.index(name)

    def indices(self, names: Iterable[str]) -> IntArray:
        """The positions of some tasks on the axis `tasks`, in the order of `names`: (names,).

        Raises:
            UnknownNameError: for a name that is no task's.
        """
        return np.array([self.index(name) for name in names], dtype=np.int64)

    def subset(self, names: Iterable[str]) -> "TaskSet":
        """The tasks of these names in the order of this set; all of them where none is named.

        Raises:
            UnknownNameError: for a name that is no task's.
            ConfigError: if a name is repeated.
        """
        given = tuple(names)
        for name in given:
            self._by_name[name]
        if len(set(given)) < len(given):
            raise ConfigError(f"tasks must be named once each, got {given}")
        if not given or len(given) == len(self):
            return self
        return TaskSet(tuple(task for task in self.tasks if task.name in given), self.whole)

    @cached_property
    def seconds(self) -> Task | None:
        """The task that is time spent; None where there is none."""
        return next((task for task in self.tasks if task.is_seconds), None)

    @cached_property
    def feedbacks(self) -> tuple[Task, ...]:
        """Every other task: the axis `feedbacks`."""
        return tuple(task for task in self.tasks if not task.is_seconds)

    @cached_property
    def feedback_names(self) -> tuple[str, ...]:
        """The name of each task on the axis `feedbacks`."""
        return tuple(task.name for task in self.feedbacks)

    def feedback_index(self, name: str) -> int:
        """The position of a task on the axis `feedbacks`.

        Raises:
            UnknownNameError: if it is none of the tasks.
            ConfigError: if it is the one in seconds.
        """
        if self[name].is_seconds:
            raise ConfigError(f"task '{name}' is in seconds: its values are `watch_seconds`")
        return self.feedback_names.index(name)

    @cached_property
    def chains(self) -> tuple[tuple[str, str], ...]:
        """(parent, child) of every task within another, both in this set."""
        return tuple((task.within, task.name) for task in self.tasks if task.within in self.names)

    @cached_property
    def interest(self) -> Task | None:
        """The first binary task of which more is better: what retrieval takes for interest."""
        return next(
            (task for task in self.tasks if task.kind is TaskKind.BINARY and task.sign > 0), None
        )

    @cached_property
    def signal_names(self) -> tuple[str, ...]:
        """What a session's history holds of each slate: the feedbacks, and `play_ratio`."""
        return (*self.feedback_names, "play_ratio")

    @cached_property
    def signal_worth(self) -> tuple[float, ...]:
        """The worth of each of `signal_names`; a video played to its end counts as a minute."""
        minute = 0.0 if self.seconds is None else self.seconds.worth
        return (*(task.worth for task in self.feedbacks), minute)

    @cached_property
    def past_signals(self) -> tuple[str, ...]:
        """Names of the past rates, in order: of each task, or of the rare ones together."""
        return tuple(dict.fromkeys(task.past_signal for task in self.tasks))

    def labels(self, feedback: FloatArray | IntArray, play_seconds: FloatArray) -> FloatArray:
        """The label of every task, (rows, tasks) float32 in [0, 1].

        Args:
            feedback: logged values, (rows, feedbacks).
            play_seconds: (rows,).
        """
        columns = iter(np.moveaxis(np.asarray(feedback), -1, 0))
        values = [task.label(play_seconds if task.is_seconds else next(columns)) for task in self]
        return np.stack(values, axis=-1, dtype=np.float32, casting="unsafe")

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON document that `from_json` reads."""
        return [asdict(task) for task in self.tasks]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any]]) -> "TaskSet":
        """Read what `to_json` wrote, or a person: fields with a default may be left out.

        Raises:
            ConfigError: if the document is no list of tasks, or a field is unknown or wrong.
        """
        if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
            raise ConfigError("tasks must be a list of objects, each with a name at least")
        known = Registry("field of a task", {entry.name: entry for entry in fields(Task)})
        tasks = []
        for each in document:
            for name in each:
                known[name]
            if "name" not in each:
                raise ConfigError(f"a task must have a name, got {dict(each)}")
            try:
                tasks.append(Task(**each))
            except TypeError as error:
                raise ConfigError(
                    f"task {each['name']!r} has a field of a wrong type: {error}"
                ) from error
        return cls(tuple(tasks))

    @cached_property
    def _by_name(self) -> Registry[Task]:
        return Registry("task", {task.name: task for task in self.tasks})

    @property
    def is_whole(self) -> bool:
        """Whether these are all tasks of the dataset."""
        return len(self) == len(self.whole)

    @cached_property
    def columns(self) -> IntArray:
        """Their positions among all tasks of the dataset, (tasks,)."""
        return np.array([self.whole.index(name) for name in self.names], dtype=np.int64)

    def of_scores(self, scores: FloatArray) -> FloatArray:
        """The columns (..., tasks) of scores of all tasks of the dataset (..., whole)."""
        return scores if self.is_whole else np.ascontiguousarray(scores[..., self.columns])


# Names, columns and thresholds are those of the log; signs, worth and the cap are ours. The worth
# was fixed before any world was tuned: no published system states its weights, and at KuaiRand's
# rates interactions are about a tenth of the reward, as sparse signals should count.
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
