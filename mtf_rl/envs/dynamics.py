"""Session dynamics as pure functions: (state, fusion parameters) -> (state, outcome).

This module does not depend on Gymnasium. Each draw is a function of (seed, episode, request,
purpose, slot). So an episode does not depend on the number of environments, and two policies get
the same users, candidates and random numbers.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape, select_rows
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.history import VisibleHistory, add_pause, advance_history, start_history
from mtf_rl.core.protocols import UserModel
from mtf_rl.core.randomness import EpisodeRng, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.tasks import TaskSet
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import ScoreTable
from mtf_rl.envs.candidates import PoolPredictions, draw_candidates, rows_of
from mtf_rl.envs.config import SessionConfig
from mtf_rl.envs.observation import ObservationLayout, UserProfiles, logits_of, observe
from mtf_rl.envs.rewards import RewardInputs, reward_named
from mtf_rl.fusion import best_candidates

__all__ = ["FusionDynamics", "Outcome", "SessionDynamics", "SessionState"]

StateT = TypeVar("StateT")


@dataclass(frozen=True)
class SessionState:
    """Sessions in progress, one row each."""

    episodes: IntArray  # (num_envs,) int64, episode numbers
    served: IntArray  # (num_envs,) int64, requests of the episode so far; address of the draws
    users: IntArray  # (num_envs,) int32
    history: VisibleHistory
    hidden: Any  # state of the user model
    candidates: IntArray  # (num_envs, candidates), positions in the user's pool


@dataclass(frozen=True)
class Outcome:
    """The result of one request, one row per session."""

    parameters: FloatArray  # (num_envs, action_dim)
    slate: Slate
    response: Response
    reward: FloatArray  # (num_envs,) float32
    terminated: BoolArray  # (num_envs,), the user left
    truncated: BoolArray  # (num_envs,), the user stays, but max_requests is reached

    def account(self, tasks: TaskSet) -> dict[str, NDArray[Any]]:
        """Gymnasium's info entries, each with leading axis `num_envs`; `tasks` are the log's."""
        feedback = self.response.feedback
        counts = feedback.sum(axis=1, dtype=np.float64)  # (num_envs, feedbacks)
        return {
            "user": self.slate.users,
            "videos": self.slate.videos,
            "parameters": self.parameters,
            "feedback": feedback,
            "play_seconds": self.response.watch_seconds,
            "watch_seconds": self.response.watch_seconds.sum(axis=1, dtype=np.float64),
            **{name: counts[:, column] for column, name in enumerate(tasks.feedback_names)},
        }


class FusionDynamics(Protocol[StateT]):
    """Interface of episode dynamics, used by rollouts and the Gymnasium wrappers."""

    layout: ObservationLayout
    end_reasons: tuple[str, str]
    """The reason reported for a terminated episode, and the one for a truncated episode."""

    @property
    def sessions(self) -> "SessionDynamics":
        """The dynamics of a single session."""
        ...

    def start(self, seed: int, episodes: IntArray) -> StateT:
        """The episodes with these numbers (num_envs,) before their first request."""
        ...

    def observe(self, state: StateT) -> FloatArray:
        """The observation of a policy, (num_envs, obs_dim) float32."""
        ...

    def advance(self, state: StateT, parameters: FloatArray, seed: int) -> tuple[StateT, "Outcome"]:
        """Serve one request to every episode; do not advance an ended episode again."""
        ...

    def select(self, state: StateT, rows: BoolArray | IntArray) -> StateT:
        """Select the episodes in `rows`."""
        ...

    def session(self, state: StateT) -> SessionState:
        """The current session of each episode."""
        ...


class SessionDynamics(FusionDynamics[SessionState]):
    """Dynamics of sessions, with candidates from a score table and feedback from a user model.

    Args:
        scores: the scorers' predictions for every user's pool.
        user_model: model of feedback, leaving and return.
        catalogue: attributes of the videos.
        profiles: features of each user before the session.
        users: indices of the users to serve, (number of users,); each episode draws one of them.
        config: candidates, slate, fusion and reward.

    Raises:
        ConfigError: if there is no user, the pool is smaller than the candidates, the user model
            has other tasks than the scores, or a custom reward cannot be imported.
    """

    end_reasons = ("left", "max_requests")

    def __init__(
        self,
        *,
        scores: ScoreTable,
        user_model: UserModel[Any],
        catalogue: VideoCatalogue,
        profiles: UserProfiles,
        users: IntArray,
        config: SessionConfig,
    ) -> None:
        if len(users) == 0:
            raise ConfigError("an environment needs at least one user, got none")
        if config.candidates > scores.videos.shape[1]:
            raise ConfigError(
                f"candidates must be at most the pool of {scores.videos.shape[1]}, "
                f"got {config.candidates}"
            )
        self.config = config = replace(config, fusion=config.fusion.on_tasks(scores.tasks))
        self.scores = scores
        self.user_model = user_model
        self.catalogue = catalogue
        self.users = np.asarray(users)
        model_tasks = getattr(user_model, "tasks", scores.tasks)
        if model_tasks != scores.tasks:
            raise ConfigError(
                f"the user model has the tasks {', '.join(model_tasks.names)}, but the scores have"
                f" {', '.join(scores.tasks.names)}. Make both from the same dataset."
            )
        fused = config.fusion.task_set
        self.formula = config.fusion.make_formula(scores.base_rates)
        self.action_map = config.fusion.make_action_map(self.formula)
        self.reward = reward_named(config.reward, scores.tasks)
        self.layout = ObservationLayout.of(profiles, fused, scores.tasks)
        self.profiles = profiles
        self._prepared = self.formula.prepare(scores.scores)  # (users, pool, tasks)
        self._predictions = PoolPredictions.of(logits_of(fused.of_scores(scores.scores)))
        self._hour_edges = np.cumsum(user_model.hour_fractions)

    def answered_by(self, user_model: UserModel[Any]) -> "SessionDynamics":
        """The same dynamics with another user model."""
        return SessionDynamics(
            scores=self.scores,
            user_model=user_model,
            catalogue=self.catalogue,
            profiles=self.profiles,
            users=self.users,
            config=self.config,
        )

    @property
    @override
    def sessions(self) -> "SessionDynamics":
        return self

    @property
    def action_dim(self) -> int:
        """Number of components of an action."""
        return len(self.formula.parameter_names)

    @override
    def start(self, seed: int, episodes: IntArray) -> SessionState:
        episodes = np.asarray(episodes, dtype=np.int64)
        rng = EpisodeRng(seed, episodes, np.zeros_like(episodes))
        users = self.users[_pick(rng.uniforms(Purpose.USER, 1)[:, 0], len(self.users))]
        return SessionState(
            episodes=episodes,
            served=np.zeros_like(episodes),
            users=users,
            history=self.start_history(self.draw_hours(rng)),
            hidden=self.user_model.start(users, rng),
            candidates=self.draw_candidates(rng),
        )

    @override
    def observe(self, state: SessionState) -> FloatArray:
        statistics = self._predictions.statistics(state.users, state.candidates)
        return observe(self.profiles.values[state.users], state.history, statistics)

    @override
    def advance(
        self, state: SessionState, parameters: FloatArray, seed: int
    ) -> tuple[SessionState, Outcome]:
        """Serve one request to every session.

        Args:
            state: the sessions before the request.
            parameters: fusion parameters, (num_envs, action_dim).
            seed: the seed given to `start`.

        Returns:
            The sessions after the request and the outcome. Do not advance an ended session again.

        Raises:
            ShapeError: if the parameters have another shape.
        """
        state, outcome = self.step_users(state, parameters, seed)
        return self.next_request(state, seed), outcome

    def step_users(
        self, state: SessionState, parameters: FloatArray, seed: int
    ) -> tuple[SessionState, Outcome]:
        """First half of `advance`: rank the slate, sample feedback and leaving.

        Raises:
            ShapeError: if the parameters have another shape.
        """
        expected = (len(state.users), self.action_dim)
        check_shape("parameters", parameters, "num_envs, action_dim", expected)
        rng = EpisodeRng(seed, state.episodes, state.served)
        slate = self.rank(state, parameters)
        response, hidden = self.user_model.respond(state.hidden, slate, state.history, rng)
        feedbacks = (*slate.videos.shape, len(self.tasks.feedbacks))
        check_shape("feedback", response.feedback, "num_envs, slate, feedbacks", feedbacks)
        history = advance_history(state.history, slate, response, self.catalogue)
        terminated = self.user_model.leave(hidden, history, rng)
        outcome = Outcome(
            parameters=parameters,
            slate=slate,
            response=response,
            reward=self.reward(
                RewardInputs(response, slate, state.history, self.catalogue, self.tasks)
            ),
            terminated=terminated,
            truncated=~terminated & (history.requests >= self.config.max_requests),
        )
        return replace(state, history=history, hidden=hidden), outcome

    def next_request(self, state: SessionState, seed: int) -> SessionState:
        """Second half of `advance`: sample the pause and the next request's candidates."""
        rng = EpisodeRng(seed, state.episodes, state.served)
        pause = self.user_model.pause_seconds(state.hidden, state.history, rng)
        served = state.served + 1
        return replace(
            state,
            served=served,
            history=add_pause(state.history, pause),
            candidates=self.draw_candidates(EpisodeRng(seed, state.episodes, served)),
        )

    @override
    def select(self, state: SessionState, rows: BoolArray | IntArray) -> SessionState:
        return select_rows(state, rows)

    @override
    def session(self, state: SessionState) -> SessionState:
        return state

    @property
    def tasks(self) -> TaskSet:
        """All tasks of the dataset; `formula` may fuse only some of them."""
        return self.scores.tasks

    def start_history(self, hours: FloatArray) -> VisibleHistory:
        """The empty history of sessions that start at `hours` (num_envs,)."""
        return start_history(hours, self.catalogue.num_tags, self.tasks)

    def fused(self, state: SessionState, parameters: FloatArray) -> FloatArray:
        """The ranking scores of the state's candidates, (num_envs, candidates)."""
        prepared = rows_of(self._prepared, state.users, state.candidates)
        return self.formula.fuse(prepared, parameters)

    def rank(self, state: SessionState, parameters: FloatArray) -> Slate:
        """Rank the state's candidates with these fusion parameters and return the slate."""
        best = best_candidates(self.fused(state, parameters), self.config.slate)
        positions = np.take_along_axis(state.candidates, best, axis=1)  # (num_envs, slate)
        return Slate(
            users=state.users,
            videos=self.scores.videos[state.users[:, None], positions],
            mask=np.ones(positions.shape, dtype=np.bool_),
            tabs=self.scores.tabs[state.users],
        )

    def draw_candidates(self, rng: EpisodeRng) -> IntArray:
        """Sample candidates of each pool uniformly: (num_envs, candidates) ascending positions."""
        pool = self.scores.videos.shape[1]
        return draw_candidates(rng, pool=pool, candidates=self.config.candidates)

    def draw_hours(self, rng: EpisodeRng) -> FloatArray:
        """Sample hours of the day from the user model's distribution, (num_envs,) in [0, 24)."""
        return _draw_hours(rng.uniforms(Purpose.HOUR, 2), self._hour_edges)


def _pick(uniforms: FloatArray, count: int) -> IntArray:
    return np.minimum((uniforms * count).astype(np.int64), count - 1)


def _draw_hours(uniforms: FloatArray, edges: FloatArray) -> FloatArray:
    hours = np.searchsorted(edges / edges[-1], uniforms[:, 0], side="right")
    return np.minimum(hours, 23) + uniforms[:, 1]
