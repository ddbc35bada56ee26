"""Reads the fusion weights of `--production` and makes a policy of them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mtf_rl.agents import ConstantPolicy
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import TaskSet
from mtf_rl.envs import SessionConfig
from mtf_rl.fusion import ActionMap, FusionFormula

__all__ = ["production_policy", "read_production", "resolve_production"]

_OPTION = "--production"
_TOLERANCE = 1e-4


def read_production(given: str, tasks: TaskSet) -> FloatArray:
    """Read the weights of `--production`, (tasks,) float32.

    Args:
        given: `0.4,0.8,...` in the order of `tasks`, or a JSON file with a weight by task name.
        tasks: the fused tasks.

    Raises:
        ConfigError: if the file is missing or is not a JSON object, a task is missing, the number
            of weights is wrong, or a weight is not a finite number.
        UnknownNameError: if the file names a task that is not fused.
    """
    listed = _listed(given)
    weights = _of_file(Path(given), tasks) if listed is None else listed
    if len(weights) != len(tasks.names):
        raise ConfigError(
            f"{_OPTION} must have one weight for each of the {len(tasks.names)} tasks"
            f" {', '.join(tasks.names)}, in this order; got {len(weights)} weights: {given}"
        )
    for name, weight in zip(tasks.names, weights, strict=True):
        if not math.isfinite(weight):
            raise ConfigError(f"{_OPTION}: the weight of {name} must be finite, got {weight}")
    return np.array(weights, dtype=np.float32)


def resolve_production(given: str, session: SessionConfig) -> str:
    """Convert `--production` to a list of numbers, so that settings do not depend on a file.

    Raises:
        ConfigError: if the weights cannot be read, or the action map does not reach them.
        UnknownNameError: if the file names a task that is not fused.
    """
    fusion = session.fusion
    weights = read_production(given, fusion.task_set)
    formula = fusion.make_formula(np.ones(len(fusion.task_set.whole)))
    production_policy(weights, formula, fusion.make_action_map(formula))
    return ",".join(map(str, weights))


def production_policy(
    weights: FloatArray, formula: FusionFormula, action_map: ActionMap
) -> ConstantPolicy:
    """Make a static policy of production's weights.

    A scale-free formula gives the same order for any positive scale of the weights. Its weights
    are therefore divided by the largest one if that is above 1.

    Args:
        weights: (tasks,).
        formula: fusion formula of the weights.
        action_map: action map of all contestants.

    Raises:
        ConfigError: if the action map does not reach the weights.
    """
    if formula.is_scale_free:
        weights = weights / max(1.0, float(np.abs(weights).max()))
    parameters = formula.parameters_of(weights)
    action = action_map.to_action(parameters)
    reached = action_map.to_parameters(action[None])[0]
    wanted, made = (
        _directions(values) if formula.is_scale_free else values for values in (parameters, reached)
    )
    missed = np.flatnonzero(np.abs(wanted - made) > _TOLERANCE)
    if len(missed):
        names = formula.parameter_names
        listed = "; ".join(
            f"{names[position]} {wanted[position]:g}, nearest {made[position]:g}"
            for position in missed
        )
        scale = " (weights of length 1, since only their direction matters)"
        raise ConfigError(
            f"{_OPTION}: the action map {type(action_map).__name__.lower()} does not reach these"
            f" weights{scale if formula.is_scale_free else ''}: {listed}. Choose another"
            " --session.action-map or --session.formula, or give weights within its range: box"
            " makes weights in [0, 1], and in [-1, 0] for a task with a negative sign"
        )
    return ConstantPolicy(action.astype(np.float32))


def _directions(weights: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(weights))
    return weights / length if length > 0.0 else weights


def _listed(given: str) -> list[float] | None:
    """Parse numbers separated by commas; None if the text is something else."""
    try:
        return [float(part) for part in given.split(",")]
    except ValueError:
        return None


def _of_file(path: Path, tasks: TaskSet) -> list[float]:
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{_OPTION} must be {len(tasks.names)} numbers separated by commas, or a JSON file such"
            f' as {{"{tasks.names[0]}": 0.4, ...}}; {path} is neither ({error})'
        ) from error
    if not isinstance(record, dict):
        raise ConfigError(
            f"{_OPTION} {path} must hold one JSON object with a weight by task name, got"
            f" {type(record).__name__}"
        )
    known = Registry("task", dict.fromkeys(tasks.names))
    for name, weight in record.items():
        try:
            known[name]
        except UnknownNameError as error:
            raise UnknownNameError(f"{_OPTION} {path}: {error}") from error
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ConfigError(
                f"{_OPTION} {path}: the weight of {name} must be a number, got {weight!r}"
            )
    missing = [name for name in tasks.names if name not in record]
    if missing:
        raise ConfigError(
            f"{_OPTION} {path} has no weight for {', '.join(missing)}; give 0 for a task that"
            " production does not use"
        )
    return [float(record[name]) for name in tasks.names]
