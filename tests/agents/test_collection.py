"""Collected sessions equal those of the dynamics and do not depend on the batch."""

import re
from dataclasses import fields

import numpy as np
import pytest

from mtf_rl.agents import ConstantPolicy, Mixture, TruncatedGaussian, UniformRandom, collect
from mtf_rl.core.errors import ConfigError
from mtf_rl.data import BatchDataset
from mtf_rl.envs import BudgetExceededError, RequestBudget, toy_dynamics

BASE = ConstantPolicy(np.array([0.2, 0, 0.9, 0, 0, 0, 0, -0.4], dtype=np.float32))
MIX = Mixture((UniformRandom(8), TruncatedGaussian(BASE, 0.2)), (1.0, 1.0))


def test_the_dataset_does_not_depend_on_num_envs() -> None:
    wide = collect(toy_dynamics(), MIX, requests=200, seed=3)
    narrow = collect(toy_dynamics(), MIX, requests=200, seed=3, num_envs=7)
    other = collect(toy_dynamics(), MIX, requests=200, seed=4)
    for field in fields(BatchDataset):
        first, second = getattr(wide, field.name), getattr(narrow, field.name)
        np.testing.assert_array_equal(first, second)
    assert (other.actions[:50] != wide.actions[:50]).any()


def test_the_dataset_has_the_given_requests_and_truncates_the_last_session() -> None:
    batch = collect(toy_dynamics(), MIX, requests=200, seed=3)
    longer = collect(toy_dynamics(), MIX, requests=230, seed=3)
    assert len(batch.rewards) == 200
    np.testing.assert_array_equal(batch.observations, longer.observations[:200])
    np.testing.assert_array_equal(np.unique(batch.sessions), np.arange(batch.sessions[-1] + 1))
    assert batch.behaviour_names == MIX.names
    assert batch.evaluator == "ground_truth"
    middle = int(np.flatnonzero(~(longer.terminated | longer.truncated)[:200])[-1]) + 1
    cut = collect(toy_dynamics(), MIX, requests=middle, seed=3)
    assert cut.truncated[-1]
    np.testing.assert_array_equal(cut.final_observations[-1], longer.observations[middle])


def test_replayed_actions_give_the_same_rewards_and_observations() -> None:
    dynamics = toy_dynamics()
    batch = collect(dynamics, MIX, requests=300, seed=3)
    following = batch.next_observations
    for session in np.unique(batch.sessions)[:30]:
        rows = np.flatnonzero(batch.sessions == session)
        state = dynamics.start(3, np.array([session]))
        for row in rows:
            np.testing.assert_array_equal(dynamics.observe(state)[0], batch.observations[row])
            parameters = dynamics.action_map.to_parameters(batch.actions[[row]])
            state, outcome = dynamics.advance(state, parameters, 3)
            assert outcome.reward[0] == batch.rewards[row]
            assert outcome.terminated[0] == batch.terminated[row]
            if not batch.terminated[row]:
                np.testing.assert_array_equal(dynamics.observe(state)[0], following[row])


def test_a_session_follows_one_behaviour() -> None:
    batch = collect(toy_dynamics(), MIX, requests=500, seed=3)
    changes = np.diff(batch.behaviours) != 0
    assert (np.diff(batch.sessions)[changes] == 1).all()
    assert set(batch.behaviours.tolist()) == {0, 1}
    uniform = batch.behaviours == 0
    np.testing.assert_allclose(batch.log_densities[uniform], -8 * np.log(2.0))


def test_only_kept_requests_are_charged_and_a_small_budget_is_refused() -> None:
    budget = RequestBudget(200)
    collect(toy_dynamics(), MIX, requests=150, seed=3, budget=budget)
    assert budget.used == 150
    with pytest.raises(BudgetExceededError, match=re.escape("would exceed the budget of 200")):
        collect(toy_dynamics(), MIX, requests=51, seed=3, budget=budget)
    with pytest.raises(ConfigError, match=re.escape("requests must be at least 1, got 0")):
        collect(toy_dynamics(), MIX, requests=0, seed=3)
