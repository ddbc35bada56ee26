"""The Gymnasium environments, by id, in the demonstration world."""

import re
import subprocess
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import mtf_rl
from mtf_rl.core.errors import ConfigError, RunFolderError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.envs import (
    REWARDS,
    FusionRetentionEnv,
    FusionSessionEnv,
    FusionSessionVectorEnv,
    ToyUserModel,
)
from mtf_rl.experiments.environments import demo_dynamics
from mtf_rl.fusion import FORMULAS, maps_that_fit

ENV_ID = "mtf_rl/FusionSession-v0"
RETENTION_ID = "mtf_rl/FusionRetention-v0"
PAIRS = [(formula, name) for formula in FORMULAS for name in maps_that_fit(formula)]


@pytest.mark.parametrize("env_id", [ENV_ID, RETENTION_ID])
@pytest.mark.parametrize(("formula", "action_map"), PAIRS)
def test_make_passes_both_checkers_with_warnings_as_errors(
    env_id: str, formula: str, action_map: str
) -> None:
    # Rendering is slow and does not depend on the formula, so it is checked once.
    once = (formula, action_map) == ("log_sum", "box")
    mode = "rgb_array" if once else None
    env = gymnasium.make(env_id, formula=formula, action_map=action_map, render_mode=mode)
    expected = FusionSessionEnv if env_id == ENV_ID else FusionRetentionEnv
    assert isinstance(env.unwrapped, expected)
    check_env(env.unwrapped, skip_render_check=not once)
    sb3_check_env(env.unwrapped, warn=True, skip_render_check=not once)


@pytest.mark.parametrize("env_id", [ENV_ID, RETENTION_ID])
def test_settings_reach_the_environment(env_id: str) -> None:
    env = gymnasium.make(
        env_id, slate=3, candidates=50, max_requests=5, tasks=("click", "hate"), reward="none"
    )
    env.reset(seed=0)
    assert env.action_space.shape == (2,)
    _, reward, _, _, info = env.step(np.zeros(2, np.float32))
    assert info["videos"].shape == (3,)
    assert info["feedback"].shape == (3, 7)
    assert reward == -float(info.get("return_days", 0))


@pytest.mark.parametrize("reward", REWARDS)
def test_rewards_follow_from_the_feedback_in_infos(reward: str) -> None:
    envs = gymnasium.make_vec(RETENTION_ID, num_envs=64, reward=reward, max_requests=4)
    envs.reset(seed=0)
    worth = REWARDS[reward].on(KUAIRAND_TASKS)
    for _ in range(12):
        _, rewards, _, _, infos = envs.step(np.zeros((64, 8), np.float32))
        np.testing.assert_array_equal(infos["feedback"].sum(axis=1)[:, 2], infos["like"])
        np.testing.assert_allclose(
            infos["play_seconds"].sum(axis=1), infos["watch_seconds"], rtol=1e-5
        )
        counts = np.stack([infos[task.name] for task in KUAIRAND_TASKS.feedbacks], axis=1)
        expected = worth.watch_minute * infos["watch_seconds"] / 60 + counts @ worth.feedbacks
        np.testing.assert_allclose(rewards, expected - infos["return_days"], rtol=1e-5, atol=1e-5)


def test_a_users_own_model_responds() -> None:
    class Still(ToyUserModel):
        evaluator = "still"

    def make(catalogue: VideoCatalogue) -> ToyUserModel:
        return Still(np.ones(catalogue.num_videos), 2, 0.0)

    model = make(demo_dynamics().catalogue)
    env = gymnasium.make(ENV_ID, user_model=model, max_requests=3)
    env.reset(seed=0)
    for request in range(3):
        _, reward, terminated, truncated, info = env.step(np.zeros(8, np.float32))
        assert reward == 6.0  # six likes, and no user leaves
        assert (terminated, truncated) == (False, request == 2)
    assert info["end_reason"] == "max_requests"
    with pytest.raises(
        ConfigError, match=re.escape("lacks evaluator, hour_fractions, start, resume")
    ):
        gymnasium.make(ENV_ID, user_model=object())
    with pytest.raises(ConfigError, match=re.escape("'no_such:model' cannot be imported")):
        gymnasium.make(ENV_ID, user_model="no_such:model")


