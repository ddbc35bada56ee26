"""Each learner comes near a known optimum."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from mtf_rl.agents import AGENTS, ConstantPolicy, LearningTask, UniformRandom, collect
from mtf_rl.core.protocols import Policy
from mtf_rl.envs import RequestBudget, RetentionDynamics, toy_dynamics
from mtf_rl.evaluation import roll_out

pytestmark = pytest.mark.slow

BUDGET = 12_000
SETTINGS: dict[str, dict[str, Any]] = {
    "td3": {"warmup_requests": 4_000},
    "sac": {
        "warmup_requests": 4_000,
        "gamma": 0.5,
        "hidden": (32, 32),
        "batch_size": 128,
        "updates_per_request": 0.125,
    },
    "ddpg": {
        "warmup_requests": 4_000,
        "gamma": 0.5,
        "learning_rate": 5e-4,  # The defaults learn too slowly for this small budget.
        "updates_per_request": 0.1,
    },
    "ppo": {"warmup_requests": 1_000, "gamma": 0.5},
    "a2c": {"warmup_requests": 1_000, "gamma": 0.5},
    "han_actor_critic": {"warmup_requests": 4_000, "gamma": 0.5},
    "lspi": {"gamma": 0.5},
}
# Settings of batch-RL agents; their batch has the same number of requests with random weights.
BATCH_SETTINGS: dict[str, Any] = {
    "updates": 1_500,
    "hidden": (32, 32),
    "batch_size": 128,
    "gamma": 0.5,
    "learning_rate": 1e-3,
    "actor_learning_rate": 1e-3,
    "conservative_weight": 0.3,
    "proposals": 30,
    "estimator_updates": 300,
    "checkpoints": 2,
}
QUICK = ("awac", "batch_sac", "cql", "iql")  # half of the updates is enough
# Minimum fraction of the gap between uniform weights and the optimum. The initial points of the
# searches include this optimum; the learners have to find it.
LEAST = {
    "td3": 0.5,
    "sac": 0.3,
    "ddpg": 0.5,
    "ppo": 0.3,
    "a2c": 0.4,
    "han_actor_critic": 0.4,
    "lspi": 0.5,
    **dict.fromkeys(
        ("grid", "random_search", "cma_es", "tpe", "gp_bo", "nsga2", "cem", "es"), 0.95
    ),
    "bc": -0.1,  # It learns the mean of random actions, with the value of uniform weights.
    "td3_bc": 0.4,
    "bcq": 0.2,
    "cql": 0.2,
    "iql": 0.25,
    "awac": 0.25,
    "batchrl_mtf": 0.15,
    "batch_td3": 0.3,
    "batch_sac": 0.3,
}


def settings_of(name: str) -> Any:
    config = AGENTS[name].config
    if not AGENTS[name].from_batch:
        return config(**SETTINGS.get(name, {}))
    known = {entry.name for entry in fields(config)}
    settings = BATCH_SETTINGS | ({"updates": 800} if name in QUICK else {})
    return config(**{key: value for key, value in settings.items() if key in known})


def worth(policy: Policy) -> float:
    return float(roll_out(toy_dynamics(), policy, seed=9, episodes=np.arange(1500)).reward.mean())


@pytest.mark.parametrize("name", LEAST)
def test_learners_find_the_only_task_that_counts(name: str) -> None:
    dynamics = toy_dynamics(task="like")
    # The optimum: weight 1 on like, 0 on all others (the action of hate is +1 for weight 0).
    optimum = worth(ConstantPolicy(np.array([-1, -1, 1, -1, -1, -1, 1, -1], dtype=np.float32)))
    uniform = worth(ConstantPolicy(np.array([1, 1, 1, 1, 1, 1, -1, 1], dtype=np.float32)))
    assert optimum > 1.2 * uniform
    task = LearningTask(dynamics, dynamics, RequestBudget(BUDGET), seed=0)
    if AGENTS[name].from_batch:
        batch = collect(dynamics, UniformRandom(8), requests=BUDGET, seed=0)
        task = replace(task, batch=batch)
    learned = AGENTS[name].learn(task, settings_of(name))
    closed = (worth(learned.policy) - uniform) / (optimum - uniform)
    assert LEAST[name] <= closed <= 1.0 + 1e-9
    if learned.untrained is not None:
        assert worth(learned.policy) > worth(learned.untrained)


@pytest.mark.parametrize("name", ["ppo", "cem"])
def test_learners_find_the_optimum_over_several_visits(name: str) -> None:
    visits = RetentionDynamics(toy_dynamics(task="like"))

    def worth_of(policy: Policy) -> float:
        return float(roll_out(visits, policy, seed=9, episodes=np.arange(400)).reward.mean())

    optimum = worth_of(ConstantPolicy(np.array([-1, -1, 1, -1, -1, -1, 1, -1], dtype=np.float32)))
    uniform = worth_of(ConstantPolicy(np.array([1, 1, 1, 1, 1, 1, -1, 1], dtype=np.float32)))
    task = LearningTask(visits, visits, RequestBudget(24_000), seed=0)
    learned = AGENTS[name].learn(task, settings_of(name))
    assert learned.requests_used <= 24_000
    assert (worth_of(learned.policy) - uniform) / (optimum - uniform) >= LEAST[name]


def test_every_learning_agent_is_tested_with_valid_settings() -> None:
    assert set(LEAST) == set(AGENTS) - {"uniform", "reward_weighted"}
    known = {entry.name for name in LEAST for entry in fields(AGENTS[name].config)}
    assert set(BATCH_SETTINGS) <= known
