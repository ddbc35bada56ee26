"""The policy that gains are measured from: production's weights, or uniform ones."""

from collections.abc import Mapping

import numpy as np

from mtf_rl.agents import ConstantPolicy, FusionPolicy
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError

__all__ = ["PRODUCTION", "UNIFORM", "with_reference"]

PRODUCTION, UNIFORM = "production", "uniform"


def with_reference(
    candidates: Mapping[str, FusionPolicy], production: FloatArray | None = None
) -> tuple[dict[str, FusionPolicy], str]:
    """The candidates and the reference policy, and the reference's name.

    Without production's weights a candidate with uniform weights is the reference itself.

    Args:
        candidates: policies by name, at least one, with one setting of fusion.
        production: weights that serve today, (tasks,), in the order of the setting's tasks.

    Raises:
        ConfigError: if a candidate has the reference's name and other weights.
    """
    setting = next(iter(candidates.values())).setting
    name = UNIFORM if production is None else PRODUCTION
    formula = setting.make_formula()
    weights = formula.tasks.signs if production is None else production
    action = setting.make_action_map().to_action(formula.parameters_of(weights))
    if production is None:
        same = [
            candidate
            for candidate, policy in candidates.items()
            if isinstance(policy.policy, ConstantPolicy)
            and np.array_equal(policy.policy.action, action)
        ]
        if same:  # Searches may end with uniform weights too.
            return dict(candidates), min(same, key=lambda one: one.split("/")[-1] != UNIFORM)
    if name in candidates:
        raise ConfigError(
            f"policy {name} has the name of the reference and other weights; rename its folder"
        )
    return {**candidates, name: FusionPolicy(ConstantPolicy(action), setting)}, name
