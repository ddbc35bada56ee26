"""Logs of a synthetic world's rankers, with responses from any user model."""

import math
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np

from mtf_rl.core.protocols import UserModel
from mtf_rl.core.randomness import hash_words
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.sessions import (
    days_of,
    hours_of,
    number_requests,
    number_sessions,
    start_of_day_ms,
)
from mtf_rl.user_models import World
from mtf_rl.user_models.world.kuairand_layout import FIRST_DAY
from mtf_rl.user_models.world.rankers import LoggingRanker
from mtf_rl.user_models.world.simulate_logs import LoggedRows, roll

__all__ = ["roll_log"]

_CHUNK_USER_DAYS = 3000
_FIRST_MS = start_of_day_ms((FIRST_DAY - date(1970, 1, 1)).days)


def roll_log(
    world: World,
    rankers: tuple[LoggingRanker, ...],
    *,
    answers: UserModel[Any],
    rng: int,
    since_ms: int,
    session_gap_minutes: float,
    on_users: Callable[[int], None],
) -> Impressions:
    """Simulate the world's days with the user model `answers`; return the rows from `since_ms` on.

    The world provides everything except the responses: retrieval, rankers, scenes, request sizes,
    and the times at which users open the app on an active day. Memory use is one chunk of users
    plus the result.

    Args:
        world: provides retrieval and the visits of users.
        rankers: the rankers of the log.
        answers: user model for responses, leaving, pauses and returns.
        rng: number of the random stream, at least 0; the world's own log has 0.
        since_ms: Unix time of the first row to keep, in milliseconds.
        session_gap_minutes: gap, in minutes, above which another session starts.
        on_users: called with the number of finished users.
    """
    size = max(1, math.ceil(_CHUNK_USER_DAYS / world.config.days))
    parts = []
    for first in range(0, world.config.users, size):
        users = np.arange(first, min(first + size, world.config.users))
        rows, _ = roll(world, users, world.config.days, rankers, answers=answers, rng=rng)
        kept = _read(rows, world.catalogue, since_ms)
        parts.append(kept)
        on_users(int(users[-1]) + 1)
    return _joined(parts, session_gap_minutes)


def _read(rows: LoggedRows, catalogue: VideoCatalogue, since_ms: int) -> dict[str, Any]:
    """The columns of `Impressions` except request and session numbers."""
    kept = _FIRST_MS + rows.times_ms >= since_ms
    videos, times_ms = rows.videos[kept], _FIRST_MS + rows.times_ms[kept]
    return {
        "users": rows.users[kept].astype(np.int32),
        "videos": videos.astype(np.int32),
        "times_ms": times_ms,
        "days": days_of(times_ms),
        "hours": hours_of(times_ms),
        "tabs": rows.tabs[kept].astype(np.int16),
        "feedback": rows.feedback[kept].astype(np.uint8),
        "play_seconds": (rows.play_ms[kept] / 1000.0).astype(np.float32),
        "duration_seconds": catalogue.duration_seconds[videos],
        "randomised": rows.randomised[kept],
        "keys": hash_words(rows.users[kept], times_ms, videos),
    }


def _joined(parts: list[dict[str, Any]], session_gap_minutes: float) -> Impressions:
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    users, times_ms = columns["users"], columns["times_ms"]
    return Impressions(
        **columns,
        requests=number_requests(users, times_ms),
        sessions=number_sessions(users, times_ms, session_gap_minutes),
    )
