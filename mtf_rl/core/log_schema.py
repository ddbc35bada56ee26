"""What the rows of a log mean: its tasks, its scenes, its clock and when a session ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from mtf_rl.core.arrays import BoolArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet

__all__ = ["KUAIRAND_LOG", "LogSchema", "Scenes"]

_MAX_OFFSET_HOURS = 14.0


@dataclass(frozen=True)
class Scenes:
    """Where in the app videos are shown: numbers that the log writes as `tab`.

    Raises:
        ConfigError: if a scene is negative, or a task opens videos and no scene has two columns.
    """

    main: int = 0
    """The scene with most of the traffic, at least 0."""
    two_column: tuple[int, ...] = ()
    """Scenes that show a page of covers: a video plays only when it is opened; may be none."""
    opened_by: str = ""
    """The task with `played_seconds` that opens a video in a two-column scene, and follows its rule
    in the others; none, where it is empty."""

    def __post_init__(self) -> None:
        negative = [scene for scene in (self.main, *self.two_column) if scene < 0]
        if negative:
            raise ConfigError(f"scenes must be at least 0, got {negative[0]}")
        if self.opened_by and not self.two_column:
            raise ConfigError(
                f"scenes.opened_by is '{self.opened_by}', and no scene has two columns."
                " Name the scenes in two_column, or leave opened_by empty."
            )

    def is_two_column(self, tabs: IntArray) -> BoolArray:
        """Whether each scene of `tabs` (any shape) shows two columns."""
        found = np.zeros(tabs.shape, dtype=np.bool_)
        for scene in self.two_column:
            found |= tabs == scene
        return found


@dataclass(frozen=True)
class LogSchema:
    """What is declared of a log, and kept with everything that is made from it.

    Raises:
        ConfigError: if a field is out of range, tasks refer to tasks that are not there, or the
            task that opens videos has no `played_seconds`.
        UnknownNameError: if the task that opens videos is none of the tasks.
    """

    tasks: TaskSet = KUAIRAND_TASKS
    """The kinds of feedback, in the order of every array and file."""
    scenes: Scenes = field(default_factory=Scenes)
    """Which scenes there are."""
    utc_offset_hours: float = 0.0
    """The log's clock less UTC, in hours, in [-14, 14]: days and hours of the day follow it."""
    session_gap_minutes: float = 30.0
    """A longer gap between a user's requests starts a new session, in minutes, above 0."""

    def __post_init__(self) -> None:
        self.tasks.check_complete()
        if not self.session_gap_minutes > 0:
            raise ConfigError(
                f"session_gap_minutes must be positive, got {self.session_gap_minutes}"
            )
        if not abs(self.utc_offset_hours) <= _MAX_OFFSET_HOURS:
            raise ConfigError(f"utc_offset_hours must be in [-14, 14], got {self.utc_offset_hours}")
        opened_by = self.scenes.opened_by
        if opened_by and self.tasks[opened_by].played_seconds is None:
            raise ConfigError(
                f"scenes.opened_by must be a task with played_seconds, and '{opened_by}' has none"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return {
            "tasks": self.tasks.to_json(),
            "scenes": {
                "main": self.scenes.main,
                "two_column": list(self.scenes.two_column),
                "opened_by": self.scenes.opened_by,
            },
            "utc_offset_hours": self.utc_offset_hours,
            "session_gap_minutes": self.session_gap_minutes,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "LogSchema":
        """Read what `to_json` wrote, or a person: fields with a default may be left out.

        Raises:
            ConfigError: if a field is unknown or wrong, or the document is none of a log.
        """
        if not isinstance(document, dict) or "tasks" not in document:
            raise ConfigError("the description of a log must be an object with a list of tasks")
        values = _known(document, "field of a log's description", cls)
        values["tasks"] = TaskSet.from_json(document["tasks"])
        scenes = _known(document.get("scenes", {}), "field of scenes", Scenes)
        scenes["two_column"] = tuple(scenes.get("two_column", ()))
        return cls(**values | {"scenes": Scenes(**scenes)})


def _known(document: Mapping[str, Any], kind: str, record: type[Any]) -> dict[str, Any]:
    names = Registry(kind, {entry.name: entry for entry in fields(record)})
    for name in document:
        names[name]
    return dict(document)


# Tab 0 is a page in two columns, where `is_click` is a tap; tab 1 is the main feed. Times of the
# log are read at UTC+8.
KUAIRAND_LOG = LogSchema(
    KUAIRAND_TASKS, Scenes(main=1, two_column=(0,), opened_by="click"), utc_offset_hours=8.0
)
