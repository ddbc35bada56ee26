"""The environments by their ids, in the demonstration world."""

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
from mtf_rl.envs import FusionSessionEnv, FusionSessionVectorEnv
from mtf_rl.experiments.environments import demo_dynamics

ENV_ID = "mtf_rl/FusionSession-v0"


def test_make_passes_both_checkers_with_warnings_as_errors() -> None:
    env = gymnasium.make(ENV_ID)
    assert isinstance(env.unwrapped, FusionSessionEnv)
    check_env(env.unwrapped, skip_render_check=True)
    sb3_check_env(env.unwrapped, warn=True)


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
    """The rewards of each episode so far, by number, under constant actions."""
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
    # The same state does change what users do: the test would notice an observation of it.
    changed = replace(state.hidden, **{name: getattr(state.hidden, name) + 3.0 for name in floats})
    _, before = dynamics.advance(state, np.ones((16, 8), dtype=np.float32), 0)
    _, after = dynamics.advance(
        replace(state, hidden=changed), np.ones((16, 8), dtype=np.float32), 0
    )
    assert (before.response.watch_seconds != after.response.watch_seconds).any()


def test_bad_arguments_are_refused(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=re.escape("judge must be one of simulator, world, got")):
        gymnasium.make(ENV_ID, judge="truth")
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
