"""Impressions: the rows of a log as arrays."""

from dataclasses import dataclass

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray

__all__ = ["Impressions"]


@dataclass(frozen=True)
class Impressions:
    """Shown videos in (user, time) order; `core.arrays.select_rows` selects rows.

    `times_ms` is Unix time, equal for the rows of a request. Days and hours are in the log's time
    zone, `LogSchema.utc_offset_hours` from UTC. Requests and sessions are numbered from 0 in row
    order.
    """

    users: IntArray  # (rows,) int32 index into the user table
    videos: IntArray  # (rows,) int32 index into the video table
    times_ms: IntArray  # (rows,) int64
    days: IntArray  # (rows,) int32, days since 1970-01-01 in the log's time zone
    hours: IntArray  # (rows,) int8, hour of the day in the log's time zone
    tabs: IntArray  # (rows,) int16, scene in which the video was shown
    feedback: IntArray  # (rows, feedbacks) integers, 0 or 1 for a binary task
    play_seconds: FloatArray  # (rows,) float32; 0 if no task is in seconds
    duration_seconds: FloatArray  # (rows,) float32; from the catalogue if missing in the log
    randomised: BoolArray  # (rows,), True for a uniformly random exposure (is_rand)
    requests: IntArray  # (rows,) int64; a request is the rows of a user with equal time_ms
    sessions: IntArray  # (rows,) int64; a user's requests without a gap above the session gap
    keys: IntArray  # (rows,) uint64, hash of the raw row, which identifies it
