"""The reference policy of all gains: production's weights, or uniform weights."""

from collections.abc import Mapping

import numpy as np

from mtf_rl.agents import ConstantPolicy, FusionPolicy
from mtf_rl.core.errors import ConfigError
from mtf_rl.experiments.production import production_policy, read_production

__all__ = ["PRODUCTION", "UNIFORM", "with_reference"]

PRODUCTION, UNIFORM = "production", "uniform"


def with_reference(
    candidates: Mapping[str, FusionPolicy], production: str | None = None
) -> tuple[dict[str, FusionPolicy], str]:
    """Add the reference policy to the candidates; return all policies and the reference's name.

    Without production's weights, a candidate with uniform weights is the reference itself.

    Args:
        candidates: policies by name, at least one, with the same fusion settings.
        production: value of `--production`, or None.

    Raises:
        ConfigError: if production cannot be read, or a candidate has the reference's name but
            other weights.
        UnknownNameError: if production names a task that is not fused.
    """
    setting = next(iter(candidates.values())).setting
    formula, action_map = setting.make_formula(), setting.make_action_map()
    if production is None:
        name, weights = UNIFORM, formula.parameters_of(formula.tasks.signs)
        policy = ConstantPolicy(action_map.to_action(weights))
        same = [
            name
            for name, candidate in candidates.items()
            if isinstance(candidate.policy, ConstantPolicy)
            and np.array_equal(candidate.policy.action, policy.action)
        ]
        if same:  # A search can end with uniform weights too.
            return dict(candidates), min(same, key=lambda name: name.split("/")[-1] != UNIFORM)
    else:
        name = PRODUCTION
        given = read_production(production, setting.fusion.task_set)
        policy = production_policy(given, formula, action_map)
    if name in candidates:
        raise ConfigError(
            f"policy {name} has the name of the reference but other weights; rename its folder"
        )
    return {**candidates, name: FusionPolicy(policy, setting)}, name
