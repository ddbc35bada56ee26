"""Warm starts: pretrained networks are loaded, and the batch fills the replay buffer."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer

from mtf_rl.agents import UniformRandom, collect
from mtf_rl.agents.actor import actor_policy
from mtf_rl.agents.offline import CQL, TD3BC, DatasetEnv
from mtf_rl.agents.offline.config import CQLConfig, TD3BCConfig
from mtf_rl.agents.standardised import StandardisedObservation
from mtf_rl.agents.warm_start import fill_replay, warm_start
from mtf_rl.core.errors import ConfigError
from mtf_rl.data import Transitions
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation import roll_out

pytestmark = pytest.mark.slow

NETS = {"net_arch": [16, 16], "features_extractor_class": StandardisedObservation}


def dataset() -> Transitions:
    return Transitions.of(collect(toy_dynamics(), UniformRandom(8), requests=203, seed=0))


def model_of(algorithm: type[Any], buffer_size: int = 400) -> Any:
    env = DatasetEnv.of(dataset())
    return algorithm(
        "MlpPolicy", env, buffer_size=buffer_size, policy_kwargs=dict(NETS), seed=3, device="cpu"
    )


@pytest.mark.parametrize(("algorithm", "teacher"), [(TD3, TD3BC), (DDPG, TD3BC), (SAC, CQL)])
def test_a_warm_start_loads_the_pretrained_networks(
    algorithm: type[Any], teacher: type[Any]
) -> None:
    model = model_of(algorithm)
    warm_start(model, dataset(), updates=20, batch_size=32)
    networks = NETS | ({"n_critics": 1} if algorithm is DDPG else {})
    rate = model.learning_rate
    settings: dict[str, Any] = {"alpha": TD3BCConfig().alpha}
    if teacher is CQL:
        weight = CQLConfig().conservative_weight * float(dataset().rewards.std(dtype=np.float64))
        settings = {
            "conservative_weight": weight,
            "n_action_samples": CQLConfig().n_action_samples,
            "actor_learning_rate": rate,
        }
    taught = teacher(
        dataset=dataset(),
        learning_rate=rate,
        batch_size=32,
        policy_kwargs=networks,
        seed=3,
        gamma=model.gamma,
        reward_scale=1.0,
        **settings,
    ).learn(20)
    for mine, other in zip(model.policy.parameters(), taught.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)
    observations = dataset().observations[:5]
    np.testing.assert_array_equal(
        model.predict(observations, deterministic=True)[0],
        taught.predict(observations, deterministic=True)[0],
    )
    assert model.learning_starts == 0
    assert model.replay_buffer.size() == len(dataset())


def test_the_replay_buffer_holds_the_dataset_and_only_termination_is_done() -> None:
    rows, env = dataset(), DatasetEnv.of(dataset())
    buffer = ReplayBuffer(400, env.observation_space, env.action_space, device="cpu", n_envs=4)
    fill_replay(buffer, rows)
    kept = len(rows) // 4 * 4
    assert (buffer.pos, buffer.full) == (kept // 4, False)
    for name in ("observations", "next_observations", "actions", "rewards"):
        stored = getattr(buffer, name)[: kept // 4]
        expected = getattr(rows, name)[:kept]
        np.testing.assert_array_equal(stored.reshape(expected.shape), expected)
    done = buffer.dones[: kept // 4] * (1.0 - buffer.timeouts[: kept // 4])
    np.testing.assert_array_equal(done.ravel(), rows.terminated[:kept].astype(np.float32))
    assert 0 < done.sum() < kept


def test_a_buffer_that_is_too_small_is_refused() -> None:
    model = model_of(TD3, buffer_size=100)
    with pytest.raises(ConfigError, match=re.escape("must hold the dataset's 203 rows, got 100")):
        warm_start(model, dataset(), updates=1, batch_size=8)


@pytest.mark.parametrize("algorithm", [TD3, DDPG, SAC])
def test_a_warm_started_policy_is_better_than_an_untrained_one(algorithm: type[Any]) -> None:
    dynamics = toy_dynamics()
    rows = Transitions.of(collect(dynamics, UniformRandom(8), requests=6_000, seed=0))
    temperature = {"ent_coef": "auto_0.1"} if algorithm is SAC else {}
    model = algorithm(
        "MlpPolicy",
        DatasetEnv.of(rows),
        **temperature,
        buffer_size=6_000,
        gamma=0.5,
        learning_rate=1e-3,
        policy_kwargs=dict(NETS),
        seed=3,
        device="cpu",
    )

    def worth() -> float:
        played = roll_out(dynamics, actor_policy(model), seed=9, episodes=np.arange(600))
        return float(played.reward.mean())

    before = worth()
    warm_start(model, rows, updates=600, batch_size=128)
    assert worth() > before + 0.3
