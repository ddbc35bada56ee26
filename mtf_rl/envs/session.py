"""Gymnasium's faces of a session: `FusionSession-v0`, batched and single."""

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray, replace_rows
from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.core.tasks import FEEDBACKS
from mtf_rl.envs.budget import RequestBudget
from mtf_rl.envs.dynamics import Outcome, SessionDynamics, SessionState
from mtf_rl.envs.observation import OBSERVATION_BOUND

__all__ = ["FusionSessionEnv", "FusionSessionVectorEnv", "session_spaces"]

_LARGEST_SEED = 2**31


def session_spaces(
    dynamics: SessionDynamics,
) -> tuple[gymnasium.Space[FloatArray], gymnasium.Space[FloatArray]]:
    """Observation and action space of one session."""
    observation = gymnasium.spaces.Box(
        -OBSERVATION_BOUND, OBSERVATION_BOUND, (dynamics.layout.size,), np.float32
    )
    action = gymnasium.spaces.Box(-1.0, 1.0, (dynamics.num_parameters,), np.float32)
    # A float32 box's points are float arrays; its own type says "floating or integer".
    return cast("gymnasium.Space[FloatArray]", observation), cast(
        "gymnasium.Space[FloatArray]", action
    )


def outcome_info(outcome: Outcome) -> dict[str, NDArray[Any]]:
    """What happened at a request, each entry with a leading `num_envs` axis."""
    info: dict[str, NDArray[Any]] = {
        "user": outcome.slate.users,
        "videos": outcome.slate.videos,
        "weights": outcome.parameters,
        "watch_seconds": outcome.response.watch_seconds.sum(axis=1, dtype=np.float64),
    }
    counts = outcome.response.feedback.sum(axis=1, dtype=np.float64)  # (num_envs, 7)
    for column, task in enumerate(FEEDBACKS):
        info[task.name] = counts[:, column]
    return info


