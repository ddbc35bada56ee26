"""How a model of logged sessions looks at an action."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.plugins import is_import_path
from mtf_rl.data import BatchDataset
from mtf_rl.fusion import FORMULAS, ActionMap, FusionConfig

__all__ = ["ActionView", "Direction", "as_it_is", "view_of"]

ActionView = Callable[[FloatArray], FloatArray]
"""Actions (rows, action_dim) as what Q is a quadratic of, (rows, width)."""


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

    Of a user's own formula nothing is imported at a file's word: the view is the action.

    Raises:
        DataError: if the setting tells a formula and not what goes with it.
        ConfigError: if the batch's setting holds parts that do not fit each other.
        UnknownNameError: if it names a formula, a map or a task that is not built in.
    """
    setting = batch.setting or {}
    formula = setting.get("formula")
    if formula is None or is_import_path(formula) or not FORMULAS[formula].is_scale_free:
        return as_it_is
    needed = [entry.name for entry in fields(FusionConfig) if entry.init]
    missing = [name for name in needed if name not in setting]
    if missing:
        raise DataError(
            f"the log's setting tells its formula, {formula}, but not {', '.join(missing)}; write"
            " all of them, or no setting"
        )
    fusion = FusionConfig.of_record(setting)
    # Base rates move no weights: they are the formula's own constants.
    rates = np.full(len(fusion.task_set.whole), 0.5)
    return Direction(fusion.make_action_map(fusion.make_formula(rates)))
