"""How a model of logged sessions looks at an action."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.tasks import NUM_TASKS, TaskSet
from mtf_rl.data import BatchDataset
from mtf_rl.fusion import ActionMap, make_action_map, make_formula

__all__ = ["ActionView", "Direction", "as_it_is", "view_of"]

ActionView = Callable[[FloatArray], FloatArray]
"""Actions (rows, action_dim) as what Q is a quadratic of, (rows, width)."""

# A positive multiple of all weights leaves their order of candidates as it was.
_SCALE_FREE = ("weighted_sum", "log_sum", "rank")


def as_it_is(actions: FloatArray) -> FloatArray:
    """The action itself."""
    return actions.astype(np.float64)


@dataclass(frozen=True)
class Direction:
    """The fusion weights w of an action, as w / |w|: all that the order of candidates sees.

    Weights of 0 stay 0.
    """

    action_map: ActionMap

    def __call__(self, actions: FloatArray) -> FloatArray:
        """Unit vectors (rows, action_dim)."""
        weights = self.action_map.to_parameters(actions).astype(np.float64)
        lengths = np.linalg.norm(weights, axis=1, keepdims=True)
        direction: FloatArray = weights / np.where(lengths > 0.0, lengths, 1.0)
        return direction


def view_of(batch: BatchDataset) -> ActionView:
    """The view that suits the formula by which a batch was logged; the action if it is not told.

    Raises:
        DataError: if the setting tells a formula and not what goes with it.
        ConfigError: if the batch's setting holds parts that do not fit each other.
        UnknownNameError: if it names a formula, a map or a task that is not built in.
    """
    setting = batch.setting or {}
    if setting.get("formula") not in _SCALE_FREE:
        return as_it_is
    missing = [part for part in ("tasks", "action_map", "base", "radius") if part not in setting]
    if missing:
        raise DataError(
            f"the log's setting tells its formula, {setting['formula']}, but not"
            f" {', '.join(missing)}; write all of them, or no setting"
        )
    tasks = TaskSet.of(tuple(setting["tasks"]))
    # Base rates move no weights: they are the formula's own constants.
    formula = make_formula(setting["formula"], np.full(NUM_TASKS, 0.5), tasks)
    base, radius = tuple(setting["base"]), setting["radius"]
    return Direction(make_action_map(setting["action_map"], formula, base=base, radius=radius))
