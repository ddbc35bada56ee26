"""The SB3 `VecEnv`: ends of sessions, reward scale and invalid values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from mtf_rl.agents import SessionVecEnv
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.envs import FusionSessionVectorEnv, SessionDynamics, UserProfiles, toy_dynamics


def dynamics_of(*, hazard: float, max_requests: int) -> SessionDynamics:
    toy = toy_dynamics(hazard=hazard)
    return SessionDynamics(
        scores=toy.scores,
        user_model=toy.user_model,
        catalogue=toy.catalogue,
        profiles=UserProfiles(np.zeros((20, 1), dtype=np.float32), ("constant",)),
        users=toy.users,
        config=replace(toy.config, max_requests=max_requests),
    )


def vec_env(num_envs: int = 3, *, hazard: float, max_requests: int) -> SessionVecEnv:
    dynamics = dynamics_of(hazard=hazard, max_requests=max_requests)
    return SessionVecEnv(FusionSessionVectorEnv(dynamics, num_envs))


def test_a_truncated_session_reports_truncation_and_its_last_observation() -> None:
    env = vec_env(hazard=0.0, max_requests=2)
    env.seed(5)
    first: Any = env.reset()
    middle: Any
    fresh: Any
    middle, _, done, infos = env.step(np.zeros((3, 8), np.float32))
    assert not done.any()
    assert all(info == {} for info in infos)
    fresh, reward, done, infos = env.step(np.zeros((3, 8), np.float32))
    assert done.all()
    clock = env.env.dynamics.layout.block("session").start  # log(1 + requests answered)
    for row, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert info["terminal_observation"][clock] == pytest.approx(np.log(3.0))
        assert fresh[row, clock] == 0.0
        assert info["episode"]["l"] == 2
    assert (first[:, clock] == 0.0).all()
    assert (middle[:, clock] > 0.0).all()
    total = env.last_infos["like"] + 0.0
    np.testing.assert_allclose(reward, total)


def test_leaving_is_termination_and_not_truncation() -> None:
    env = vec_env(hazard=1.0, max_requests=5)
    env.reset()
    _, reward, done, infos = env.step(np.zeros((3, 8), np.float32))
    assert done.all()
    assert not any(info["TimeLimit.truncated"] for info in infos)
    assert [info["episode"]["r"] for info in infos] == pytest.approx(reward.tolist())


@pytest.mark.parametrize(("hazard", "timeout"), [(0.0, 1.0), (1.0, 0.0)])
def test_the_replay_buffer_stores_the_true_end(hazard: float, timeout: float) -> None:
    env = vec_env(hazard=hazard, max_requests=1)
    model: Any = TD3(
        "MlpPolicy", env, learning_starts=100, buffer_size=30, policy_kwargs={"net_arch": [4]}
    )
    model.learn(6)
    buffer = model.replay_buffer
    clock = env.env.dynamics.layout.block("session").start
    assert (buffer.dones[:2] == 1.0).all()
    assert (buffer.timeouts[:2] == timeout).all()
    assert (buffer.observations[:2, :, clock] == 0.0).all()
    assert (buffer.next_observations[:2, :, clock] == np.float32(np.log(2.0))).all()


def test_sb3_evaluates_the_vec_env_without_a_monitor() -> None:
    env: VecEnv = vec_env(hazard=0.3, max_requests=9)
    model = TD3("MlpPolicy", env, policy_kwargs={"net_arch": [4]}, seed=0)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=10)
    assert np.isfinite(mean)
    assert env.get_attr("num_envs") == [3, 3, 3]
    with pytest.raises(ConfigError, match="cannot be called on single environments"):
        env.env_method("reset")
    with pytest.raises(ConfigError, match="cannot be set for single environments"):
        env.set_attr("budget", 3)


def test_rewards_are_scaled_and_returns_are_not() -> None:
    plain, scaled = (vec_env(hazard=1.0, max_requests=5) for _ in range(2))
    scaled.reward_scale = 4.0
    plain.seed(5)
    scaled.seed(5)
    plain.reset()
    scaled.reset()
    actions = np.zeros((3, 8), np.float32)
    _, reward, _, infos = plain.step(actions)
    _, quarter, _, same_infos = scaled.step(actions)
    assert reward.any()
    np.testing.assert_array_equal(quarter, reward / 4.0)
    returns = [info["episode"]["r"] for info in infos]
    assert [info["episode"]["r"] for info in same_infos] == returns == reward.tolist()


@pytest.mark.parametrize(("position", "name"), [(0, "observation"), (1, "reward")])
def test_non_finite_observations_and_rewards_are_refused(
    position: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = vec_env(hazard=0.0, max_requests=5)
    env.reset()
    honest = env.env.step

    def broken(actions: Any) -> Any:
        answer: list[Any] = list(honest(actions))
        answer[position] = answer[position].copy()
        answer[position][2] = np.nan
        return tuple(answer)

    monkeypatch.setattr(env.env, "step", broken)
    with pytest.raises(DataError, match=rf"environment's {name} must be finite, got nan at \(2"):
        env.step(np.zeros((3, 8), np.float32))
