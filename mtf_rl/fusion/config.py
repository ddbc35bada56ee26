"""The fusion setting: formula, action map and tasks."""

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

    Sessions, saved policies, batch datasets and off-policy evaluation all use this class. A user's
    own formula is imported by `make_formula` and not here, because settings may come from a file.

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
    """Tasks whose predictions are fused and observed; by default all tasks of the dataset."""
    base: tuple[float, ...] = ()
    """Centre of the action map residual, one weight per task; uniform weights by default."""
    radius: float = 0.15
    """Half-width of residual's box around base, in units of the action, in (0, 1]."""
    among: tyro.conf.Suppress[tyro.conf.Fixed[TaskSet]] = field(
        default=KUAIRAND_TASKS, compare=False, repr=False
    )
    """All tasks of the dataset."""
    task_set: tyro.conf.Suppress[TaskSet] = field(init=False, compare=False, repr=False)
    """The fused tasks; a subset of `among`."""

    def __post_init__(self) -> None:
        self._settle(self.among)

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Names of the settings: the fields, except the tasks of the dataset."""
        return tuple(entry.name for entry in fields(cls) if entry.init and entry.name != "among")

    def on_tasks(self, tasks: TaskSet) -> "FusionConfig":
        """The same setting for a dataset with these tasks.

        Raises:
            UnknownNameError: if the dataset lacks a fused task.
            ConfigError: if `base` or the formula does not fit the tasks.
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
        """Make a setting for a dataset whose tasks are `among`.

        Args:
            among: all tasks of the dataset.
            **settings: fields of this class, by name.

        Raises:
            UnknownNameError: if the dataset lacks a fused task.
            ConfigError: if a setting is out of range or does not fit the tasks.
        """
        return cls(among=among, **settings)

    def _settle(self, among: TaskSet) -> None:
        """Check all fields and sort `tasks` and `base` into the dataset's order."""
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
            self.make_formula(np.ones(len(tasks.whole)))  # Raises if the tasks do not fit.

    def make_formula(self, base_rates: FloatArray) -> FusionFormula:
        """Make the formula over the tasks; a user's own formula is imported here.

        Args:
            base_rates: mean feedback of each task of the dataset, (whole,), in [0, 1].

        Raises:
            ConfigError: if the formula cannot be imported, or the action map does not fit it.
        """
        check_pair(self.formula, self.action_map)
        return make_formula(self.formula, base_rates, self.task_set)

    def make_action_map(self, formula: FusionFormula) -> ActionMap:
        """Make the map from actions to the parameters of a formula made by `make_formula`."""
        return make_action_map(self.action_map, formula, base=self.base, radius=self.radius)

    def to_json(self) -> dict[str, Any]:
        """A JSON-compatible record that `of_record` reads back."""
        record = {name: getattr(self, name) for name in self.setting_names()}
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in record.items()}
        return plain | {"task_set": self.task_set.to_json()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "FusionConfig":
        """Read the setting from a file's record; further entries of the record are ignored.

        Without `task_set`, the dataset's tasks are KuaiRand's.

        Raises:
            ConfigError: if an entry is missing or does not fit.
            UnknownNameError: if a name is not in its registry.
        """
        names = cls.setting_names()
        missing = [name for name in names if name not in record]
        if missing:
            raise ConfigError(
                f"a fusion setting needs {', '.join(names)}; missing: {', '.join(missing)}"
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
                f"tasks must be in the order {', '.join(config.tasks)}, "
                f"got {', '.join(record['tasks'])}"
            )
        return config

    def _base_in_order(self, tasks: TaskSet) -> tuple[float, ...]:
        """`base` in the order of the tasks; in [0, 1], or [-1, 0] for a negative task."""
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
