"""Schema of a log: tasks, scenes, time zone and session gap."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
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
    """Scenes of the app in which videos are shown: the numbers in the log's column `tab`.

    Raises:
        ConfigError: if a field has a wrong type, a scene is negative, or `opened_by` is given
            without two-column scenes.
    """

    main: int = 0
    """Main scene, which has most of the traffic; >= 0."""
    two_column: tuple[int, ...] = ()
    """Scenes that show a page of covers, where a video plays only when it is opened; may be
    empty."""
    opened_by: str = ""
    """Task with `played_seconds` that opens a video in a two-column scene. In other scenes, it
    follows the play-time rule. Empty: no such task."""

    def __post_init__(self) -> None:
        _check_type("scenes.main", self.main, Integral, "a whole number")
        _check_type("scenes.two_column", self.two_column, tuple | list, "a list of scenes")
        for scene in self.two_column:
            _check_type("each of scenes.two_column", scene, Integral, "a whole number")
        _check_type("scenes.opened_by", self.opened_by, str, "the name of a task")
        negative = [scene for scene in (self.main, *self.two_column) if scene < 0]
        if negative:
            raise ConfigError(f"scenes must be at least 0, got {negative[0]}")
        if self.opened_by and not self.two_column:
            raise ConfigError(
                f"scenes.opened_by is '{self.opened_by}', but no scene has two columns."
                " List these scenes in two_column, or leave opened_by empty."
            )

    def is_two_column(self, tabs: IntArray) -> BoolArray:
        """Whether each scene in `tabs` (any shape) has two columns."""
        mask = np.zeros(tabs.shape, dtype=np.bool_)
        for scene in self.two_column:
            mask |= tabs == scene
        return mask


@dataclass(frozen=True)
class LogSchema:
    """Declared properties of a log; saved with every artifact that is made from it.

    Raises:
        ConfigError: if a field is out of range or has a wrong type, a task refers to a missing
            task, or the task `scenes.opened_by` has no `played_seconds`.
        UnknownNameError: if `scenes.opened_by` is not one of the tasks.
    """

    tasks: TaskSet = KUAIRAND_TASKS
    """Feedback types, in the order of every array and file."""
    scenes: Scenes = field(default_factory=Scenes)
    """Scenes of the app."""
    utc_offset_hours: float = 0.0
    """Offset of the log's time zone from UTC in hours, in [-14, 14]; defines days and hours."""
    session_gap_minutes: float = 30.0
    """A gap between a user's requests longer than this starts a new session; minutes, > 0."""

    def __post_init__(self) -> None:
        self.tasks.check_complete()
        for name in ("utc_offset_hours", "session_gap_minutes"):
            _check_type(name, getattr(self, name), Real, "a number")
        if not self.session_gap_minutes > 0:
            raise ConfigError(
                f"session_gap_minutes must be positive, got {self.session_gap_minutes}"
            )
        if not abs(self.utc_offset_hours) <= _MAX_OFFSET_HOURS:
            raise ConfigError(f"utc_offset_hours must be in [-14, 14], got {self.utc_offset_hours}")
        opened_by = self.scenes.opened_by
        if opened_by and self.tasks[opened_by].played_seconds is None:
            raise ConfigError(
                f"scenes.opened_by must be a task with played_seconds, but '{opened_by}' has none"
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
        """Read the document of `to_json`; fields with a default are optional.

        Raises:
            ConfigError: if the document is not a log schema, or a field has a wrong value.
            UnknownNameError: if a field is unknown.
        """
        if not isinstance(document, dict) or "tasks" not in document:
            raise ConfigError("the description of a log must be an object with a list of tasks")
        values = _checked_fields(document, "field of a log's description", cls)
        values["tasks"] = TaskSet.from_json(document["tasks"])
        _check_type("scenes", document.get("scenes", {}), dict, "an object")
        scenes = _checked_fields(document.get("scenes", {}), "field of scenes", Scenes)
        if isinstance(scenes.get("two_column"), list):
            scenes["two_column"] = tuple(scenes["two_column"])
        return cls(**values | {"scenes": Scenes(**scenes)})


def _check_type(name: str, value: object, kind: Any, expected: str) -> None:
    """Raise a ConfigError unless `value` is of this type; a bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ConfigError(f"{name} must be {expected}, got {value!r}")


def _checked_fields(document: Mapping[str, Any], kind: str, record: type[Any]) -> dict[str, Any]:
    names = Registry(kind, {entry.name: entry for entry in fields(record)})
    for name in document:
        names[name]
    return dict(document)


# Tab 0 is a two-column page, where `is_click` is a tap; tab 1 is the main feed. The log's times are
# interpreted in UTC+8.
KUAIRAND_LOG = LogSchema(
    KUAIRAND_TASKS, Scenes(main=1, two_column=(0,), opened_by="click"), utc_offset_hours=8.0
)
