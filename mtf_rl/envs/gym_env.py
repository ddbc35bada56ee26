"""Gymnasium wrappers of fusion dynamics: batched and single environments."""

from typing import Any, Generic, TypeVar, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray, replace_rows
from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.envs.budget import RequestBudget
from mtf_rl.envs.dynamics import FusionDynamics, Outcome
from mtf_rl.envs.observation import OBSERVATION_BOUND
from mtf_rl.envs.scene import Scene

__all__ = ["RENDER_MODES", "FusionEnv", "FusionVectorEnv"]

RENDER_MODES = ("ansi", "rgb_array")
_LARGEST_SEED = 2**31

StateT = TypeVar("StateT")


class FusionVectorEnv(VectorEnv[FloatArray, FloatArray, NDArray[Any]], Generic[StateT]):
    """Batched environment with SAME_STEP autoreset.

    After `reset(seed)`, environment i plays episode i. An environment whose episode ends takes the
    next unused episode number; ties go to the smaller index. Resets are not charged to the budget.

    Args:
        dynamics: dynamics of the episodes.
        num_envs: number of environments, >= 1.
        budget: charged with every request served; None: no limit.

    Raises:
        ConfigError: if num_envs is below 1.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self,
        dynamics: FusionDynamics[StateT],
        num_envs: int,
        budget: RequestBudget | None = None,
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        self.dynamics = dynamics
        self.num_envs = num_envs
        self.budget = budget or RequestBudget()
        self.single_observation_space, self.single_action_space = _spaces(dynamics)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: StateT | None = None
        self._episode_seed = 0
        self._next_episode = 0

    @override
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        if isinstance(seed, list):
            raise ConfigError("reset must get one seed for all environments, got a list")
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._episode_seed = _episode_seed(seed, self.np_random)
            self._next_episode = 0
        self._state = self.dynamics.start(self._episode_seed, self._take_episodes(self.num_envs))
        return self.dynamics.observe(self._state), {}

    @override
    def step(
        self, actions: FloatArray
    ) -> tuple[FloatArray, FloatArray, NDArray[Any], NDArray[Any], dict[str, Any]]:
        state = _started(self._state)
        sessions = self.dynamics.sessions
        parameters = sessions.action_map.to_parameters(
            _checked(actions, (self.num_envs, sessions.action_dim))
        )
        self.budget.spend(self.num_envs)
        state, outcome = self.dynamics.advance(state, parameters, self._episode_seed)
        done = outcome.terminated | outcome.truncated
        infos: dict[str, Any] = _masked(_account(self.dynamics, outcome), self.num_envs)
        observation = self.dynamics.observe(state)
        if done.any():
            rows = np.flatnonzero(done)
            depth = self.dynamics.session(state).served
            infos |= _final_infos(observation, infos, depth, done)
            fresh = self.dynamics.start(self._episode_seed, self._take_episodes(len(rows)))
            state = replace_rows(state, rows, fresh)
            observation = observation.copy()
            observation[rows] = self.dynamics.observe(fresh)
        self._state = state
        return observation, outcome.reward, outcome.terminated, outcome.truncated, infos

    def _take_episodes(self, count: int) -> IntArray:
        first = self._next_episode
        self._next_episode += count
        return np.arange(first, first + count, dtype=np.int64)


class FusionEnv(gymnasium.Env[FloatArray, FloatArray], Generic[StateT]):
    """Single environment; see `FusionSessionEnv` and `FusionRetentionEnv` for the episodes.

    Args:
        dynamics: dynamics of the episodes.
        budget: charged with every request served; None: no limit.
        render_mode: `ansi`, `rgb_array` or None.

    Raises:
        ConfigError: if the render mode is unknown.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 2}

    def __init__(
        self,
        dynamics: FusionDynamics[StateT],
        budget: RequestBudget | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ConfigError(
                f"render_mode must be one of {', '.join(RENDER_MODES)}, got {render_mode!r}"
            )
        self.dynamics = dynamics
        self.budget = budget or RequestBudget()
        self.render_mode = render_mode
        self.observation_space, self.action_space = _spaces(dynamics)
        self._state: StateT | None = None
        self._scene: Scene | None = None
        self._episode_seed = 0
        self._next_episode = 0
        self._ended = False

    @override
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._episode_seed = _episode_seed(seed, self.np_random)
            self._next_episode = 0
        self._state = self.dynamics.start(self._episode_seed, np.array([self._next_episode]))
        self._next_episode += 1
        self._ended = False
        self._scene = Scene(self.dynamics.sessions, self.dynamics.session(self._state))
        return self.dynamics.observe(self._state)[0], {}

    @override
    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        state = _started(self._state)
        if self._ended:
            raise ConfigError("the episode has ended; call reset() before the next step()")
        sessions = self.dynamics.sessions
        actions = _checked(action, (sessions.action_dim,))[None, :]
        self.budget.spend(1)
        parameters = sessions.action_map.to_parameters(actions)
        self._state, outcome = self.dynamics.advance(state, parameters, self._episode_seed)
        info = {name: value[0] for name, value in _account(self.dynamics, outcome).items()}
        self._ended = bool(outcome.terminated[0] | outcome.truncated[0])
        if self.render_mode is not None and self._scene is not None:
            self._scene = self._scene.after(
                self.dynamics.session(state), outcome, str(info["end_reason"])
            )
        return (
            self.dynamics.observe(self._state)[0],
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            info,
        )

    @override
    def render(self) -> Any:
        if self.render_mode is None:
            return None
        if self._scene is None:
            raise ConfigError("call reset() before render()")
        return self._scene.text() if self.render_mode == "ansi" else self._scene.picture()


def _spaces(
    dynamics: FusionDynamics[Any],
) -> tuple[gymnasium.Space[FloatArray], gymnasium.Space[FloatArray]]:
    """Observation and action space of one episode."""
    observation = gymnasium.spaces.Box(
        -OBSERVATION_BOUND, OBSERVATION_BOUND, (dynamics.layout.size,), np.float32
    )
    action = gymnasium.spaces.Box(-1.0, 1.0, (dynamics.sessions.action_dim,), np.float32)
    # Points of a float32 Box are float arrays, but its declared type is "floating or integer".
    return cast("gymnasium.Space[FloatArray]", observation), cast(
        "gymnasium.Space[FloatArray]", action
    )


def _account(dynamics: FusionDynamics[Any], outcome: Outcome) -> dict[str, NDArray[Any]]:
    """The info entries of an outcome, with `end_reason`: empty while an episode continues."""
    terminated, truncated = dynamics.end_reasons
    reasons = np.where(outcome.terminated, terminated, np.where(outcome.truncated, truncated, ""))
    return outcome.account(dynamics.sessions.tasks) | {"end_reason": reasons}


def _episode_seed(seed: int | None, np_random: np.random.Generator) -> int:
    return int(np_random.integers(_LARGEST_SEED)) if seed is None else seed


def _started(state: StateT | None) -> StateT:
    if state is None:
        raise ConfigError("call reset() before step()")
    return state


def _checked(action: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    action = np.asarray(action)
    if action.shape != shape:
        raise ShapeError(f"action must have shape {shape}, got {action.shape}")
    if not np.isfinite(action).all():
        raise ShapeError("action must be finite, got NaN or infinity")
    return np.clip(action, -1.0, 1.0)


def _masked(info: dict[str, NDArray[Any]], num_envs: int) -> dict[str, Any]:
    """Add Gymnasium's masks: `_NAME` states for which environments the entry `NAME` is valid."""
    all_envs = np.ones(num_envs, dtype=np.bool_)
    return {**info, **{f"_{name}": all_envs for name in info}}


def _final_infos(
    observation: FloatArray, infos: dict[str, Any], depth: IntArray, done: NDArray[np.bool_]
) -> dict[str, Any]:
    """Gymnasium's `final_obs` and `final_info` of ended episodes."""
    final_observation = np.full(len(done), None, dtype=object)
    for row in np.flatnonzero(done):
        final_observation[row] = observation[row]
    last = {name: value for name, value in infos.items() if not name.startswith("_")}
    last["depth"] = depth
    final_info = {**last, **{f"_{name}": done for name in last}}
    return {
        "final_obs": final_observation,
        "_final_obs": done,
        "final_info": final_info,
        "_final_info": done,
    }
