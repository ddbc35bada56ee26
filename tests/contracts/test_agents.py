"""What every agent in the registry must do, on a session whose best weights are known."""

import multiprocessing
import re

import numpy as np
import pytest

from mtf_rl.agents import AGENTS, ConstantPolicy, LearnedPolicy, LearningTask
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import RequestBudget, toy_dynamics
from mtf_rl.evaluation import roll_out

# Enough for the learners to run their loops; whether they learn is asked in tests/agents.
SMALL = {
    "td3": {"warmup_requests": 200},
    "sac": {"warmup_requests": 200},
    "random_search": {"sessions_per_trial": 8},
}
BUDGET = 1000


def learn(name: str, seed: int = 0, budget: int = BUDGET) -> LearnedPolicy:
    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(budget), seed)
    agent = AGENTS[name]
    return agent.learn(task, agent.config(**SMALL.get(name, {})))


def actions_of(learned: LearnedPolicy) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    dynamics = toy_dynamics()
    return learned.policy.predict(dynamics.observe(dynamics.start(5, np.arange(32))))[0]


def learnt_actions(name: str) -> bytes:
    return actions_of(learn(name)).tobytes()


@pytest.mark.parametrize("name", AGENTS)
def test_actions_lie_in_bounds_and_the_budget_is_kept(name: str) -> None:
    learned = learn(name)
    actions = actions_of(learned)
    assert actions.shape == (32, 8)
    assert np.abs(actions).max() <= 1.0
    assert learned.requests_used <= BUDGET
    assert learned.requests_used > 0.85 * BUDGET or name == "uniform"


@pytest.mark.parametrize("name", AGENTS)
def test_same_seed_same_policy_here_and_in_another_process(name: str) -> None:
    here = learnt_actions(name)
    assert learnt_actions(name) == here
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(learnt_actions, (name,)) == here
    # Uniform weights have no seed; the search finds the toy's optimum, a hand-set point, with any.
    if name not in ("uniform", "random_search"):
        assert actions_of(learn(name, seed=1)).tobytes() != here


@pytest.mark.parametrize("name", ["td3", "sac"])
def test_a_budget_that_the_warmup_eats_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("requests must exceed warmup_requests")):
        learn(name, budget=200)


def test_a_budget_without_one_trial_is_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("one trial of 8 sessions and")):
        learn("random_search", budget=20)


def test_uniform_weights_are_all_one() -> None:
    learned = learn("uniform")
    assert isinstance(learned.policy, ConstantPolicy)
    sessions = roll_out(toy_dynamics(), learned.policy, seed=0, episodes=np.arange(3))
    np.testing.assert_array_equal(sessions.weights[0], [1, 1, 1, 1, 1, 1, -1, 1])
    assert sessions.weights_spread.max() == 0.0
