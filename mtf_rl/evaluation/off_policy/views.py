"""Functions of the action in which the model of logged sessions is quadratic."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.plugins import is_import_path
from mtf_rl.data import BatchDataset
from mtf_rl.fusion import FORMULAS, ActionMap, FusionConfig

__all__ = ["ActionView", "Direction", "as_it_is", "view_of"]

ActionView = Callable[[FloatArray], FloatArray]
"""Maps actions (rows, action_dim) to the variables of the quadratic Q, (rows, width)."""


def as_it_is(actions: FloatArray) -> FloatArray:
    """The action itself, in float64."""
    return actions.astype(np.float64)


@dataclass(frozen=True)
class Direction:
    """The direction w / |w| of an action's fusion weights w; weights of 0 stay 0.

    Under a scale-free formula, the order of candidates depends on the direction only.
    """

    action_map: ActionMap

    def __call__(self, actions: FloatArray) -> FloatArray:
        """Unit vectors (rows, action_dim)."""
        weights = self.action_map.to_parameters(actions).astype(np.float64)
        lengths = np.linalg.norm(weights, axis=1, keepdims=True)
        direction: FloatArray = weights / np.where(lengths > 0.0, lengths, 1.0)
        return direction


def view_of(batch: BatchDataset) -> ActionView:
    """The view for the fusion formula of a batch.

    It is `Direction` for a scale-free formula, otherwise the action itself. It is also the action
    if the batch records no formula, or a user's own, which is never imported because a file names
    it.

    Raises:
        DataError: if the batch's setting has a formula but lacks other fields of `FusionConfig`.
        ConfigError: if parts of the setting do not fit each other.
        UnknownNameError: if the setting names an unknown formula, action map or task.
    """
    setting = batch.setting or {}
    formula = setting.get("formula")
    if formula is None or is_import_path(formula) or not FORMULAS[formula].is_scale_free:
        return as_it_is
    needed = FusionConfig.setting_names()
    missing = [name for name in needed if name not in setting]
    if missing:
        raise DataError(
            f"the log's setting has formula {formula} but lacks {', '.join(missing)}; write"
            " all of these fields, or no setting"
        )
    fusion = FusionConfig.of_record(setting)
    # Any base rates do: they are constants of the formula that do not affect its weights.
    rates = np.full(len(fusion.task_set.whole), 0.5)
    return Direction(fusion.make_action_map(fusion.make_formula(rates)))
