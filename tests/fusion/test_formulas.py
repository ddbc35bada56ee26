"""Formulas against hand arithmetic, naive loops and properties."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.tasks import NUM_TASKS, TASK_SIGNS
from mtf_rl.fusion import (
    ACTION_MAPS,
    FORMULAS,
    best_candidates,
    check_pair,
    make_formula,
    uniform_weights,
)

BETAS = np.array([0.4, 0.3, 0.02, 0.001, 0.003, 0.001, 0.0005, 0.2])
unit = st.floats(0.0, 1.0, width=32)
scores_strategy = arrays(np.float32, (2, 5, NUM_TASKS), elements=unit)
weights_strategy = arrays(np.float32, (2, NUM_TASKS), elements=unit)


def test_log_sum_by_hand() -> None:
    formula = make_formula("log_sum", np.full(NUM_TASKS, 0.5))
    scores = np.full((1, 1, NUM_TASKS), 0.5, dtype=np.float32)
    scores[0, 0, 2] = 0.0
    weights = np.zeros((1, NUM_TASKS), dtype=np.float32)
    weights[0, [0, 2]] = [1.0, 0.25]
    fused = formula.fuse(formula.prepare(scores), weights)
    # The first task adds the log of 0.5 + 0.5, which is 0; the third 0.25 of the log of 0.5.
    assert fused[0, 0] == pytest.approx(0.25 * math.log(0.5))


def test_weighted_sum_by_hand() -> None:
    formula = make_formula("weighted_sum", BETAS)
    scores = np.zeros((1, 1, NUM_TASKS), dtype=np.float32)
    scores[0, 0, :3] = [0.5, 0.25, 0.1]
    weights = np.zeros((1, NUM_TASKS), dtype=np.float32)
    weights[0, :3] = [1.0, 2.0, -3.0]
    assert formula.fuse(formula.prepare(scores), weights)[0, 0] == pytest.approx(0.7)


@pytest.mark.parametrize("name", FORMULAS)
@given(scores=scores_strategy, weights=weights_strategy)
def test_agrees_with_a_naive_loop(
    name: str,
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    formula = make_formula(name, BETAS)
    fused = formula.fuse(formula.prepare(scores), weights)
    for env in range(2):
        for candidate in range(5):
            terms = [
                float(w) * (math.log(float(p) + b) if name == "log_sum" else float(p))
                for w, p, b in zip(weights[env], scores[env, candidate], BETAS, strict=True)
            ]
            assert fused[env, candidate] == pytest.approx(math.fsum(terms), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", FORMULAS)
@given(scores=scores_strategy, weights=weights_strategy, task=st.integers(0, NUM_TASKS - 1))
def test_monotone_in_each_task_with_the_sign_of_its_weight(
    name: str,
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    task: int,
) -> None:
    formula = make_formula(name, BETAS)
    signed = weights * TASK_SIGNS
    raised = scores.copy()
    raised[:, :, task] = 1.0
    change = formula.fuse(formula.prepare(raised), signed) - formula.fuse(
        formula.prepare(scores), signed
    )
    assert (change * TASK_SIGNS[task] >= -1e-5).all()


@pytest.mark.parametrize("name", FORMULAS)
@given(scores=scores_strategy, weights=weights_strategy)
def test_reordering_candidates_reorders_scores(
    name: str,
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    formula = make_formula(name, BETAS)
    order = np.array([3, 1, 4, 0, 2])
    fused = formula.fuse(formula.prepare(scores), weights)
    moved = formula.fuse(formula.prepare(scores[:, order]), weights)
    np.testing.assert_array_equal(fused[:, order], moved)


@pytest.mark.parametrize("name", FORMULAS)
def test_positive_rescaling_keeps_the_slate(name: str) -> None:
    generator = np.random.default_rng(0)
    formula = make_formula(name, BETAS)
    prepared = formula.prepare(generator.uniform(size=(50, 40, NUM_TASKS)).astype(np.float32))
    weights = (generator.uniform(size=(50, NUM_TASKS)) * TASK_SIGNS).astype(np.float32)
    slate = best_candidates(formula.fuse(prepared, weights), 6)
    # A power of two rescales without rounding.
    scaled = best_candidates(formula.fuse(prepared, weights * np.float32(0.25)), 6)
    np.testing.assert_array_equal(slate, scaled)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_score_does_not_depend_on_who_else_is_served(name: str) -> None:
    generator = np.random.default_rng(1)
    formula = make_formula(name, BETAS)
    prepared = formula.prepare(generator.uniform(size=(33, 20, NUM_TASKS)).astype(np.float32))
    weights = generator.uniform(size=(33, NUM_TASKS)).astype(np.float32)
    together = formula.fuse(prepared, weights)
    for env in (0, 17, 32):
        alone = formula.fuse(prepared[env : env + 1], weights[env : env + 1])
        np.testing.assert_array_equal(together[env : env + 1], alone)


@given(arrays(np.float32, (3, 12), elements=st.integers(0, 4).map(float)), st.integers(1, 12))
def test_best_candidates_agrees_with_a_stable_sort(
    fused: np.ndarray[tuple[int, ...], np.dtype[np.float32]], slate: int
) -> None:
    best = best_candidates(fused, slate)
    values = np.take_along_axis(fused, best, axis=1)
    expected = -np.sort(-fused, axis=1)[:, :slate]
    np.testing.assert_array_equal(values, expected)
    assert all(len(set(row)) == slate for row in best.tolist())


def test_every_valid_pair_round_trips() -> None:
    for formula in FORMULAS:
        for name, action_map in ACTION_MAPS.items():
            check_pair(formula, name)
            actions = np.random.default_rng(0).uniform(-1, 1, (9, NUM_TASKS)).astype(np.float32)
            again = action_map.to_action(action_map.to_parameters(actions))
            np.testing.assert_allclose(again, actions, atol=1e-6)


def test_box_by_hand() -> None:
    action = np.array([[1, -1, 0, 0, 0, 0, 1, 0.5], [0, 0, 0, 0, 0, 0, -1, 0]], dtype=np.float32)
    weights = ACTION_MAPS["box"].to_parameters(action)
    assert weights[0].tolist() == [1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.0, 0.75]
    assert weights[1, 6] == -1.0
    uniform = ACTION_MAPS["box"].to_action(uniform_weights()[None])
    np.testing.assert_array_equal(ACTION_MAPS["box"].to_parameters(uniform)[0], uniform_weights())


def test_bad_names_and_shifts_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("Unknown fusion formula 'logsum'")):
        make_formula("logsum", BETAS)
    with pytest.raises(ConfigError, match=re.escape("log_sum needs a positive beta for each")):
        FORMULAS["log_sum"]((0.1, 0.0))
