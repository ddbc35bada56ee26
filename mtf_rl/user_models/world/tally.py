"""Totals over generated impressions, which can be added over chunks of users."""

from dataclasses import dataclass, fields

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.user_models.world.constants import CLICK, LIKE, TWO_COLUMN_TAB
from mtf_rl.user_models.world.simulate_logs import DayEnds, LoggedRows

__all__ = ["Tally", "histogram_quantile", "tally"]

TABS = 2  # the two-column page (0) and the single-column feed (1)
POLICIES = 2  # standard (0) and random (1)
# Histograms of seconds use bins of ln(seconds) with a width of 0.5 %.
_LOG_LOW, _LOG_HIGH, _BINS = float(np.log(1e-3)), float(np.log(1e4)), 3200
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Tally:
    """Totals over the rows of some users; `plus` adds those of other users."""

    rows: IntArray  # (policies, tabs)
    feedback: FloatArray  # (policies, tabs, 7), sums
    truth: FloatArray  # (policies, tabs, 8), sums of the world's expectations
    zero_plays: IntArray  # (policies, tabs)
    joint: IntArray  # (7, 7), standard rows with both feedbacks
    play_histogram: IntArray  # (2, bins), standard feed rows with play, by is_click
    play_zeros: IntArray  # (2,), standard feed rows without play, by is_click
    gap_histogram: IntArray  # (bins,), gaps between the requests of a session
    requests: int
    sessions: int
    active_days: int
    day_ends: int
    away: int  # day ends that are not followed by an active day
    extra_days: int  # sum over day ends of the return gap minus one
    user_rows: IntArray  # (users,), standard
    user_clicks: FloatArray  # (users,), sums of true click, standard
    user_feed_rows: IntArray  # (users,), standard, feed
    user_feed_likes: FloatArray  # (users,), sums of true like
    video_rows: IntArray  # (videos,), standard
    video_feed_rows: IntArray  # (videos,), standard, feed
    video_feed_clicks: FloatArray  # (videos,), sums of true click
    video_feed_likes: FloatArray  # (videos,), sums of true like

    def plus(self, other: "Tally") -> "Tally":
        """The sum of both tallies."""
        names = [field.name for field in fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in names})


def tally(rows: LoggedRows, ends: DayEnds, *, users: int, videos: int) -> Tally:
    """The totals of `rows`, in a world with the given numbers of `users` and `videos`."""
    policy, feed = rows.randomised.astype(np.int64), (rows.tabs != TWO_COLUMN_TAB).astype(np.int64)
    standard = policy == 0
    in_feed = standard & (feed == 1)
    clicked = rows.feedback[:, CLICK] > 0
    click, like = rows.truth[:, CLICK].astype(np.float64), rows.truth[:, LIKE].astype(np.float64)
    first = _first_of(rows.users, rows.requests)
    opens = _first_of(rows.users, rows.sessions)
    shown = rows.feedback[standard].astype(np.float64)
    return Tally(
        rows=_cells(policy, feed, None).astype(np.int64),
        feedback=_columns(policy, feed, rows.feedback),
        truth=_columns(policy, feed, rows.truth),
        zero_plays=_cells(policy, feed, rows.play_ms == 0).astype(np.int64),
        joint=(shown.T @ shown).astype(np.int64),
        play_histogram=np.stack(
            [_histogram(rows.play_ms[in_feed & (clicked == answer)]) for answer in (False, True)]
        ),
        play_zeros=np.array(
            [(rows.play_ms[in_feed & (clicked == answer)] == 0).sum() for answer in (False, True)]
        ),
        gap_histogram=_histogram(np.diff(rows.times_ms[first])[~opens[first][1:]]),
        requests=int(first.sum()),
        sessions=int(opens.sum()),
        active_days=len(np.unique(rows.users * 10_000 + rows.times_ms // _DAY_MS)),
        day_ends=len(ends.gaps),
        away=int((ends.gaps > 1).sum()),
        extra_days=int((ends.gaps - 1).sum()),
        user_rows=np.bincount(rows.users[standard], minlength=users),
        user_clicks=_sums(rows.users[standard], click[standard], users),
        user_feed_rows=np.bincount(rows.users[in_feed], minlength=users),
        user_feed_likes=_sums(rows.users[in_feed], like[in_feed], users),
        video_rows=np.bincount(rows.videos[standard], minlength=videos),
        video_feed_rows=np.bincount(rows.videos[in_feed], minlength=videos),
        video_feed_clicks=_sums(rows.videos[in_feed], click[in_feed], videos),
        video_feed_likes=_sums(rows.videos[in_feed], like[in_feed], videos),
    )


def _first_of(users: IntArray, numbers: IntArray) -> BoolArray:
    """True at the first row of each (user, number) pair, in ordered rows."""
    changes = (np.diff(users) != 0) | (np.diff(numbers) != 0)
    return np.concatenate([np.ones(min(1, len(users)), dtype=bool), changes])


def _sums(positions: IntArray, weights: FloatArray, count: int) -> FloatArray:
    return np.bincount(positions, weights, minlength=count).astype(np.float64)


def _cells(policy: IntArray, feed: IntArray, weights: FloatArray | BoolArray | None) -> FloatArray:
    counts = np.bincount(TABS * policy + feed, weights, minlength=POLICIES * TABS)
    return counts.astype(np.float64).reshape(POLICIES, TABS)


def _columns(policy: IntArray, feed: IntArray, values: FloatArray) -> FloatArray:
    columns = [_cells(policy, feed, values[:, column]) for column in range(values.shape[1])]
    return np.stack(columns, axis=-1)  # (policies, tabs, columns)


def _histogram(milliseconds: IntArray) -> IntArray:
    """Counts of positive times by ln(seconds), (bins,)."""
    seconds = milliseconds[milliseconds > 0] / 1000.0
    position = (np.log(seconds) - _LOG_LOW) / (_LOG_HIGH - _LOG_LOW) * _BINS
    return np.bincount(np.clip(position.astype(np.int64), 0, _BINS - 1), minlength=_BINS)


def histogram_quantile(histogram: IntArray, level: float, *, zeros: int = 0) -> float:
    """The quantile in seconds of a histogram plus `zeros` times of 0 s."""
    cumulative = zeros + np.cumsum(histogram)
    rank = level * cumulative[-1]
    if rank <= zeros:
        return 0.0
    position = int(np.searchsorted(cumulative, rank))
    return float(np.exp(_LOG_LOW + (position + 0.5) / _BINS * (_LOG_HIGH - _LOG_LOW)))
