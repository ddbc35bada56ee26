"""Action maps: worked examples, round trips, and pairs of map and formula."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.fusion import (
    ACTION_MAPS,
    FORMULAS,
    ActionMap,
    Residual,
    best_candidates,
    check_pair,
    make_action_map,
    make_formula,
    maps_that_fit,
)

BETAS = np.array([0.4, 0.3, 0.02, 0.001, 0.003, 0.001, 0.0005, 0.2])
PAIRS = [(formula, name) for formula in FORMULAS for name in maps_that_fit(formula)]


def map_of(name: str, formula: str, tasks: tuple[str, ...] | None = None) -> ActionMap:
    chosen = (
        KUAIRAND_TASKS.subset(tasks)
        if tasks
        else KUAIRAND_TASKS.subset(make_formula("log_sum", BETAS).tasks.names)
    )
    return make_action_map(name, make_formula(formula, BETAS, chosen))


@pytest.mark.parametrize(("formula", "name"), PAIRS)
@given(seed=st.integers(0, 1000))
def test_to_action_inverts_to_parameters(formula: str, name: str, seed: int) -> None:
    width = len(make_formula(formula, BETAS).parameter_names)
    actions = np.random.default_rng(seed).uniform(-1, 1, (9, width)).astype(np.float32)
    if name == "simplex":  # A shift of all entries gives the same weights.
        actions = (actions - actions.mean(axis=1, keepdims=True)) / 2
    action_map = map_of(name, formula)
    parameters = action_map.to_parameters(actions)
    assert parameters.shape == (9, width)
    assert parameters.dtype == np.float32
    np.testing.assert_allclose(action_map.to_action(parameters), actions, atol=1e-4)


@pytest.mark.parametrize(("formula", "name"), PAIRS)
def test_weights_are_bounded_and_have_their_tasks_signs(formula: str, name: str) -> None:
    width = len(make_formula(formula, BETAS).parameter_names)
    extremes = np.concatenate([np.eye(width), -np.eye(width), np.ones((1, width))])
    parameters = map_of(name, formula).to_parameters(extremes.astype(np.float32))
    weights = parameters[:, : len(KUAIRAND_TASKS)]
    assert (weights * KUAIRAND_TASKS.signs >= 0.0).all()
    assert np.abs(weights).max() <= 1.0
    assert (parameters[:, len(KUAIRAND_TASKS) :] > 0.0).all()


@pytest.mark.parametrize(("formula", "name"), PAIRS)
def test_a_row_does_not_depend_on_other_rows(formula: str, name: str) -> None:
    width = len(make_formula(formula, BETAS).parameter_names)
    actions = np.random.default_rng(3).uniform(-1, 1, (50, width)).astype(np.float32)
    together = map_of(name, formula).to_parameters(actions)
    alone = [map_of(name, formula).to_parameters(actions[[row]])[0] for row in range(50)]
    np.testing.assert_array_equal(together, alone)


def test_box_by_hand() -> None:
    action = np.array([[1, -1, 0, 0, 0, 0, 1, 0.5], [0, 0, 0, 0, 0, 0, -1, 0]], dtype=np.float32)
    weights = map_of("box", "log_sum").to_parameters(action)
    assert weights[0].tolist() == [1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.0, 0.75]
    assert weights[1, 6] == -1.0


def test_simplex_by_hand() -> None:
    simplex = map_of("simplex", "log_sum", ("click", "hate"))
    weights = simplex.to_parameters(np.array([[0.0, 0.0], [1.0, 0.0]], dtype=np.float32))
    assert weights[0].tolist() == [0.5, -0.5]
    fraction = np.exp(3.0) / (np.exp(3.0) + 1.0)
    np.testing.assert_allclose(weights[1], [fraction, fraction - 1.0], rtol=1e-6)
    # A shift of the action gives the same weights.
    shifted = simplex.to_parameters(np.array([[0.5, -0.5]], dtype=np.float32))
    np.testing.assert_allclose(shifted[0], weights[1], rtol=1e-6)


@given(arrays(np.float32, (4, len(KUAIRAND_TASKS)), elements=st.floats(-1, 1, width=32)))
def test_simplex_magnitudes_sum_to_one(
    action: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    weights = map_of("simplex", "log_sum").to_parameters(action)
    np.testing.assert_allclose(np.abs(weights).sum(axis=1), 1.0, rtol=1e-5)


def test_power_bias_by_hand() -> None:
    power_bias = map_of("power_bias", "power_product", ("click", "hate"))
    parameters = power_bias.to_parameters(np.array([[1.0, -1.0, 1.0, 0.0]], dtype=np.float32))
    # The bias of click is its base rate 0.4 times 4, the bias of hate is its base rate.
    np.testing.assert_allclose(parameters[0], [1.0, -1.0, 1.6, 0.0005], rtol=1e-6)


def test_residual_stays_within_its_radius_of_the_base() -> None:
    formula = make_formula("log_sum", BETAS, KUAIRAND_TASKS.subset(["click", "like", "hate"]))
    residual = make_action_map("residual", formula, base=(0.6, 0.2, -0.5), radius=0.2)
    middle = residual.to_parameters(np.zeros((1, 3), dtype=np.float32))[0]
    np.testing.assert_allclose(middle, [0.6, 0.2, -0.5], rtol=1e-6)
    corner = residual.to_parameters(np.ones((1, 3), dtype=np.float32))[0]
    # A radius of 0.2 in action units is 0.1 in weight units.
    np.testing.assert_allclose(corner, [0.7, 0.3, -0.4], rtol=1e-6)
    # Uniform weights are on the bounds: the box is moved inside and not clipped.
    uniform = make_action_map("residual", formula, radius=0.2)
    ends = uniform.to_parameters(np.array([[1, 1, -1], [-1, -1, 1]], dtype=np.float32))
    np.testing.assert_allclose(ends, [[1.0, 1.0, -1.0], [0.8, 0.8, -0.8]], rtol=1e-6)


def test_power_bias_with_zero_bias_action_ranks_as_box_with_log_sum() -> None:
    generator = np.random.default_rng(4)
    scores = generator.uniform(size=(20, 40, len(KUAIRAND_TASKS))).astype(np.float32)
    actions = generator.uniform(-1, 1, (20, len(KUAIRAND_TASKS))).astype(np.float32)
    logs, products = make_formula("log_sum", BETAS), make_formula("power_product", BETAS)
    weights = make_action_map("box", logs).to_parameters(actions)
    longer = np.concatenate([actions, np.zeros_like(actions)], axis=1)
    powers = make_action_map("power_bias", products).to_parameters(longer)
    first = best_candidates(logs.fuse(logs.prepare(scores), weights), 6)
    second = best_candidates(products.fuse(products.prepare(scores), powers), 6)
    assert (first == second).mean() > 0.98  # float32 may swap scores that agree to six digits


def test_weights_of_the_wrong_sign_map_to_the_nearest_possible_weights() -> None:
    box = map_of("box", "log_sum", ("click", "hate"))
    wrong = np.array([[-0.5, 0.8], [2.0, -3.0]], dtype=np.float32)
    np.testing.assert_array_equal(box.to_parameters(box.to_action(wrong)), [[0, 0], [1, -1]])


def test_an_action_map_that_does_not_fit_the_formula_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("use one of residual, power_bias")):
        check_pair("power_product", "box")
    with pytest.raises(ConfigError, match=re.escape("use one of box, simplex, residual")):
        check_pair("log_sum", "power_bias")
    with pytest.raises(UnknownNameError, match=re.escape("Unknown action map 'boxes'. Did you")):
        check_pair("log_sum", "boxes")
    assert all(maps_that_fit(formula) for formula in FORMULAS)
    assert {name for _, name in PAIRS} == set(ACTION_MAPS)
    formula = make_formula("log_sum", BETAS)
    with pytest.raises(ConfigError, match=re.escape("radius must be in (0, 1], got 1.5")):
        make_action_map("residual", formula, radius=1.5)
    with pytest.raises(ConfigError, match=re.escape("base must have one weight for each of click")):
        make_action_map("residual", formula, base=(1.0,))
    assert isinstance(make_action_map("residual", formula), Residual)
