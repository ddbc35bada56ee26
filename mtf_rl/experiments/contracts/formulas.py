"""The contracts of fusion formulas and action maps."""

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.experiments.contracts.contract import Check, Contract, require
from mtf_rl.fusion import (
    ACTION_MAPS,
    FORMULAS,
    ActionMap,
    FusionFormula,
    check_pair,
    make_action_map,
    make_formula,
    maps_that_fit,
)

__all__ = ["ACTION_MAP_CONTRACT", "FORMULA_CONTRACT"]

_TASKS = KUAIRAND_TASKS
_RATES = np.geomspace(0.4, 0.0005, len(_TASKS))
_USERS, _CANDIDATES = 7, 9


def _formula(name: str) -> tuple[str, FusionFormula]:
    FORMULAS.resolve(name)
    return name, make_formula(name, _RATES, _TASKS)


def _scores() -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.uniform(size=(_USERS, _CANDIDATES, len(_TASKS))).astype(np.float32)


def _weights() -> FloatArray:
    magnitudes = np.random.default_rng(1).uniform(size=(_USERS, len(_TASKS)))
    weights: FloatArray = (magnitudes * _TASKS.signs).astype(np.float32)
    return weights


def _fused(formula: FusionFormula, scores: FloatArray, weights: FloatArray) -> FloatArray:
    return formula.fuse(formula.prepare(scores), formula.parameters_of(weights))


def _formula_shape(subject: tuple[str, FusionFormula]) -> None:
    _, formula = subject
    parameters = formula.parameters_of(_weights())
    expected = (_USERS, len(formula.parameter_names))
    require(
        parameters.shape == expected,
        f"parameters_of must have shape (num_envs, parameters) = {expected}, got"
        f" {parameters.shape}",
    )
    for scores in (_scores(), np.zeros_like(_scores()), np.ones_like(_scores())):
        values = formula.fuse(formula.prepare(scores), parameters)
        require(
            values.shape == (_USERS, _CANDIDATES),
            f"fuse must have shape (num_envs, candidates) = {(_USERS, _CANDIDATES)},"
            f" got {values.shape}",
        )
        require(np.isfinite(values).all(), "fuse must be finite for predictions in [0, 1]")


def _monotone(subject: tuple[str, FusionFormula]) -> None:
    _, formula = subject
    scores, weights = _scores(), _weights()
    before = _fused(formula, scores, weights)
    for column, task in enumerate(_TASKS):
        raised = scores.copy()
        raised[:, 2, column] = 1.0
        change = _fused(formula, raised, weights)[:, 2] - before[:, 2]
        require(
            (change * task.sign >= -1e-5).all(),
            f"a larger prediction of {task.name} must not move the score against the sign of its"
            f" weight, got a change of {np.abs(change).max():.3g}",
        )


def _candidate_order(subject: tuple[str, FusionFormula]) -> None:
    _, formula = subject
    order = np.random.default_rng(2).permutation(_CANDIDATES)
    moved = _fused(formula, _scores()[:, order], _weights())
    require(
        np.array_equal(_fused(formula, _scores(), _weights())[:, order], moved),
        "candidates in another order must get the same scores, got other scores",
    )


def _alone(subject: tuple[str, FusionFormula]) -> None:
    _, formula = subject
    together = _fused(formula, _scores(), _weights())
    for row in range(_USERS):
        part = slice(row, row + 1)
        alone = _fused(formula, _scores()[part], _weights()[part])
        require(
            np.array_equal(alone, together[part]),
            f"user {row} gets other scores alone than in a batch; sum in a fixed order, for example"
            " with mtf_rl.fusion.arithmetic.weighted_sum",
        )


def _has_a_map(subject: tuple[str, FusionFormula]) -> None:
    name, formula = subject
    maps = maps_that_fit(name)
    require(maps, f"no action map produces the formula's blocks {type(formula).blocks}")
    check_pair(name, maps[0])


FORMULA_CONTRACT = Contract(
    kind="formula",
    registry=FORMULAS,
    recognises=lambda own: isinstance(own, type) and hasattr(own, "fuse"),
    subject=_formula,
    checks=(
        Check("scores and parameters have the documented shapes and are finite", _formula_shape),
        Check("the score is monotone in each prediction, with the sign of its weight", _monotone),
        Check("scores do not depend on the order of candidates", _candidate_order),
        Check("a user's scores do not depend on the other users", _alone),
        Check("an action map produces its parameters", _has_a_map),
    ),
)


def _maps_of(name: str) -> tuple[tuple[ActionMap, int], ...]:
    """The map for every built-in formula that it fits, with the formula's parameter count."""
    ACTION_MAPS[name]
    formulas = [
        make_formula(formula, _RATES, _TASKS)
        for formula in FORMULAS
        if name in maps_that_fit(formula)
    ]
    return tuple(
        (make_action_map(name, formula), len(formula.parameter_names)) for formula in formulas
    )


def _actions(width: int) -> FloatArray:
    actions = np.random.default_rng(3).uniform(-1.0, 1.0, size=(50, width)).astype(np.float32)
    actions[0], actions[1], actions[2] = -1.0, 0.0, 1.0
    return actions


def _map_shape(subject: tuple[tuple[ActionMap, int], ...]) -> None:
    require(subject, "the map fits no built-in formula")
    for action_map, width in subject:
        parameters = action_map.to_parameters(_actions(width))
        require(
            parameters.shape == (50, width),
            f"parameters must have shape (50, {width}), got {parameters.shape}",
        )
        require(np.isfinite(parameters).all(), "parameters of actions in [-1, 1] must be finite")


def _map_back(subject: tuple[tuple[ActionMap, int], ...]) -> None:
    for action_map, width in subject:
        actions = _actions(width)
        parameters = action_map.to_parameters(actions)
        back = action_map.to_action(parameters)
        require(
            np.abs(back).max() <= 1.0,
            f"to_action must be in [-1, 1], got absolute value {np.abs(back).max()}",
        )
        inner = action_map.to_parameters(0.4 * actions)  # far from the bounds of actions
        again = action_map.to_parameters(action_map.to_action(inner))
        require(
            np.allclose(inner, again, rtol=1e-4, atol=1e-4),
            "to_parameters(to_action(parameters)) must give the same parameters, got others",
        )


ACTION_MAP_CONTRACT = Contract(
    kind="action map",
    registry=ACTION_MAPS,
    recognises=lambda own: isinstance(own, type) and hasattr(own, "to_parameters"),
    subject=_maps_of,
    checks=(
        Check("parameters have the documented shape and are finite", _map_shape),
        Check("to_action is the inverse of to_parameters and stays in [-1, 1]", _map_back),
    ),
)
