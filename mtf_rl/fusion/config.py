"""One setting of fusion: which formula, which action map, over which tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import tyro

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.fusion.action_maps import ACTION_MAPS, ActionMap, check_pair, make_action_map
from mtf_rl.fusion.formulas import FORMULAS, FusionFormula, make_formula

__all__ = ["FusionConfig"]


@dataclass(frozen=True)
class FusionConfig:
    """How actions become fusion parameters, and predictions a ranking score.

    It is the same in a session's settings, a saved policy, a batch dataset's metadata and
    off-policy evaluation. A user's own formula is imported by `make_formula`, not here: settings
    may come from a file.

    Raises:
        ConfigError: if a number is out of range, or formula, action map and tasks do not fit.
        UnknownNameError: if a name is not in its registry.
    """

    formula: str = "log_sum"
    """Fusion formula: weighted_sum, log_sum, power_product, rank, click_gated or your own
    module:Class."""
    action_map: str = "box"
    """Map from action to fusion parameters: box, simplex, residual or power_bias."""
    tasks: tuple[str, ...] = ()
    """Tasks whose predictions are fused and observed; all of the dataset's by default."""
    base: tuple[float, ...] = ()
    """Weights around which action map residual moves, one per task; none for uniform ones."""
    radius: float = 0.15
    """How far residual moves from them, in units of the action, in (0, 1]."""
    task_set: tyro.conf.Suppress[TaskSet] = field(init=False, compare=False, repr=False)
    """The fused tasks as data: of KuaiRand's until `on_tasks` is called with a dataset's."""

    def __post_init__(self) -> None:
        self._settle(KUAIRAND_TASKS)

    def on_tasks(self, tasks: TaskSet) -> "FusionConfig":
        """The same setting for a dataset with these tasks.

        Raises:
            UnknownNameError: if a fused task is none of them.
            ConfigError: if the base or the formula does not fit them.
        """
        names = () if self.task_set.is_whole else self.tasks
        return FusionConfig.of_tasks(
            tasks,
            formula=self.formula,
            action_map=self.action_map,
            tasks=names,
            base=self.base,
            radius=self.radius,
        )

    @classmethod
    def of_tasks(cls, among: TaskSet, **settings: Any) -> "FusionConfig":
        """A setting for a dataset whose tasks are `among`; `settings` are those of the class.

        Raises:
            UnknownNameError: if a fused task is none of them.
            ConfigError: if a setting is out of range, or does not fit them.
        """
        config = object.__new__(cls)
        for entry in fields(cls):
            if entry.init:
                object.__setattr__(config, entry.name, settings.get(entry.name, entry.default))
        config._settle(among)
        return config

    def _settle(self, among: TaskSet) -> None:
        """Check everything, and put tasks and base in the order of a dataset's tasks."""
        ACTION_MAPS[self.action_map]
        tasks = among.subset(self.tasks)
        object.__setattr__(self, "task_set", tasks)
        object.__setattr__(self, "base", self._base_in_order(tasks))
        object.__setattr__(self, "tasks", tasks.names)
        if not 0.0 < self.radius <= 1.0:
            raise ConfigError(f"radius must be in (0, 1], got {self.radius}")
        FORMULAS.check(self.formula)
        if self.formula in FORMULAS:
            check_pair(self.formula, self.action_map)
            self.make_formula(np.ones(len(tasks.whole)))  # Refuses tasks that do not fit.

    def make_formula(self, base_rates: FloatArray) -> FusionFormula:
        """The formula over the tasks; this imports a user's own.

        Args:
            base_rates: of all tasks of the dataset, as a `ScoreTable` holds them.

        Raises:
            ConfigError: if an own formula cannot be imported, or the action map does not fit it.
        """
        check_pair(self.formula, self.action_map)
        return make_formula(self.formula, base_rates, self.task_set)

    def make_action_map(self, formula: FusionFormula) -> ActionMap:
        """The map from actions to the parameters of the formula that `make_formula` made."""
        return make_action_map(self.action_map, formula, base=self.base, radius=self.radius)

    def to_json(self) -> dict[str, Any]:
        """Strings, numbers and lists that `of_record` reads back."""
        record = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in record.items()}
        return plain | {"task_set": self.task_set.to_json()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "FusionConfig":
        """The setting in a file's record, which must hold every part and may hold more.

        `task_set` may be left out where all tasks are KuaiRand's.

        Raises:
            ConfigError: if a part is missing or does not fit.
            UnknownNameError: if a name is not in its registry.
        """
        names = [entry.name for entry in fields(cls) if entry.init]
        missing = [name for name in names if name not in record]
        if missing:
            raise ConfigError(
                f"a setting of fusion needs {', '.join(names)}; missing are {', '.join(missing)}"
            )
        described = record.get("task_set")
        among = KUAIRAND_TASKS if described is None else TaskSet.from_json(described)
        config = cls.of_tasks(
            among,
            formula=record["formula"],
            action_map=record["action_map"],
            tasks=tuple(record["tasks"]),
            base=tuple(record["base"]),
            radius=record["radius"],
        )
        if tuple(record["tasks"]) != config.tasks:
            raise ConfigError(
                f"tasks must stand in the order {', '.join(config.tasks)}, "
                f"got {', '.join(record['tasks'])}"
            )
        return config

    def _base_in_order(self, tasks: TaskSet) -> tuple[float, ...]:
        """The base as the tasks stand, each within [0, 1], or [-1, 0] for a negative task."""
        given = tuple(self.tasks) or tasks.names
        if self.base and len(self.base) != len(given):
            raise ConfigError(
                f"base must have one weight for each of {', '.join(given)}, got {self.base}"
            )
        weights = dict(zip(given, self.base, strict=False))
        for name, sign in zip(tasks.names, tasks.signs, strict=True):
            if name in weights and not 0.0 <= weights[name] * sign <= 1.0:
                limits = "[0, 1]" if sign > 0 else "[-1, 0]"
                raise ConfigError(f"base of {name} must be in {limits}, got {weights[name]}")
        return tuple(weights[name] for name in tasks.names) if weights else ()
