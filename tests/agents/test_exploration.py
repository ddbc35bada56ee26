"""Epsilon-greedy exploration and its use in the agent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.agents.online.han import EpsilonGreedy


def _global_stream() -> Any:
    state: Any = np.random.get_state()  # noqa: NPY002  (the global generator, which must not change)
    return state[1]


def exploration(first: float, last: float, seed: int = 0) -> EpsilonGreedy:
    return EpsilonGreedy(first, last, np.random.default_rng(seed))


def test_epsilon_is_linear_and_constant_beyond_its_ends() -> None:
    falling = exploration(0.5, 0.1)
    assert [falling.epsilon(p) for p in (-1.0, 0.0, 1.0, 2.0)] == pytest.approx(
        [0.5, 0.5, 0.1, 0.1]
    )
    assert falling.epsilon(0.25) == pytest.approx(0.5 - 0.25 * 0.4)


@given(fraction=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
def test_an_action_is_kept_or_replaced_as_a_whole(fraction: float, seed: int) -> None:
    actions = np.full((50, 3), 7.0, dtype=np.float32)  # No drawn action can be 7.
    explored = exploration(fraction, fraction, seed).explore(actions, 0.5)
    replaced = explored != actions
    assert (replaced.all(axis=1) == replaced.any(axis=1)).all()
    assert np.abs(explored[replaced]).max(initial=0.0) <= 1.0
    assert explored.dtype == actions.dtype
    assert fraction > 0.0 or not replaced.any()
    assert fraction < 1.0 or replaced.all()


def test_the_fraction_and_the_distribution_of_replaced_actions() -> None:
    actions = np.full((20_000, 2), 7.0)
    explored = exploration(0.5, 0.1, seed=3).explore(actions, 0.5)  # epsilon 0.3
    replaced = explored[:, 0] != 7.0
    assert replaced.mean() == pytest.approx(0.3, abs=0.015)  # more than four standard errors
    drawn = explored[replaced]
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.04)
    np.testing.assert_allclose(drawn.var(axis=0), 1.0 / 3.0, atol=0.02)


def test_draws_depend_on_the_seed_and_not_on_the_global_generator() -> None:
    actions = np.zeros((8, 2))
    before = _global_stream()
    first = exploration(1.0, 1.0).explore(actions, 0.0)
    np.testing.assert_array_equal(exploration(1.0, 1.0).explore(actions, 0.0), first)
    assert (exploration(1.0, 1.0, seed=1).explore(actions, 0.0) != first).all()
    np.testing.assert_array_equal(before, _global_stream())
