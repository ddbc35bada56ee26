"""A log as sessions and requests, with the columns that its statistics need."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.log_schema import KUAIRAND_LOG, LogSchema
from mtf_rl.core.tasks import TaskSet
from mtf_rl.core.videos import NO_TAG, VideoCatalogue
from mtf_rl.data.impressions import Impressions

__all__ = ["SessionLog", "sessions_since"]


def sessions_since(impressions: Impressions, start_ms: int) -> BoolArray:
    """The rows of sessions that begin at `start_ms` or later, (rows,)."""
    _, first_rows, session_of_row = np.unique(
        impressions.sessions, return_index=True, return_inverse=True
    )
    return np.asarray((impressions.times_ms[first_rows] >= start_ms)[session_of_row])


@dataclass(frozen=True)
class SessionLog:
    """The sessions of a log; the last ones may be cut by the end of the log.

    The statistics read only this, whether the log comes from real users, the synthetic world or a
    simulator.
    """

    impressions: Impressions  # in (user, time) order
    catalogue: VideoCatalogue
    end_ms: int
    """End of the log, Unix time in milliseconds."""
    gap_ms: int
    """Gap, in milliseconds, above which another session starts."""
    schema: LogSchema = KUAIRAND_LOG
    """Tasks and scenes of the log."""

    @property
    def tasks(self) -> TaskSet:
        """The kinds of feedback."""
        return self.schema.tasks

    def feedback(self, name: str) -> IntArray:
        """The values (rows,) of a task, by its name.

        Raises:
            UnknownNameError: if the log has no such task.
        """
        return self.impressions.feedback[:, self.tasks.feedback_index(name)]

    @property
    def interest_name(self) -> str:
        """The name of the task that shows interest (`TaskSet.interest`), for example click."""
        return "interest" if self.tasks.interest is None else self.tasks.interest.name

    @cached_property
    def interest(self) -> IntArray:
        """The values (rows,) of the task that shows interest; zeros if there is none."""
        if self.tasks.interest is None:
            return np.zeros(len(self.impressions.users), dtype=np.int64)
        return self.feedback(self.tasks.interest.name)

    @property
    def played_names(self) -> tuple[str, ...]:
        """Names of the tasks derived from play time, such as long_view; if none, of interest."""
        played = [task.name for task in self.tasks.feedbacks if task.played_seconds is not None]
        if played or self.tasks.interest is None:
            return tuple(played)
        return (self.interest_name,)

    @cached_property
    def request_starts(self) -> IntArray:
        """The first row of each request, (requests,)."""
        return _starts(self.impressions.requests)

    @cached_property
    def session_starts(self) -> IntArray:
        """The first request of each session, (sessions,)."""
        return _starts(self.impressions.sessions[self.request_starts])

    @cached_property
    def request_of_row(self) -> IntArray:
        """(rows,), from 0."""
        return _numbers(self.request_starts, len(self.impressions.users))

    @cached_property
    def session_of_request(self) -> IntArray:
        """(requests,), from 0."""
        return _numbers(self.session_starts, len(self.request_starts))

    @cached_property
    def session_of_row(self) -> IntArray:
        """(rows,), from 0."""
        return self.session_of_request[self.request_of_row]

    @cached_property
    def step_of_request(self) -> IntArray:
        """The place of each request in its session, (requests,), from 0."""
        starts = self.session_starts[self.session_of_request]
        return np.arange(len(self.request_starts)) - starts

    @cached_property
    def requests_per_session(self) -> IntArray:
        """(sessions,)."""
        return np.bincount(self.session_of_request, minlength=len(self.session_starts))

    @cached_property
    def users_of_requests(self) -> IntArray:
        """(requests,)."""
        return self.impressions.users[self.request_starts]

    @cached_property
    def users_of_sessions(self) -> IntArray:
        """(sessions,)."""
        return self.users_of_requests[self.session_starts]

    @cached_property
    def last_requests(self) -> BoolArray:
        """True for the last logged request of each session, (requests,)."""
        last = np.zeros(len(self.request_starts), dtype=np.bool_)
        last[self.session_starts + self.requests_per_session - 1] = True
        return last

    @cached_property
    def followed_up(self) -> BoolArray:
        """True where the log shows whether the user left after the request, (requests,).

        This holds if the session gap passes before the log ends, as in the fit of leaving.
        """
        times_ms = self.impressions.times_ms[self.request_starts]
        return np.asarray(times_ms + self.gap_ms < self.end_ms)

    @cached_property
    def ended(self) -> BoolArray:
        """True for sessions whose end is observed, (sessions,)."""
        return np.asarray(self.followed_up[self.session_starts + self.requests_per_session - 1])

    @cached_property
    def gap_seconds(self) -> FloatArray:
        """Seconds to the session's next request, (requests,); NaN after the last one."""
        times_ms = self.impressions.times_ms[self.request_starts]
        gaps = np.append(np.diff(times_ms), 0) / 1000.0
        return np.where(self.last_requests, np.nan, gaps)

    @cached_property
    def standard(self) -> BoolArray:
        """True for rows that a ranker selected, (rows,); all rows if every row is random."""
        chosen: BoolArray = ~self.impressions.randomised
        return chosen if chosen.any() else self.impressions.randomised

    @cached_property
    def two_column(self) -> BoolArray:
        """True for rows of pages where a video starts by a tap, not automatically, (rows,)."""
        return self.schema.scenes.is_two_column(self.impressions.tabs)

    @cached_property
    def repeated(self) -> BoolArray:
        """True if the row's first tag is a first tag of the session's previous request, (rows,)."""
        tags = self.catalogue.tags[self.impressions.videos, 0].astype(np.int64)  # (rows,)
        width = self.catalogue.num_tags + 1
        codes = self.request_of_row * width + tags
        shown = np.unique(codes[tags != NO_TAG])
        has_earlier = self.step_of_request[self.request_of_row] > 0
        return np.asarray(has_earlier & (tags != NO_TAG) & np.isin(codes - width, shown))

    def session_sums(self, values: FloatArray | IntArray | BoolArray) -> FloatArray:
        """Sums of values (rows,) over each session, (sessions,)."""
        count = len(self.session_starts)
        return np.bincount(self.session_of_row, values, minlength=count).astype(np.float64)

    def request_sums(self, values: FloatArray | IntArray | BoolArray) -> FloatArray:
        """Sums of values (rows,) over each request, (requests,)."""
        count = len(self.request_starts)
        return np.bincount(self.request_of_row, values, minlength=count).astype(np.float64)

    def with_answers_shuffled(self, seed: int) -> "SessionLog":
        """The same slates, with responses permuted among the videos of each scene.

        This keeps the joint distribution of feedback and play, and removes its dependence on users,
        videos and times.
        """
        rng = np.random.default_rng(seed)
        source = np.arange(len(self.impressions.users))
        for scene in (self.two_column, ~self.two_column):
            source[scene] = rng.permutation(source[scene])
        shown = self.impressions
        answers = replace(
            shown, feedback=shown.feedback[source], play_seconds=shown.play_seconds[source]
        )
        return replace(self, impressions=answers)

    def select(self, sessions: BoolArray) -> "SessionLog":
        """The log of the sessions of a mask (sessions,)."""
        rows = sessions[self.session_of_row]
        return replace(self, impressions=select_rows(self.impressions, rows))


def _starts(numbers: IntArray) -> IntArray:
    """Indices at which a new number starts, in ordered numbers."""
    changes = np.ones(len(numbers), dtype=np.bool_)
    changes[1:] = numbers[1:] != numbers[:-1]
    return np.flatnonzero(changes)


def _numbers(starts: IntArray, count: int) -> IntArray:
    """The segment of each of `count` rows, from 0, given the segments' first rows."""
    marks = np.zeros(count, dtype=np.int64)
    marks[starts[1:]] = 1
    return np.cumsum(marks)
