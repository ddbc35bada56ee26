"""Observation vector of a request.

It has the information available to a production system: the user's profile, the visible history of
the session and the candidates' predictions. The user model's state is excluded.
"""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.data.profile_scale import ProfileScale
from mtf_rl.envs.summaries import OBSERVATION_BOUND, STATISTICS, logits_of

__all__ = [
    "OBSERVATION_BOUND",
    "ObservationLayout",
    "UserProfiles",
    "logits_of",
    "observe",
    "session_block",
    "session_names",
]

_BLOCKS = ("profile", "session", "candidates", "visits")


@dataclass(frozen=True)
class UserProfiles:
    """Features of each user before the session starts.

    Raises:
        ShapeError: if the number of names differs from the number of columns.
    """

    values: FloatArray  # (users, profile) float32, about unit scale
    names: tuple[str, ...]  # names of the columns
    scale: ProfileScale | None = None
    """Constants that convert raw counts to these features; None: not available."""

    def __post_init__(self) -> None:
        check_shape("profiles", self.values, "users, profile", (len(self.values), len(self.names)))


@dataclass(frozen=True)
class ObservationLayout:
    """Names and positions of the entries of an observation, by block."""

    profile: tuple[str, ...]
    session: tuple[str, ...]
    candidates: tuple[str, ...]
    visits: tuple[str, ...] = ()
    """Features of earlier sessions; empty if an episode has a single session."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every entry, in order."""
        return tuple(name for block in _BLOCKS for name in getattr(self, block))

    @property
    def size(self) -> int:
        """`obs_dim`."""
        return len(self.names)

    def block(self, name: str) -> slice:
        """Positions of the block `profile`, `session`, `candidates` or `visits`.

        Raises:
            KeyError: if there is no such block.
        """
        start = 0
        for block in _BLOCKS:
            stop = start + len(getattr(self, block))
            if block == name:
                return slice(start, stop)
            start = stop
        raise KeyError(name)

    @staticmethod
    def of(
        profiles: UserProfiles, tasks: TaskSet, log_tasks: TaskSet = KUAIRAND_TASKS
    ) -> "ObservationLayout":
        """The layout of the observations computed by `observe`.

        Args:
            profiles: features of each user.
            tasks: the fused tasks; their predictions are summarised.
            log_tasks: all tasks of the dataset; their feedback is in the session's history.
        """
        statistics = [f"{part}/{task}" for part in STATISTICS for task in tasks.names]
        return ObservationLayout(
            profile=tuple(f"profile/{name}" for name in profiles.names),
            session=session_names(log_tasks),
            candidates=tuple(f"candidates/{name}" for name in statistics),
        )


def session_names(tasks: TaskSet = KUAIRAND_TASKS) -> tuple[str, ...]:
    """Names of the entries of `session_block` for a log with these tasks, in order."""
    kinds = ("last", "fast", "slow")
    averages = [f"{kind}/{signal}" for kind in kinds for signal in tasks.signal_names]
    return tuple(f"session/{name}" for name in (*_CLOCK_NAMES, *averages))


_CLOCK_NAMES = (
    "log_requests",
    "log_elapsed_minutes",
    "log_watch_minutes",
    "hour_sine",
    "hour_cosine",
    "repetition",
)


def observe(profiles: FloatArray, history: VisibleHistory, statistics: FloatArray) -> FloatArray:
    """The observation of each user, (num_envs, obs_dim) float32, finite and bounded.

    Args:
        profiles: the users' profile rows, (num_envs, profile).
        history: the session so far.
        statistics: `PoolPredictions.statistics` of the candidates, (num_envs, 3 * tasks).
    """
    blocks = [profiles, session_block(history), statistics]
    observation = np.concatenate(blocks, axis=1).astype(np.float32)
    return np.clip(observation, -OBSERVATION_BOUND, OBSERVATION_BOUND)


def session_block(history: VisibleHistory) -> FloatArray:
    """Features of the session so far, (num_envs, session); `session_names` lists their names."""
    angle = history.hours * (2.0 * np.pi / 24.0)
    clock = [
        np.log1p(history.requests),
        np.log1p(history.elapsed_seconds / 60.0),
        np.log1p(history.watch_seconds / 60.0),
        np.sin(angle),
        np.cos(angle),
        history.repetition,
    ]
    averages = [history.last, history.fast, history.slow]  # each (num_envs, signals)
    return np.concatenate([np.stack(clock, axis=1), *averages], axis=1)
