"""Grouping of log rows into requests and sessions, and days and hours of times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import IntArray
from mtf_rl.core.log_schema import KUAIRAND_LOG

__all__ = ["days_of", "hours_of", "number_requests", "number_sessions", "start_of_day_ms"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def days_of(
    times_ms: NDArray[Any], utc_offset_hours: float = KUAIRAND_LOG.utc_offset_hours
) -> IntArray:
    """Days since 1970-01-01 of Unix times in ms, in the time zone of the UTC offset: int32."""
    return ((times_ms + _offset_ms(utc_offset_hours)) // _DAY_MS).astype(np.int32)


def hours_of(
    times_ms: NDArray[Any], utc_offset_hours: float = KUAIRAND_LOG.utc_offset_hours
) -> IntArray:
    """Hour of the day, 0 to 23, of Unix times in ms, in the time zone of the UTC offset: int8."""
    return ((times_ms + _offset_ms(utc_offset_hours)) % _DAY_MS // _HOUR_MS).astype(np.int8)


def start_of_day_ms(day: int, utc_offset_hours: float = KUAIRAND_LOG.utc_offset_hours) -> int:
    """The Unix time in ms at which a day, as numbered by `days_of`, begins."""
    return day * _DAY_MS - _offset_ms(utc_offset_hours)


def _offset_ms(utc_offset_hours: float) -> int:
    return round(utc_offset_hours * _HOUR_MS)


def number_requests(users: IntArray, times_ms: IntArray) -> IntArray:
    """Request numbers of rows in (user, time) order, (rows,) int64 from 0.

    A request is the rows of a user with equal `times_ms`.
    """
    return _number(_changes(users) | _changes(times_ms))


def number_sessions(users: IntArray, times_ms: IntArray, gap_minutes: float) -> IntArray:
    """Session numbers of rows in (user, time) order, (rows,) int64 from 0.

    A gap of more than `gap_minutes` starts a new session; a gap of exactly `gap_minutes` does not.
    """
    pauses = np.diff(times_ms, prepend=times_ms[:1])
    return _number(_changes(users) | (pauses > gap_minutes * 60_000))


def _changes(values: IntArray) -> NDArray[np.bool_]:
    """Whether each value differs from the previous value; False for the first."""
    changes = np.zeros(len(values), dtype=np.bool_)
    changes[1:] = values[1:] != values[:-1]
    return changes


def _number(starts: NDArray[np.bool_]) -> IntArray:
    return np.cumsum(starts, dtype=np.int64)
