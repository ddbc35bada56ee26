"""The session as pure dynamics: (state, fusion parameters) -> (state, outcome).

Nothing here knows Gymnasium. Every draw is addressed by (seed, episode, request, purpose, slot),
so an episode is the same whatever the number of environments, and two policies meet the same
users, candidates and luck.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.core.history import VisibleHistory, add_pause, advance_history, start_history
from mtf_rl.core.protocols import UserModel
from mtf_rl.core.randomness import Luck, Purpose
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import ScoreTable
from mtf_rl.envs.config import SessionConfig
from mtf_rl.envs.observation import ObservationLayout, UserProfiles, logits_of, observe
from mtf_rl.envs.rewards import REWARDS
from mtf_rl.fusion import ACTION_MAPS, best_candidates, make_formula

__all__ = ["Outcome", "SessionDynamics", "SessionState"]


@dataclass(frozen=True)
class SessionState:
    """Sessions under way, one row each."""

    episodes: IntArray  # (num_envs,) int64, the episodes' numbers
    users: IntArray  # (num_envs,) int32
    history: VisibleHistory
    hidden: Any  # the user model's state
    candidates: IntArray  # (num_envs, candidates), positions in the user's pool


@dataclass(frozen=True)
class Outcome:
    """What one request brought, one row per session."""

    parameters: FloatArray  # (num_envs, num_parameters)
    slate: Slate
    response: Response
    reward: FloatArray  # (num_envs,) float32
    terminated: BoolArray  # (num_envs,), the user left
    truncated: BoolArray  # (num_envs,), max_requests reached by a user who stays


class SessionDynamics:
    """Sessions of some users, whose candidates come from a score table and answers from a model.

    Args:
        scores: the scorers' predictions for every user's pool.
        user_model: who answers.
        catalogue: the videos' public attributes.
        profiles: what is known of each user before the session.
        users: those who are served, (any,) user indices; an episode draws one of them.
        config: candidates, slate, formula and so on.

    Raises:
        ConfigError: if there is no user, or the pool is smaller than the candidates.
    """

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
        self.config = config
        self.scores = scores
        self.user_model = user_model
        self.catalogue = catalogue
        self.users = np.asarray(users)
        self.action_map = ACTION_MAPS[config.action_map]
        self.formula = make_formula(config.formula, scores.base_rates)
        self.reward = REWARDS[config.reward]
        self.layout = ObservationLayout.of(profiles)
        self._profiles = profiles.values
        self._prepared = self.formula.prepare(scores.scores)  # (users, pool, tasks)
        self._logits = logits_of(scores.scores)  # (users, pool, tasks)
        self._hour_edges = np.cumsum(user_model.hour_shares)

    @property
    def num_parameters(self) -> int:
        """Width of an action."""
        return self.formula.num_parameters

    def start(self, seed: int, episodes: IntArray) -> SessionState:
        """The episodes of these numbers, before their first request."""
        episodes = np.asarray(episodes, dtype=np.int64)
        luck = Luck(seed, episodes, np.zeros_like(episodes))
        users = self.users[_pick(luck.uniforms(Purpose.USER, 1)[:, 0], len(self.users))]
        hours = _draw_hours(luck.uniforms(Purpose.HOUR, 2), self._hour_edges)
        return SessionState(
            episodes=episodes,
            users=users,
            history=start_history(hours, self.catalogue.num_tags),
            hidden=self.user_model.start(users, luck),
            candidates=self.draw_candidates(luck),
        )

    def observe(self, state: SessionState) -> FloatArray:
        """What a policy sees, (num_envs, obs_dim) float32."""
        logits = self._logits[state.users[:, None], state.candidates]  # (.., candidates, tasks)
        return observe(self._profiles[state.users], state.history, logits)

    def advance(
        self, state: SessionState, parameters: FloatArray, seed: int
    ) -> tuple[SessionState, Outcome]:
        """Serve one request to every session.

        Args:
            state: the sessions before the request.
            parameters: fusion parameters, (num_envs, num_parameters).
            seed: that of `start`.

        Returns:
            The sessions after the request (those that ended must not be advanced again), and
            what happened.

        Raises:
            ShapeError: if the parameters have another shape.
        """
        expected = (len(state.users), self.num_parameters)
        if parameters.shape != expected:
            raise ShapeError(
                f"parameters must have shape (num_envs, num_parameters) = {expected}, "
                f"got {parameters.shape}"
            )
        luck = Luck(seed, state.episodes, state.history.requests.astype(np.int64))
        slate = self.rank(state, parameters)
        response, hidden = self.user_model.respond(state.hidden, slate, state.history, luck)
        history = advance_history(state.history, slate, response, self.catalogue)
        terminated = self.user_model.leave(hidden, history, luck)
        pause = self.user_model.pause_seconds(hidden, history, luck)
        outcome = Outcome(
            parameters=parameters,
            slate=slate,
            response=response,
            reward=self.reward(response),
            terminated=terminated,
            truncated=~terminated & (history.requests >= self.config.max_requests),
        )
        following = Luck(seed, state.episodes, history.requests.astype(np.int64))
        state = replace(
            state,
            history=add_pause(history, pause),
            hidden=hidden,
            candidates=self.draw_candidates(following),
        )
        return state, outcome

    def keep(self, state: SessionState, rows: BoolArray | IntArray) -> SessionState:
        """The sessions in `rows` alone."""
        return select_rows(state, rows)

    def rank(self, state: SessionState, parameters: FloatArray) -> Slate:
        """The slate that these parameters make of the state's candidates."""
        rows = state.users[:, None]
        fused = self.formula.fuse(self._prepared[rows, state.candidates], parameters)
        best = best_candidates(fused, self.config.slate)
        positions = np.take_along_axis(state.candidates, best, axis=1)  # (num_envs, slate)
        return Slate(
            users=state.users,
            videos=self.scores.videos[rows, positions],
            mask=np.ones(positions.shape, dtype=np.bool_),
            tabs=self.scores.tabs[state.users],
        )

    def draw_candidates(self, luck: Luck) -> IntArray:
        """A uniformly random subset of each pool, without replacement: the smallest hashes win."""
        pool = self.scores.videos.shape[1]
        if self.config.candidates == pool:
            return np.broadcast_to(np.arange(pool), (len(luck.episodes), pool))
        ranks = luck.bits(Purpose.CANDIDATES, pool)
        drawn = np.argpartition(ranks, self.config.candidates, axis=1)
        return np.sort(drawn[:, : self.config.candidates], axis=1)


def _pick(uniforms: FloatArray, count: int) -> IntArray:
    return np.minimum((uniforms * count).astype(np.int64), count - 1)


def _draw_hours(uniforms: FloatArray, edges: FloatArray) -> FloatArray:
    hours = np.searchsorted(edges / edges[-1], uniforms[:, 0], side="right")
    return np.minimum(hours, 23) + uniforms[:, 1]