class FusionSessionVectorEnv(VectorEnv[FloatArray, FloatArray, NDArray[Any]]):
    """Many sessions at once, natively batched, with SAME_STEP autoreset.

    `reset(seed)` gives environment i episode i; one that ends takes the next unused episode
    number, ties by index. See `FusionSessionEnv` for what a session is.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self, dynamics: SessionDynamics, num_envs: int, budget: RequestBudget | None = None
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        self.dynamics = dynamics
        self.num_envs = num_envs
        self.budget = budget or RequestBudget()
        self.single_observation_space, self.single_action_space = session_spaces(dynamics)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: SessionState | None = None
        self._luck_seed = 0
        self._next_episode = 0

    @override
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        if isinstance(seed, list):
            raise ConfigError("reset takes one seed for all environments, got a list")
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._luck_seed = _luck_seed(seed, self.np_random)
            self._next_episode = 0
        self._state = self.dynamics.start(self._luck_seed, self._take_episodes(self.num_envs))
        return self.dynamics.observe(self._state), {}

    @override
    def step(
        self, actions: FloatArray
    ) -> tuple[FloatArray, FloatArray, NDArray[Any], NDArray[Any], dict[str, Any]]:
        state = _started(self._state)
        parameters = self.dynamics.action_map.to_parameters(
            _checked(actions, (self.num_envs, self.dynamics.num_parameters))
        )
        self.budget.spend(self.num_envs)
        state, outcome = self.dynamics.advance(state, parameters, self._luck_seed)
        infos: dict[str, Any] = _masked(outcome_info(outcome), self.num_envs)
        done = outcome.terminated | outcome.truncated
        observation = self.dynamics.observe(state)
        if done.any():
            rows = np.flatnonzero(done)
            infos |= _final_infos(observation, infos, state, done)
            fresh = self.dynamics.start(self._luck_seed, self._take_episodes(len(rows)))
            state = replace_rows(state, rows, fresh)
            observation = observation.copy()
            observation[rows] = self.dynamics.observe(fresh)
        self._state = state
        return observation, outcome.reward, outcome.terminated, outcome.truncated, infos

    def _take_episodes(self, count: int) -> IntArray:
        first = self._next_episode
        self._next_episode += count
        return np.arange(first, first + count, dtype=np.int64)


class FusionSessionEnv(gymnasium.Env[FloatArray, FloatArray]):
    """One session of one user: choose fusion weights at every request.

    ## Description
    A user opens a short-video app. At each request a retrieval stage brings `candidates` videos,
    whose feedback a multi-task model has predicted. The agent's weights fuse the predictions into
    one score; the best `slate` videos are shown; the user answers each, and leaves or goes on.

    ## Action Space
    `Box(-1, 1, (num_parameters,), float32)`, turned into fusion weights by the action map: with
    `box`, into [0, 1] for a task of which more is better and [-1, 0] for hate.

    ## Observation Space
    `Box(-20, 20, (obs_dim,), float32)`: profile, session and candidate block, named entry by
    entry in `dynamics.layout`. Nothing hidden enters it.

    ## Rewards
    `engagement`: watch minutes + 1 like + 3 comments + 5 follows + 5 forwards - 5 hates, summed
    over the slate; or `watch_time`, `interaction`.

    ## Starting State
    A user drawn from those served, at an hour drawn from the log's shares, with an empty history.

    ## Episode End
    Terminated when the user leaves; truncated after `max_requests` requests.

    ## Information
    Per request: the user, the shown videos, the weights, watch seconds and the count of each
    feedback over the slate.

    ## Arguments
    `dynamics`: the session's dynamics. Through `gymnasium.make`: `run` (a run folder, or None for
    the built-in demonstration world) and `judge` (`simulator` or `world`).

    ## Version History
    v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, dynamics: SessionDynamics, budget: RequestBudget | None = None) -> None:
        self.dynamics = dynamics
        self.budget = budget or RequestBudget()
        self.observation_space, self.action_space = session_spaces(dynamics)
        self._state: SessionState | None = None
        self._luck_seed = 0
        self._next_episode = 0
        self._ended = False

    @override
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._luck_seed = _luck_seed(seed, self.np_random)
            self._next_episode = 0
        self._state = self.dynamics.start(self._luck_seed, np.array([self._next_episode]))
        self._next_episode += 1
        self._ended = False
        return self.dynamics.observe(self._state)[0], {}

    @override
    def step(self, action: FloatArray) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        state = _started(self._state)
        if self._ended:
            raise ConfigError("the session has ended; call reset() before the next step()")
        actions = _checked(action, (self.dynamics.num_parameters,))[None, :]
        self.budget.spend(1)
        self._state, outcome = self.dynamics.advance(
            state, self.dynamics.action_map.to_parameters(actions), self._luck_seed
        )
        info = {name: value[0] for name, value in outcome_info(outcome).items()}
        self._ended = bool(outcome.terminated[0] | outcome.truncated[0])
        return (
            self.dynamics.observe(self._state)[0],
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            bool(outcome.truncated[0]),
            info,
        )


def _luck_seed(seed: int | None, np_random: np.random.Generator) -> int:
    return int(np_random.integers(_LARGEST_SEED)) if seed is None else seed


def _started(state: SessionState | None) -> SessionState:
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
    """Gymnasium's form: beside every entry, under `_NAME`, for which environments it holds."""
    everyone = np.ones(num_envs, dtype=np.bool_)
    return {**info, **{f"_{name}": everyone for name in info}}


def _final_infos(
    observation: FloatArray, infos: dict[str, Any], state: SessionState, done: NDArray[np.bool_]
) -> dict[str, Any]:
    """Gymnasium's account of ended episodes: their last observation and what happened last."""
    final_observation = np.full(len(done), None, dtype=object)
    for row in np.flatnonzero(done):
        final_observation[row] = observation[row]
    last = {name: value for name, value in infos.items() if not name.startswith("_")}
    last["depth"] = state.history.requests
    final_info = {**last, **{f"_{name}": done for name in last}}
    return {
        "final_obs": final_observation,
        "_final_obs": done,
        "final_info": final_info,
        "_final_info": done,
    }
