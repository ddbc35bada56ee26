"""Saving models from an own SB3 training loop as policy folders."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from mtf_rl.agents import FusionSetting, load_policy, save_sb3_policy
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import FusionSessionEnv, toy_dynamics

SMALL: dict[Any, dict[str, Any]] = {
    PPO: {"n_steps": 32, "batch_size": 32},
    A2C: {},
    SAC: {"learning_starts": 8},
    TD3: {"learning_starts": 8},
    DDPG: {"learning_starts": 8, "policy_kwargs": {"activation_fn": torch.nn.Tanh}},
}


def observations() -> np.ndarray[Any, np.dtype[np.float32]]:
    dynamics = toy_dynamics()
    return dynamics.observe(dynamics.start(1, np.arange(20)))


@pytest.mark.parametrize("algorithm", SMALL)
def test_a_saved_sb3_model_gives_the_same_actions(algorithm: Any, tmp_path: Path) -> None:
    dynamics = toy_dynamics()
    model = algorithm("MlpPolicy", FusionSessionEnv(dynamics), seed=0, **SMALL[algorithm])
    model.learn(64)
    save_sb3_policy(model, tmp_path)
    loaded = load_policy(tmp_path)
    assert loaded.setting == FusionSetting.of(dynamics)
    expected, _ = model.predict(observations(), deterministic=True)
    np.testing.assert_allclose(loaded.predict(observations())[0], expected, atol=1e-5)


def test_statistics_of_vec_normalize_become_part_of_the_policy(tmp_path: Path) -> None:
    env = VecNormalize(DummyVecEnv([lambda: FusionSessionEnv(toy_dynamics())]))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=32, seed=0)
    model.learn(128)
    saved = save_sb3_policy(model, tmp_path)
    expected, _ = model.predict(env.normalize_obs(observations()), deterministic=True)
    np.testing.assert_allclose(saved.predict(observations())[0], expected, atol=1e-3)


@pytest.mark.parametrize("clip", [0.5, np.inf])
def test_clip_obs_of_vec_normalize_becomes_part_of_the_policy(clip: float, tmp_path: Path) -> None:
    env = VecNormalize(DummyVecEnv([lambda: FusionSessionEnv(toy_dynamics())]), clip_obs=clip)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=32, seed=0)
    model.learn(128)
    save_sb3_policy(model, tmp_path)
    rows = observations() + np.float32(2.0)  # beyond 0.5 standard deviations
    normalised: Any = env.normalize_obs(rows)
    assert (np.abs(normalised).max() > 0.5) == (clip > 0.5)
    expected, _ = model.predict(normalised, deterministic=True)
    np.testing.assert_allclose(load_policy(tmp_path).predict(rows)[0], expected, atol=1e-3)


def test_unsupported_models_are_refused(tmp_path: Path) -> None:
    env = FusionSessionEnv(toy_dynamics())
    odd = PPO("MlpPolicy", env, policy_kwargs={"activation_fn": torch.nn.ELU})
    with pytest.raises(ConfigError, match=re.escape("linear layers with either ReLU or tanh")):
        save_sb3_policy(odd, tmp_path)
    with pytest.raises(ConfigError, match="cannot be converted to plain arrays"):
        save_sb3_policy(TD3("MlpPolicy", "Pendulum-v1", seed=0), tmp_path)  # actions in [-2, 2]
    elsewhere = PPO("MlpPolicy", "Pendulum-v1")
    with pytest.raises(ConfigError, match="no session environment of mtf_rl"):
        save_sb3_policy(elsewhere, tmp_path)
