"""Feature vectors of sessions, computed from the log alone."""

from dataclasses import dataclass, replace

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.evaluation.fidelity.session_log import SessionLog

__all__ = ["PAUSE_FEATURES", "SessionVectors", "session_features", "session_vectors"]


def session_features(tasks: TaskSet) -> tuple[str, ...]:
    """Names of the features for a log with these tasks.

    `click` in a name means the task that shows interest (`TaskSet.interest`).
    """
    return (
        "requests",
        "videos",
        "minutes",  # from the first request to the last
        "log_gap_mean",
        "log_gap_spread",
        "two_column",
        *(f"{name}_rate" for name in tasks.feedback_names),
        "watch_seconds",  # per video
        "watch_minutes",
        "log_play_mean",
        "log_play_spread",
        "longest_log_play",
        "play_ratio",
        "complete_rate",
        "unplayed_rate",
        "brief_rate",
        *(("clicked_in_vain_rate",) if tasks.chains else ()),  # the parent without the child
        "click_spread",  # between the requests of the session
        "click_trend",  # second half of the requests minus the first
        "last_click",  # last request minus the whole session
        "last_log_watch",
        "gap_after_watch",  # covariance of log watch of a request and the log gap after it
        "repeated_tags",
        "click_on_repeated",  # minus the rate on new tags
    )


# In a replay these come from the log and are inconsistent with the simulated responses.
PAUSE_FEATURES = ("minutes", "log_gap_mean", "log_gap_spread", "gap_after_watch")
_BRIEF_SECONDS = 3.0


@dataclass(frozen=True)
class SessionVectors:
    """Feature vectors of sessions; NaN where a session is too short for a feature."""

    values: FloatArray  # (sessions, features)
    users: IntArray  # (sessions,)
    features: tuple[str, ...] = session_features(KUAIRAND_TASKS)
    """Names of the columns."""

    def take(self, index: IntArray) -> "SessionVectors":
        """The sessions with these indices."""
        return replace(self, values=self.values[index], users=self.users[index])

    def without(self, features: tuple[str, ...]) -> "SessionVectors":
        """The same sessions with some features set to 0."""
        blank = np.isin(self.features, features)
        return replace(self, values=np.where(blank, 0.0, self.values))


def session_vectors(log: SessionLog) -> SessionVectors:
    """The feature vectors of sessions with an observed end, in the order of the log."""
    log = log.select(log.ended)
    columns = _whole_session(log) | _over_requests(log)
    names = session_features(log.tasks)
    values = np.stack([columns[name] for name in names], axis=1)
    return SessionVectors(values, log.users_of_sessions, names)


def _whole_session(log: SessionLog) -> dict[str, FloatArray]:
    """Features that do not depend on the order of requests, (sessions,) each."""
    shown = log.impressions
    videos = log.session_sums(np.ones(len(shown.users)))
    play = shown.play_seconds.astype(np.float64)
    log_play = np.log1p(play)
    click = log.interest.astype(np.float64)
    play_mean = log.session_sums(log_play) / videos
    repeated = log.session_sums(log.repeated)
    longest = np.zeros(len(videos))
    np.maximum.at(longest, log.session_of_row, log_play)
    columns = {
        "requests": log.requests_per_session.astype(np.float64),
        "videos": videos,
        "two_column": log.session_sums(log.two_column) / videos,
        "watch_seconds": log.session_sums(play) / videos,
        "watch_minutes": log.session_sums(play) / 60.0,
        "log_play_mean": play_mean,
        "log_play_spread": _spread(log.session_sums(log_play**2), play_mean, videos),
        "longest_log_play": longest,
        "play_ratio": log.session_sums(np.minimum(play / shown.duration_seconds, 1.0)) / videos,
        "complete_rate": log.session_sums((play > 0) & (play >= shown.duration_seconds)) / videos,
        "unplayed_rate": log.session_sums(play == 0) / videos,
        "brief_rate": log.session_sums((play > 0) & (play < _BRIEF_SECONDS)) / videos,
        "repeated_tags": repeated / videos,
        "click_on_repeated": _ratio(log.session_sums(click * log.repeated), repeated)
        - _ratio(log.session_sums(click * ~log.repeated), videos - repeated),
    }
    if log.tasks.chains:
        parent, child = log.tasks.chains[0]
        in_vain = log.feedback(parent) * (1.0 - log.feedback(child))
        columns["clicked_in_vain_rate"] = log.session_sums(in_vain) / videos
    for name in log.tasks.feedback_names:
        columns[f"{name}_rate"] = log.session_sums(log.feedback(name)) / videos
    return columns


def _over_requests(log: SessionLog) -> dict[str, FloatArray]:
    """Features that depend on the order of requests, (sessions,) each."""
    shown, session = log.impressions, log.session_of_request
    count = len(log.session_starts)
    requests = log.requests_per_session

    def sums(values: FloatArray) -> FloatArray:
        return np.bincount(session, values, minlength=count).astype(np.float64)

    slate = log.request_sums(np.ones(len(shown.users)))
    click = log.request_sums(log.interest) / slate  # (requests,)
    log_watch = np.log1p(log.request_sums(shown.play_seconds))  # (requests,)
    click_mean = sums(click) / requests
    late = (2 * log.step_of_request >= requests[session]).astype(np.float64)
    last = np.flatnonzero(log.last_requests)
    followed = ~log.last_requests
    gap = np.where(followed, np.log(np.maximum(np.nan_to_num(log.gap_seconds), 1e-3)), 0.0)
    gaps = requests - 1
    gap_mean = _ratio(sums(gap), gaps)
    watch_mean = _ratio(sums(log_watch * followed), gaps)
    times_ms = shown.times_ms[log.request_starts]
    return {
        "minutes": (times_ms[last] - times_ms[log.session_starts]) / 60_000.0,
        "log_gap_mean": gap_mean,
        "log_gap_spread": _spread(sums(gap**2), gap_mean, gaps),
        "click_spread": _spread(sums(click**2), click_mean, requests),
        "click_trend": _ratio(sums(click * late), sums(late))
        - _ratio(sums(click * (1.0 - late)), sums(1.0 - late)),
        "last_click": click[last] - click_mean,
        "last_log_watch": log_watch[last],
        "gap_after_watch": _ratio(sums(gap * log_watch), gaps) - gap_mean * watch_mean,
    }


def _ratio(tops: FloatArray, bottoms: FloatArray | IntArray) -> FloatArray:
    """The quotient; NaN where the denominator is 0."""
    return np.where(bottoms > 0, tops / np.maximum(bottoms, 1), np.nan)


def _spread(squares: FloatArray, mean: FloatArray, counts: FloatArray | IntArray) -> FloatArray:
    """The std of values, from their sums of squares, means and counts; NaN below 2 values."""
    variance = np.maximum(_ratio(squares, counts) - mean**2, 0.0)
    return np.where(counts >= 2, np.sqrt(variance), np.nan)
