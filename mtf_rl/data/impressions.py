"""The rows of a log, as arrays."""

from dataclasses import dataclass

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray

__all__ = ["Impressions"]


@dataclass(frozen=True)
class Impressions:
    """Shown videos in (user, time) order; take some of them with `core.arrays.select_rows`.

    `times_ms` is Unix time, shared by the rows of one request; days and hours are those of the
    log's clock, `LogSchema.utc_offset_hours` from UTC. Requests and sessions are numbered from 0 in
    row order.
    """

    users: IntArray  # (rows,) int32 index into the user table
    videos: IntArray  # (rows,) int32 index into the video table
    times_ms: IntArray  # (rows,) int64
    days: IntArray  # (rows,) int32, days since 1970-01-01 of times_ms by the log's clock
    hours: IntArray  # (rows,) int8, hour of times_ms by the log's clock
    tabs: IntArray  # (rows,) int16, the scene in which it was shown
    feedback: IntArray  # (rows, feedbacks) of whole numbers, 0 or 1 for a binary task
    play_seconds: FloatArray  # (rows,) float32; 0 where no task is in seconds
    duration_seconds: FloatArray  # (rows,) float32, the catalogue's where the log has none
    randomised: BoolArray  # (rows,), True for a uniformly random exposure (is_rand)
    requests: IntArray  # (rows,) int64, rows of a user sharing time_ms
    sessions: IntArray  # (rows,) int64, a user's requests with no gap over the session gap
    keys: IntArray  # (rows,) uint64, a hash of the raw row: who it is, wherever it is
