"""Groups a log into requests and replays the visible history of each request."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.history import (
    VisibleHistory,
    add_pause,
    advance_history,
    start_history,
    tag_overlap,
)
from mtf_rl.core.log_schema import KUAIRAND_LOG, LogSchema
from mtf_rl.core.slates import Response, Slate
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data.impressions import Impressions

__all__ = [
    "NO_REQUEST",
    "LogReplay",
    "LoggedRequests",
    "first_history",
    "group_requests",
    "logged_slate",
    "replay",
    "session_chunks",
]

SESSIONS_AT_ONCE = 2048
NO_REQUEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class LoggedRequests:
    """Requests of a log in (user, time) order; a session's requests are contiguous."""

    rows: IntArray  # (requests, slate) int64 row number in the log; 0 where the mask is False
    mask: BoolArray  # (requests, slate), True where a video was shown
    users: IntArray  # (requests,)
    tabs: IntArray  # (requests,)
    times_ms: IntArray  # (requests,)
    sessions: IntArray  # (requests,) the log's session number
    steps: IntArray  # (requests,) position in the session, from 0
    next_ms: IntArray  # (requests,) time of the session's next request, or NO_REQUEST

    @property
    def gap_seconds(self) -> FloatArray:
        """Seconds to the session's next request, (requests,); 0 if there is none."""
        gap_ms = np.where(self.next_ms == NO_REQUEST, 0, self.next_ms - self.times_ms)
        return gap_ms / 1000.0


@dataclass(frozen=True)
class LogReplay:
    """The visible history before and after every logged request.

    Both histories drop `tag_exposure` (zero columns); response models only need `overlap`.
    """

    before: VisibleHistory  # (requests,) when the slate is shown
    after: VisibleHistory  # (requests,) after the response, before the pause
    overlap: FloatArray  # (requests, slate) float32, `tag_overlap` of the shown videos


def group_requests(
    impressions: Impressions, rows: BoolArray, *, max_requests: int, max_slate: int
) -> LoggedRequests:
    """Group rows of a log into requests.

    Args:
        impressions: rows of the log.
        rows: (rows,) bool, rows to group; complete sessions, or sessions cut only at their end.
        max_requests: maximum requests per session; later requests are dropped.
        max_slate: maximum videos per request; later videos are dropped.
    """
    numbers = np.flatnonzero(rows)
    _, request_starts, request_of_row = np.unique(
        impressions.requests[numbers], return_index=True, return_inverse=True
    )
    first_rows = numbers[request_starts]  # (requests,)
    sessions = impressions.sessions[first_rows]
    _, session_starts, session_of_request = np.unique(
        sessions, return_index=True, return_inverse=True
    )
    steps = np.arange(len(sessions)) - session_starts[session_of_request]
    positions = np.arange(len(numbers)) - request_starts[request_of_row]  # (rows,)
    slate = min(int(positions.max(initial=0)) + 1, max_slate)
    shown = positions < slate
    slate_rows = np.zeros((len(sessions), slate), dtype=np.int64)
    mask = np.zeros((len(sessions), slate), dtype=np.bool_)
    slate_rows[request_of_row[shown], positions[shown]] = numbers[shown]
    mask[request_of_row[shown], positions[shown]] = True
    times_ms = impressions.times_ms[first_rows]
    ends = np.append(sessions[1:] != sessions[:-1], np.ones(min(len(sessions), 1), dtype=np.bool_))
    requests = LoggedRequests(
        rows=slate_rows,
        mask=mask,
        users=impressions.users[first_rows],
        tabs=impressions.tabs[first_rows],
        times_ms=times_ms,
        sessions=sessions,
        steps=steps,
        next_ms=np.where(ends, NO_REQUEST, np.roll(times_ms, -1)),
    )
    return select_rows(requests, np.flatnonzero(steps < max_requests))


def logged_slate(impressions: Impressions, requests: LoggedRequests) -> tuple[Slate, Response]:
    """The slates and responses of logged requests."""
    shown = requests.mask
    slate = Slate(
        users=requests.users,
        videos=np.where(shown, impressions.videos[requests.rows], 0),
        mask=shown,
        tabs=requests.tabs,
        ranked=~impressions.randomised[requests.rows[:, 0]],
    )
    response = Response(
        feedback=(impressions.feedback[requests.rows] * shown[..., None]).astype(np.float32),
        watch_seconds=(impressions.play_seconds[requests.rows] * shown).astype(np.float32),
    )
    return slate, response


def replay(
    impressions: Impressions,
    requests: LoggedRequests,
    catalogue: VideoCatalogue,
    schema: LogSchema = KUAIRAND_LOG,
) -> LogReplay:
    """Compute the histories of all requests, stepping through sessions as the simulator does."""
    before = _blank_history(len(requests.users), schema)
    after = _blank_history(len(requests.users), schema)
    overlap = np.zeros(requests.mask.shape, dtype=np.float32)
    for chosen in session_chunks(requests):
        history = first_history(requests, chosen[0], catalogue.num_tags, schema)
        for index in chosen:
            history = select_rows(history, np.arange(len(index)))
            slate, response = logged_slate(impressions, select_rows(requests, index))
            _write(before, index, history)
            overlap[index] = tag_overlap(history, slate.videos, catalogue) * slate.mask
            history = advance_history(history, slate, response, catalogue)
            _write(after, index, history)
            history = add_pause(history, requests.gap_seconds[index])
    return LogReplay(before, after, overlap)


def session_chunks(requests: LoggedRequests) -> Iterator[list[IntArray]]:
    """Yield chunks of sessions, longest first, as one array of request numbers per step.

    Sessions that reach step t come first among those that reach step t - 1.
    """
    starts = np.flatnonzero(requests.steps == 0)
    lengths = np.diff(np.append(starts, len(requests.steps)))
    order = np.argsort(-lengths, kind="stable")
    for first in range(0, len(order), SESSIONS_AT_ONCE):
        chunk = order[first : first + SESSIONS_AT_ONCE]
        longest = int(lengths[chunk[0]])
        yield [starts[chunk[lengths[chunk] > step]] + step for step in range(longest)]


def first_history(
    requests: LoggedRequests, index: IntArray, num_tags: int, schema: LogSchema = KUAIRAND_LOG
) -> VisibleHistory:
    """The empty history of sessions whose first requests are `index` (num_envs,)."""
    hours = (requests.times_ms[index] / 3_600_000.0 + schema.utc_offset_hours) % 24.0
    return start_history(hours, num_tags, schema.tasks)


def _blank_history(requests: int, schema: LogSchema) -> VisibleHistory:
    return start_history(np.zeros(requests), num_tags=0, tasks=schema.tasks)


def _write(target: VisibleHistory, index: IntArray, history: VisibleHistory) -> None:
    """Copy the rows of `history` into `target`, except tag exposures."""
    for field in fields(VisibleHistory):
        if field.name != "tag_exposure":
            getattr(target, field.name)[index] = getattr(history, field.name)
