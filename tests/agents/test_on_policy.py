"""PPO and A2C: reward scale, plan of rollouts, and export of the Gaussian's mean."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C
from torch import nn

from mtf_rl.agents import AGENTS, LearningTask, PPOConfig, SessionVecEnv
from mtf_rl.agents.actor import actor_policy
from mtf_rl.agents.online.on_policy import _Plan, return_std
from mtf_rl.agents.standardised import StandardisedObservation, freeze_statistics
from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import FusionSessionVectorEnv, RequestBudget, toy_dynamics


def test_return_std_by_hand() -> None:
    rewards = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    ends = np.array([[False, False], [True, False], [False, False]])
    # gamma 0.5: the first session gathers 1, 1.5, and the next one 1; the second 2, 3, 3.5.
    expected = np.std([1.0, 1.5, 1.0, 2.0, 3.0, 3.5])
    assert return_std(rewards, ends, gamma=0.5) == pytest.approx(expected)


def naive_std(rewards: FloatArray, ends: BoolArray, gamma: float) -> float:
    sums = []
    for column in range(rewards.shape[1]):
        for time in range(rewards.shape[0]):
            total, weight, back = 0.0, 1.0, time
            while True:
                total += weight * rewards[back, column]
                weight *= gamma
                back -= 1
                if back < 0 or ends[back, column]:
                    break
            sums.append(total)
    return float(np.std(sums))


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_return_std_against_a_naive_loop(gamma: float) -> None:
    generator = np.random.default_rng(1)
    rewards = generator.normal(size=(20, 3))
    ends = generator.random((20, 3)) < 0.3
    found = return_std(rewards, ends, gamma=gamma)
    assert found == pytest.approx(naive_std(rewards, ends, gamma))
    # Doubled rewards double the standard deviation.
    assert return_std(2.0 * rewards, ends, gamma=gamma) == pytest.approx(2.0 * found)


def test_constant_rewards_are_not_divided_by_zero() -> None:
    assert return_std(np.zeros((4, 2)), np.zeros((4, 2), dtype=bool), gamma=0.5) > 0.0


@pytest.mark.parametrize(
    ("budget", "plan"),
    [
        # 100 steps of 8: 25 warm up; of the 75 others 64 make two rollouts of 32.
        (800, _Plan(100 - 64, 32)),
        # 40 steps: 15 are left, which is one short rollout.
        (320, _Plan(25, 15)),
        (327, _Plan(25, 15)),
    ],
)
def test_the_budget_makes_whole_rollouts(budget: int, plan: _Plan) -> None:
    dynamics = toy_dynamics()
    task = LearningTask(dynamics, dynamics, RequestBudget(budget), 0)
    config = PPOConfig(warmup_requests=200, num_envs=8, rollout_requests=256)
    assert _Plan.of(task, config) == plan


def test_a_budget_of_no_rollout_is_refused() -> None:
    dynamics = toy_dynamics()
    config = PPOConfig(warmup_requests=200, num_envs=32)
    task = LearningTask(dynamics, dynamics, RequestBudget(255), 0)  # 7 steps, all of them warm-up.
    with pytest.raises(ConfigError, match=re.escape("and one more, 256 in all, got 255")):
        AGENTS["ppo"].learn(task, config)
    task = LearningTask(dynamics, dynamics, RequestBudget(256), 0)
    assert AGENTS["ppo"].learn(task, config).requests_used == 256


def test_the_exported_mean_is_the_models_own_prediction() -> None:
    env = SessionVecEnv(FusionSessionVectorEnv(toy_dynamics(), 4))
    settings: dict[str, Any] = {
        "net_arch": [8, 8],
        "activation_fn": nn.ReLU,
        "features_extractor_class": StandardisedObservation,
    }
    model = A2C("MlpPolicy", env, policy_kwargs=settings, seed=0, device="cpu")
    policy: Any = model.policy
    with torch.no_grad():
        policy.action_net.weight.mul_(300.0)  # Wide enough that entries leave the box.
    generator = np.random.default_rng(0)
    width = env.env.dynamics.layout.size
    observations = generator.normal(size=(16, width)).astype(np.float32)
    freeze_statistics(model, observations)
    expected, _ = model.predict(observations, deterministic=True)
    found, _ = actor_policy(model).predict(observations)
    assert (np.abs(found) == 1.0).any()
    assert (np.abs(found) < 1.0).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)
