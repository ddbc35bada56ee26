"""What users make of the videos that they are shown, before any random numbers is drawn.

The loop over impressions is compiled: rankers score every candidate here, so it is much of what
generating a log costs. Every impression is computed alone, in double precision, so that an answer
is independent of the other users in the batch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy.special import expit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import ShapeError
from mtf_rl.user_models.world.constants import (
    APPEAL_OF_MATCH,
    APPEAL_OF_QUALITY,
    APPEAL_SHARE,
    BAIT_SHARE,
    LOG_TYPICAL_DURATION,
    MATCH_SHARE,
    PLAYS_AFTER_TAP,
    PLAYS_IN_FEED,
    SKIP_MEAN,
    TAP_INTERCEPT,
    TAP_SLOPE,
    TYPICAL_DURATION_SECONDS,
    USUAL_INTEREST,
    USUAL_LURED,
    WATCH_INTERCEPT,
    WATCH_MEAN,
    WATCH_ON_DURATION,
    WATCH_ON_INTEREST,
)
from mtf_rl.user_models.world.population import SIGNALS, Truth, Users

__all__ = ["LatentResponse", "latent", "usual_latent"]


@dataclass(frozen=True)
class LatentResponse:
    """What decides the answer to each shown video; every array has the shape of `videos`."""

    taps: FloatArray  # probability of tapping the cover; 1 in a single-column feed
    plays: FloatArray  # probability that play starts
    watches: FloatArray  # probability that a play that started is of the watch mode
    lured: FloatArray  # probability that the watch mode ends in disappointment
    watch_mean: FloatArray  # mean of ln(play seconds) in the watch mode
    videos: IntArray
    duration_seconds: FloatArray
    odds: FloatArray  # (..., signals), multiplies the odds of each signal
    appeal: FloatArray  # standard score of how much the video moves the user to interact
    single_column: BoolArray


def latent(
    truth: Truth,
    rows: IntArray,
    shown: IntArray,
    *,
    single_column: BoolArray,
    hour_effect: FloatArray,
    dullness: FloatArray,
) -> LatentResponse:
    """What users `rows` make of the videos `shown`; all arguments broadcast to its shape.

    Args:
        truth: the world's users and videos.
        rows: user indices.
        shown: video indices.
        single_column: True where the video is in a single-column feed.
        hour_effect: log-odds that the hour of the day adds to starting to watch.
        dullness: recent exposure to the same tags, times the user's sensitivity.

    Raises:
        ShapeError: if an index is not of this world; compiled code would read beyond the tables.
    """
    config, users, videos = truth.config, truth.users, truth.videos
    _check_range("users", rows, len(users.watching))
    _check_range("videos", shown, len(videos.quality))
    arguments = np.broadcast_arrays(rows, shown, single_column, hour_effect, dullness)
    shape = arguments[0].shape
    columns = np.empty((6, arguments[0].size))
    odds = np.empty((arguments[0].size, len(SIGNALS)))
    _fill(
        *(np.ascontiguousarray(argument).ravel() for argument in arguments),
        users.watch_taste,
        users.appeal_taste,
        users.watching,
        users.propensities,
        videos.vectors,
        videos.quality,
        videos.bait,
        videos.appeal,
        videos.log_duration,
        videos.signal_odds,
        (config.taste, config.appeal, config.bait, config.disappointment, config.boredom),
        _LAWS,
        _WATCH_LAW,
        _SHARES,
        columns,
        odds,
    )
    taps, plays, watches, lured, watch_mean, appeal = columns.reshape(6, *shape)
    return LatentResponse(
        taps=taps,
        plays=plays,
        watches=watches,
        lured=lured,
        watch_mean=watch_mean,
        videos=arguments[1],
        duration_seconds=videos.catalogue.duration_seconds[arguments[1]].astype(np.float64),
        odds=odds.reshape(*shape, len(SIGNALS)),
        appeal=appeal,
        single_column=arguments[2],
    )


def _check_range(name: str, indices: IntArray, count: int) -> None:
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise ShapeError(
            f"{name} must be indices in [0, {count}), got {indices.min()} to {indices.max()}"
        )


# Compiled code keeps the constants that it was compiled with, so laws come in as arguments: a
# cached loop would not notice that another file was edited.
_LAWS = (
    WATCH_INTERCEPT,
    TAP_INTERCEPT,
    TAP_SLOPE,
    PLAYS_IN_FEED,
    PLAYS_AFTER_TAP,
    APPEAL_OF_MATCH,
    APPEAL_OF_QUALITY,
)
_WATCH_LAW = (WATCH_MEAN, WATCH_ON_DURATION, LOG_TYPICAL_DURATION, WATCH_ON_INTEREST, SKIP_MEAN)
_SHARES: FloatArray = np.stack([APPEAL_SHARE, BAIT_SHARE, MATCH_SHARE])  # (3, signals)


@njit(cache=True, nogil=True)
def _fill(
    rows: Any,
    shown: Any,
    single_column: Any,
    hour_effect: Any,
    dullness: Any,
    watch_taste: Any,
    appeal_taste: Any,
    watching: Any,
    propensities: Any,
    vectors: Any,
    quality: Any,
    bait: Any,
    likeability: Any,
    log_duration: Any,
    signal_odds: Any,
    strengths: Any,
    laws: Any,
    watch_law: Any,
    fractions: Any,
    columns: Any,
    odds: Any,
) -> None:
    """One impression after the other, all arguments (impressions,) or tables of traits.

    Writes taps, plays, watches, lured, watch_mean and appeal to `columns` (6, impressions), and
    `odds` (impressions, signals).
    """
    taste, appeal_strength, bait_strength, disappointment, boredom = strengths
    watch_intercept, tap_intercept, tap_slope, in_feed, after_tap, of_match, of_quality = laws
    for position in range(len(rows)):
        user, video = rows[position], shown[position]
        match, appeal = 0.0, 0.0
        for axis in range(vectors.shape[1]):
            match += watch_taste[user, axis] * vectors[video, axis]
            appeal += appeal_taste[user, axis] * vectors[video, axis]
        interest = watching[user] + quality[video] + taste * match
        interest += hour_effect[position] - boredom * dullness[position]
        lure = bait_strength * bait[video]
        if single_column[position]:
            columns[0, position] = 1.0
            columns[1, position] = in_feed
            columns[2, position] = 1.0 / (1.0 + np.exp(-(watch_intercept + interest + lure)))
        else:
            tap = 1.0 / (1.0 + np.exp(-(tap_intercept + tap_slope * (interest + lure))))
            columns[0, position] = tap
            columns[1, position] = tap * after_tap
            columns[2, position] = 1.0
        columns[3, position] = -np.expm1(-disappointment * bait[video])
        columns[4, position] = _watch_mean(interest, log_duration[video], watch_law)
        columns[5, position] = of_match * appeal + of_quality * likeability[video]
        for signal in range(odds.shape[1]):
            pull = appeal_strength * appeal * fractions[0, signal]
            pull += lure * fractions[1, signal] + taste * match * fractions[2, signal]
            odds[position, signal] = (
                propensities[user, signal] * signal_odds[video, signal] * np.exp(pull)
            )


@njit(cache=True, nogil=True)
def _watch_mean(interest: Any, log_duration: Any, watch_law: Any) -> Any:
    """Mean of ln(play seconds) in the watch mode, which is never shorter than a skip."""
    mean, on_duration, typical, on_interest, skip_mean = watch_law
    return max(mean + on_duration * (log_duration - typical) + on_interest * interest, skip_mean)


def usual_latent(users: Users) -> LatentResponse:
    """Each user's outlook on a video of the feed as rankers usually find it, (users,).

    That video is no member of the catalogue: it is video 0 of one whose only duration is typical.
    """
    count = len(users.watching)
    interest = users.watching + USUAL_INTEREST
    return LatentResponse(
        taps=np.ones(count),
        plays=np.full(count, PLAYS_IN_FEED),
        watches=expit(WATCH_INTERCEPT + interest),
        lured=np.full(count, USUAL_LURED),
        watch_mean=np.array([_watch_mean(x, LOG_TYPICAL_DURATION, _WATCH_LAW) for x in interest]),
        videos=np.zeros(count, dtype=np.int32),
        duration_seconds=np.full(count, TYPICAL_DURATION_SECONDS),
        odds=np.zeros((count, len(SIGNALS))),
        appeal=np.zeros(count),
        single_column=np.ones(count, dtype=bool),
    )