def test_make_vec_is_natively_batched() -> None:
    envs = gymnasium.make_vec(ENV_ID, num_envs=256)
    assert isinstance(envs.unwrapped, FusionSessionVectorEnv)
    observation, _ = envs.reset(seed=0)
    assert observation.shape == (256, envs.single_observation_space.shape[0])  # type: ignore[index]
    for _ in range(30):
        observation, reward, _, _, _ = envs.step(envs.action_space.sample() * 0)
    assert envs.observation_space.contains(observation)
    assert np.isfinite(reward).all()


def rewards_of(num_envs: int, steps: int) -> dict[int, list[float]]:
    """The rewards of each episode so far, by episode number, under constant actions."""
    env = FusionSessionVectorEnv(demo_dynamics(), num_envs)
    env.reset(seed=4)
    numbers, following = list(range(num_envs)), num_envs
    rewards: dict[int, list[float]] = {number: [] for number in numbers}
    for _ in range(steps):
        _, reward, terminated, truncated, _ = env.step(np.full((num_envs, 8), 0.2, np.float32))
        for row, number in enumerate(list(numbers)):
            rewards[number].append(float(reward[row]))
            if terminated[row] or truncated[row]:
                numbers[row], following = following, following + 1
                rewards[numbers[row]] = []
    return rewards


def test_episodes_of_the_world_do_not_depend_on_num_envs() -> None:
    few, many = rewards_of(7, 60), rewards_of(256, 60)
    compared = 0
    for number in range(min(len(few), len(many))):
        shared = min(len(few[number]), len(many[number]))
        assert few[number][:shared] == many[number][:shared]
        compared += shared
    assert compared > 300


def test_the_worlds_hidden_state_never_enters_the_observation() -> None:
    dynamics = demo_dynamics()
    state = dynamics.start(0, np.arange(16))
    for _ in range(3):
        state, _ = dynamics.advance(state, np.ones((16, 8), dtype=np.float32), 0)
    seen = dynamics.observe(state).tobytes()
    floats = [
        name
        for name, value in vars(state.hidden).items()
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
    ]
    assert floats, "the world should have a hidden state to change"
    for name in floats:
        changed = replace(state.hidden, **{name: getattr(state.hidden, name) + 3.0})
        assert dynamics.observe(replace(state, hidden=changed)).tobytes() == seen
    # The hidden state changes responses, so the test would detect it in an observation.
    changed = replace(state.hidden, **{name: getattr(state.hidden, name) + 3.0 for name in floats})
    _, before = dynamics.advance(state, np.ones((16, 8), dtype=np.float32), 0)
    _, after = dynamics.advance(
        replace(state, hidden=changed), np.ones((16, 8), dtype=np.float32), 0
    )
    assert (before.response.watch_seconds != after.response.watch_seconds).any()


def test_bad_arguments_are_refused(tmp_path: object) -> None:
    with pytest.raises(
        ConfigError, match=re.escape("evaluator must be one of simulator, ground_truth, got")
    ):
        gymnasium.make(ENV_ID, evaluator="truth")
    with pytest.raises(ConfigError, match=re.escape("no such setting: slat; known: candidates")):
        gymnasium.make(ENV_ID, slat=3)
    with pytest.raises(ConfigError, match=re.escape("group must be one of learn, tune, final")):
        gymnasium.make(ENV_ID, group="all")
    with pytest.raises(RunFolderError, match=re.escape("is not a run folder (no config.json")):
        gymnasium.make(ENV_ID, run=str(tmp_path))


def test_importing_and_making_the_demonstration_needs_no_torch() -> None:
    program = (
        "import sys, gymnasium, mtf_rl; assert 'torch' not in sys.modules;"
        f"gymnasium.make_vec('{ENV_ID}', num_envs=2); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert mtf_rl.__version__
