"""Gymnasium wrappers: Gymnasium's and SB3's checkers, and agreement with the dynamics."""

import re

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.envs import (
    BudgetExceededError,
    FusionSessionEnv,
    FusionSessionVectorEnv,
    RequestBudget,
    toy_dynamics,
)


def test_the_checkers_of_gymnasium_and_sb3_pass_without_warnings() -> None:
    check_env(FusionSessionEnv(toy_dynamics()), skip_render_check=True)
    sb3_check_env(FusionSessionEnv(toy_dynamics()), warn=True)


def vector_episodes(num_envs: int, count: int) -> dict[int, list[float]]:
    """Rewards of the first `count` episodes, by number, in a batched environment."""
    env = FusionSessionVectorEnv(toy_dynamics(), num_envs)
    env.reset(seed=11)
    numbers = list(range(num_envs))
    following = num_envs
    rewards: dict[int, list[float]] = {number: [] for number in numbers}
    ended: set[int] = set()
    while not set(range(count)) <= ended:
        _, reward, terminated, truncated, _ = env.step(np.full((num_envs, 8), 0.3, np.float32))
        for row in range(num_envs):
            rewards[numbers[row]].append(float(reward[row]))
            if terminated[row] or truncated[row]:
                ended.add(numbers[row])
                numbers[row], following = following, following + 1
                rewards[numbers[row]] = []
    return {number: rewards[number] for number in range(count)}


def test_episodes_do_not_depend_on_num_envs() -> None:
    with_1, with_7, with_64 = (vector_episodes(num_envs, 40) for num_envs in (1, 7, 64))
    assert with_1 == with_7 == with_64


def test_the_single_environment_has_the_same_episodes() -> None:
    env = FusionSessionEnv(toy_dynamics())
    batched = vector_episodes(7, 5)
    env.reset(seed=11)
    for number in range(5):
        rewards, done = [], False
        while not done:
            _, reward, terminated, truncated, _ = env.step(np.full(8, 0.3, np.float32))
            rewards.append(reward)
            done = terminated or truncated
        assert rewards == batched[number]
        env.reset()


def test_same_step_autoreset_reports_the_final_observation() -> None:
    env = FusionSessionVectorEnv(toy_dynamics(hazard=0.5), 16)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    observation, _, terminated, truncated, infos = env.step(np.zeros((16, 8), np.float32))
    done = terminated | truncated
    assert 0 < done.sum() < 16
    np.testing.assert_array_equal(infos["_final_obs"], done)
    first = env.dynamics.layout.block("session").start
    for row in range(16):
        if done[row]:
            assert infos["final_obs"][row][first] == pytest.approx(np.log(2.0))
            assert observation[row, first] == 0.0
            assert infos["final_info"]["depth"][row] == 1
        else:
            assert infos["final_obs"][row] is None
            assert observation[row, first] == pytest.approx(np.log(2.0))


def test_the_reward_is_the_weighted_sum_of_the_infos() -> None:
    env = FusionSessionVectorEnv(toy_dynamics(task="follow"), 32)
    env.reset(seed=2)
    for _ in range(5):
        _, reward, _, _, infos = env.step(np.zeros((32, 8), np.float32))
        np.testing.assert_allclose(5.0 * infos["follow"] + infos["watch_seconds"] / 60.0, reward)


def test_the_seed_determines_the_first_observation() -> None:
    env = FusionSessionVectorEnv(toy_dynamics(), 8)
    seed_1, _ = env.reset(seed=1)
    seed_1_again, _ = env.reset(seed=1)
    seed_2, _ = env.reset(seed=2)
    np.testing.assert_array_equal(seed_1, seed_1_again)
    assert (seed_1 != seed_2).any()
    assert env.observation_space.contains(seed_1)


def test_steps_are_charged_to_the_budget() -> None:
    budget = RequestBudget(20)
    env = FusionSessionVectorEnv(toy_dynamics(), 8, budget)
    env.reset(seed=0)
    env.step(np.zeros((8, 8), np.float32))
    env.step(np.zeros((8, 8), np.float32))
    assert budget.used == 16
    with pytest.raises(BudgetExceededError, match=re.escape("8 more requests would exceed")):
        env.step(np.zeros((8, 8), np.float32))


def test_a_step_after_the_end_of_an_episode_is_refused() -> None:
    env = FusionSessionEnv(toy_dynamics(hazard=1.0))
    env.reset(seed=0)
    assert env.step(np.zeros(8, np.float32))[2]
    with pytest.raises(ConfigError, match=re.escape("the episode has ended; call reset()")):
        env.step(np.zeros(8, np.float32))
    env.reset()
    env.step(np.zeros(8, np.float32))


def test_invalid_actions_and_resets_are_refused() -> None:
    env = FusionSessionVectorEnv(toy_dynamics(), 2)
    with pytest.raises(ConfigError, match=re.escape("call reset() before step()")):
        env.step(np.zeros((2, 8), np.float32))
    env.reset(seed=0)
    with pytest.raises(ShapeError, match=re.escape("action must have shape (2, 8), got (8,)")):
        env.step(np.zeros(8, np.float32))
    with pytest.raises(ShapeError, match=re.escape("action must be finite, got NaN")):
        env.step(np.full((2, 8), np.nan, np.float32))
    with pytest.raises(ConfigError, match=re.escape("num_envs must be at least 1, got 0")):
        FusionSessionVectorEnv(toy_dynamics(), 0)
    with pytest.raises(ConfigError, match=re.escape("one seed for all environments")):
        env.reset(seed=[1, 2])


def test_gymnasium_records_episode_statistics_of_the_batch() -> None:
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        FusionSessionVectorEnv(toy_dynamics(hazard=0.9), 4)
    )
    env.reset(seed=0)
    for _ in range(20):
        _, _, terminated, truncated, infos = env.step(np.zeros((4, 8), np.float32))
        done = terminated | truncated
        if done.any():
            break
    np.testing.assert_array_equal(infos["_episode"], done)
    np.testing.assert_array_equal(infos["episode"]["l"][done], infos["final_info"]["depth"][done])
