"""Maps from an agent's action in [-1, 1] to fusion parameters."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import TASK_SIGNS

__all__ = ["ACTION_MAPS", "ActionMap", "Box", "check_pair", "uniform_weights"]


class ActionMap(Protocol):
    """A one-to-one map of actions (num_envs, num_parameters) onto fusion parameters."""

    formulas: tuple[str, ...]
    """The formulas whose parameters it makes."""

    def to_parameters(self, action: FloatArray) -> FloatArray:
        """Fusion parameters, (num_envs, num_parameters)."""
        ...

    def to_action(self, parameters: FloatArray) -> FloatArray:
        """The action that makes these parameters; clipped to [-1, 1]."""
        ...


@dataclass(frozen=True)
class Box(ActionMap):
    """Weights in [0, 1] for a task of which more is better, in [-1, 0] for hate.

    Weights of zero for every task leave the order to the position in the pool; any positive
    rescaling leaves the order unchanged, so one direction of the action is redundant.
    """

    formulas: tuple[str, ...] = ("weighted_sum", "log_sum")

    @override
    def to_parameters(self, action: FloatArray) -> FloatArray:
        magnitudes = (action.astype(np.float32) * TASK_SIGNS + 1.0) * 0.5
        weights: FloatArray = magnitudes * TASK_SIGNS
        return weights

    @override
    def to_action(self, parameters: FloatArray) -> FloatArray:
        magnitudes = np.abs(parameters.astype(np.float32))
        return np.clip((2.0 * magnitudes - 1.0) * TASK_SIGNS, -1.0, 1.0)


ACTION_MAPS: Registry[ActionMap] = Registry("action map", {"box": Box()})


def check_pair(formula: str, action_map: str) -> None:
    """Refuse an action map that does not make the formula's parameters.

    Raises:
        ConfigError: naming the maps that do.
    """
    if formula in ACTION_MAPS[action_map].formulas:
        return
    valid = [name for name, entry in ACTION_MAPS.items() if formula in entry.formulas]
    raise ConfigError(
        f"action map '{action_map}' does not make the parameters of formula '{formula}'; "
        f"maps that do: {', '.join(valid)}"
    )


def uniform_weights() -> FloatArray:
    """The weights called *uniform*: +1 per positive task, -1 for hate; (tasks,)."""
    return TASK_SIGNS.copy()
