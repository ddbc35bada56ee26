"""Retention dynamics: an episode is several sessions of one user, with days between them."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, replace_rows, select_rows
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.tasks import TaskSet
from mtf_rl.envs.config import RetentionConfig
from mtf_rl.envs.dynamics import FusionDynamics, Outcome, SessionDynamics, SessionState

__all__ = ["RetentionDynamics", "RetentionOutcome", "RetentionState"]

_VISITS = ("log_sessions", "log_days_away", "log_last_requests", "log_last_watch_minutes")
_DAY_SECONDS, _HOUR_SECONDS = 86_400.0, 3600.0
_MIN_AWAY_SECONDS = 1800.0  # a shorter pause would not end a session


@dataclass(frozen=True)
class RetentionState:
    """Episodes in progress, one row per user."""

    current: SessionState
    visits: IntArray  # (num_envs,) int64, completed sessions
    days_away: IntArray  # (num_envs,) int64, before the current session; 0 in the first session
    last_requests: IntArray  # (num_envs,) int64, of the previous session; 0 in the first session
    last_watch_seconds: FloatArray  # (num_envs,) float32, of the previous session

    @property
    def users(self) -> IntArray:
        """User indices, (num_envs,)."""
        return self.current.users


@dataclass(frozen=True)
class RetentionOutcome(Outcome):
    """The result of one request; `terminated` and `truncated` refer to the whole episode."""

    session_ended: BoolArray  # (num_envs,)
    return_days: IntArray  # (num_envs,), days to the next active day if a session ended, else 0

    @override
    def account(self, tasks: TaskSet) -> dict[str, NDArray[Any]]:
        return super().account(tasks) | {
            "session_ended": self.session_ended,
            "return_days": self.return_days,
        }


class RetentionDynamics(FusionDynamics[RetentionState]):
    """Dynamics of episodes with several sessions, one per active day of the user.

    When a session ends, by leaving or at `max_requests`, the user model samples the days to the
    user's next active day. The next session starts at a new random hour, with the user model's
    state from `UserModel.resume`.

    Args:
        sessions: dynamics of a session.
        config: number of sessions and cost of absence.
    """

    end_reasons = ("lost", "max_sessions")

    def __init__(self, sessions: SessionDynamics, config: RetentionConfig | None = None) -> None:
        self._sessions = sessions
        self.config = config or RetentionConfig()
        names = tuple(f"visits/{name}" for name in _VISITS)
        self.layout = replace(sessions.layout, visits=names)

    @property
    @override
    def sessions(self) -> SessionDynamics:
        return self._sessions

    @override
    def start(self, seed: int, episodes: IntArray) -> RetentionState:
        current = self._sessions.start(seed, episodes)
        zeros = np.zeros(len(current.users), dtype=np.int64)
        return RetentionState(current, zeros, zeros, zeros, np.zeros(len(zeros), dtype=np.float32))

    @override
    def observe(self, state: RetentionState) -> FloatArray:
        visits = (state.visits, state.days_away, state.last_requests, state.last_watch_seconds / 60)
        block = np.log1p(np.stack(visits, axis=1)).astype(np.float32)  # (num_envs, 4)
        return np.concatenate([self._sessions.observe(state.current), block], axis=1)

    @override
    def advance(
        self, state: RetentionState, parameters: FloatArray, seed: int
    ) -> tuple[RetentionState, RetentionOutcome]:
        served, outcome = self._sessions.step_users(state.current, parameters, seed)
        ended = outcome.terminated | outcome.truncated
        days = np.zeros(len(ended), dtype=np.int64)
        if ended.any():
            rng = EpisodeRng(seed, served.episodes, served.served)
            model = self._sessions.user_model
            days[ended] = model.return_days(served.hidden, served.history, rng)[ended]
        visits = state.visits + ended
        lost = days > self.config.lost_after_days
        cost = np.float32(self.config.return_cost) * days
        values = {field.name: getattr(outcome, field.name) for field in fields(Outcome)}
        values |= {
            "reward": (outcome.reward - cost).astype(np.float32),
            "terminated": lost,
            "truncated": ended & ~lost & (visits >= self.config.max_sessions),
        }
        after = RetentionState(
            current=self._next(served, ended, days, seed),
            visits=visits,
            days_away=np.where(ended, days, state.days_away),
            last_requests=np.where(ended, served.history.requests, state.last_requests),
            last_watch_seconds=np.where(
                ended, served.history.watch_seconds, state.last_watch_seconds
            ),
        )
        return after, RetentionOutcome(**values, session_ended=ended, return_days=days)

    def _next(
        self, served: SessionState, ended: BoolArray, days: IntArray, seed: int
    ) -> SessionState:
        """The sessions at their next request; ended sessions are replaced by new ones."""
        following = self._sessions.next_request(served, seed)
        rows = np.flatnonzero(ended)
        if len(rows) == 0:
            return following
        fresh = select_rows(following, rows)
        rng = EpisodeRng(seed, fresh.episodes, fresh.served)
        hours = self._sessions.draw_hours(rng)  # (ended,)
        later = (hours - served.history.hours[rows]) * _HOUR_SECONDS
        away = np.maximum(days[rows] * _DAY_SECONDS + later, _MIN_AWAY_SECONDS)
        fresh = replace(
            fresh,
            history=self._sessions.start_history(hours),
            hidden=self._sessions.user_model.resume(fresh.hidden, away),
        )
        return replace_rows(following, rows, fresh)

    @override
    def select(self, state: RetentionState, rows: BoolArray | IntArray) -> RetentionState:
        return select_rows(state, rows)

    @override
    def session(self, state: RetentionState) -> SessionState:
        return state.current
