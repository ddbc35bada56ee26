"""Latent responses to shown videos: the probabilities from which responses are drawn.

The loop over impressions is compiled, because rankers score every candidate here, a large part of
the cost of generating a log. Each impression is computed separately in double precision, so that a
response does not depend on the other users in the batch.
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
    APPEAL_ON_SIGNALS,
    BAIT_ON_SIGNALS,
    LOG_TYPICAL_DURATION,
    MATCH_ON_SIGNALS,
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
    """Parameters of the response to each shown video; every array has the shape of `videos`."""

    taps: FloatArray  # probability of tapping the cover; 1 in a single-column feed
    plays: FloatArray  # probability that play starts
    watches: FloatArray  # probability that a started play is in the watch mode
    lured: FloatArray  # probability that the watch mode ends in disappointment
    watch_mean: FloatArray  # mean of ln(play seconds) in the watch mode
    videos: IntArray
    duration_seconds: FloatArray
    odds: FloatArray  # (..., signals), multiplies the odds of each signal
    appeal: FloatArray  # standard score of the video's appeal, which drives interactions
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
    """Latent responses of users `rows` to videos `shown`; arguments broadcast to one shape.

    Args:
        truth: the world's users and videos.
        rows: user indices.
        shown: video indices.
        single_column: True where the video is in a single-column feed.
        hour_effect: effect of the hour of the day on the log-odds of starting to watch.
        dullness: recent exposure to the same tags, times the user's sensitivity.

    Raises:
        ShapeError: if an index is out of range; compiled code would read beyond the tables.
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
        _CONSTANTS,
        _WATCH_CONSTANTS,
        _SIGNAL_EFFECTS,
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


# Cached compiled code keeps the values of global constants, even after constants.py is edited.
# Constants are therefore passed as arguments.
_CONSTANTS = (
    WATCH_INTERCEPT,
    TAP_INTERCEPT,
    TAP_SLOPE,
    PLAYS_IN_FEED,
    PLAYS_AFTER_TAP,
    APPEAL_OF_MATCH,
    APPEAL_OF_QUALITY,
)
_WATCH_CONSTANTS = (
    WATCH_MEAN,
    WATCH_ON_DURATION,
    LOG_TYPICAL_DURATION,
    WATCH_ON_INTEREST,
    SKIP_MEAN,
)
_SIGNAL_EFFECTS: FloatArray = np.stack(
    [APPEAL_ON_SIGNALS, BAIT_ON_SIGNALS, MATCH_ON_SIGNALS]
)  # (3, signals)


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
    constants: Any,
    watch_constants: Any,
    signal_effects: Any,
    columns: Any,
    odds: Any,
) -> None:
    """Fill `columns` and `odds` one impression after the other.

    `columns` (6, impressions) gets taps, plays, watches, lured, watch_mean and appeal; `odds` is
    (impressions, signals). The inputs are (impressions,) or tables of traits.
    """
    taste, appeal_strength, bait_strength, disappointment, boredom = strengths
    watch_intercept, tap_intercept, tap_slope, in_feed, after_tap, of_match, of_quality = constants
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
        columns[4, position] = _watch_mean(interest, log_duration[video], watch_constants)
        columns[5, position] = of_match * appeal + of_quality * likeability[video]
        for signal in range(odds.shape[1]):
            pull = appeal_strength * appeal * signal_effects[0, signal]
            pull += lure * signal_effects[1, signal] + taste * match * signal_effects[2, signal]
            odds[position, signal] = (
                propensities[user, signal] * signal_odds[video, signal] * np.exp(pull)
            )


@njit(cache=True, nogil=True)
def _watch_mean(interest: Any, log_duration: Any, watch_constants: Any) -> Any:
    """Mean of ln(play seconds) in the watch mode, at least that of the skip mode."""
    mean, on_duration, typical, on_interest, skip_mean = watch_constants
    return max(mean + on_duration * (log_duration - typical) + on_interest * interest, skip_mean)


def usual_latent(users: Users) -> LatentResponse:
    """Each user's latent response to a typical video of the feed's rankers, (users,).

    The video is not in the catalogue: it is video 0 of a catalogue with one typical duration.
    """
    count = len(users.watching)
    interest = users.watching + USUAL_INTEREST
    return LatentResponse(
        taps=np.ones(count),
        plays=np.full(count, PLAYS_IN_FEED),
        watches=expit(WATCH_INTERCEPT + interest),
        lured=np.full(count, USUAL_LURED),
        watch_mean=np.array(
            [_watch_mean(x, LOG_TYPICAL_DURATION, _WATCH_CONSTANTS) for x in interest]
        ),
        videos=np.zeros(count, dtype=np.int32),
        duration_seconds=np.full(count, TYPICAL_DURATION_SECONDS),
        odds=np.zeros((count, len(SIGNALS))),
        appeal=np.zeros(count),
        single_column=np.ones(count, dtype=bool),
    )
