"""What users make of the videos that they are shown, before any luck is drawn.

The loop over impressions is compiled: it costs half of generating a log, and written with arrays
it takes three times as long (`benchmarks/world_speed.py`). Every impression is computed alone, in
double precision, so that an answer never depends on who else is served.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy.special import expit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.user_models.world.laws import (
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

__all__ = ["Outlook", "outlook", "usual_outlook"]


@dataclass(frozen=True)
class Outlook:
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


def outlook(
    truth: Truth,
    rows: IntArray,
    shown: IntArray,
    *,
    single_column: BoolArray,
    hour_effect: FloatArray,
    dullness: FloatArray,
) -> Outlook:
    """What users `rows` make of the videos `shown`; all arguments broadcast to its shape.

    Args:
        truth: the world's users and videos.
        rows: user indices.
        shown: video indices.
        single_column: True where the video is in a single-column feed.
        hour_effect: log-odds that the hour of the day adds to starting to watch.
        dullness: recent exposure to the same tags, times the user's sensitivity.
    """
    config, users, videos = truth.config, truth.users, truth.videos
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
        columns,
        odds,
    )
    taps, plays, watches, lured, watch_mean, appeal = columns.reshape(6, *shape)
    return Outlook(
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
    columns: Any,
    odds: Any,
) -> None:
    """One impression after the other, all arguments (impressions,) or tables of traits.

    Writes taps, plays, watches, lured, watch_mean and appeal to `columns` (6, impressions), and
    `odds` (impressions, signals).
    """
    taste, appeal_strength, bait_strength, disappointment, boredom = strengths
    for place in range(len(rows)):
        user, video = rows[place], shown[place]
        match, appeal = 0.0, 0.0
        for axis in range(vectors.shape[1]):
            match += watch_taste[user, axis] * vectors[video, axis]
            appeal += appeal_taste[user, axis] * vectors[video, axis]
        interest = watching[user] + quality[video] + taste * match
        interest += hour_effect[place] - boredom * dullness[place]
        lure = bait_strength * bait[video]
        if single_column[place]:
            columns[0, place] = 1.0
            columns[1, place] = PLAYS_IN_FEED
            columns[2, place] = 1.0 / (1.0 + np.exp(-(WATCH_INTERCEPT + interest + lure)))
        else:
            tap = 1.0 / (1.0 + np.exp(-(TAP_INTERCEPT + TAP_SLOPE * (interest + lure))))
            columns[0, place] = tap
            columns[1, place] = tap * PLAYS_AFTER_TAP
            columns[2, place] = 1.0
        columns[3, place] = -np.expm1(-disappointment * bait[video])
        columns[4, place] = _watch_mean(interest, log_duration[video])
        columns[5, place] = 0.7 * appeal + 0.7 * likeability[video]
        for signal in range(odds.shape[1]):
            pull = appeal_strength * appeal * APPEAL_SHARE[signal]
            pull += lure * BAIT_SHARE[signal] + taste * match * MATCH_SHARE[signal]
            odds[place, signal] = (
                propensities[user, signal] * signal_odds[video, signal] * np.exp(pull)
            )


@njit(cache=True, nogil=True)
def _watch_mean(interest: Any, log_duration: Any) -> Any:
    """Mean of ln(play seconds) in the watch mode, which is never shorter than a skip."""
    on_duration = WATCH_ON_DURATION * (log_duration - LOG_TYPICAL_DURATION)
    return max(WATCH_MEAN + on_duration + WATCH_ON_INTEREST * interest, SKIP_MEAN)


def usual_outlook(users: Users) -> Outlook:
    """Each user's outlook on a video of the feed as rankers usually find it, (users,).

    That video is no member of the catalogue: it is video 0 of one whose only duration is typical.
    """
    count = len(users.watching)
    interest = users.watching + USUAL_INTEREST
    return Outlook(
        taps=np.ones(count),
        plays=np.full(count, PLAYS_IN_FEED),
        watches=expit(WATCH_INTERCEPT + interest),
        lured=np.full(count, USUAL_LURED),
        watch_mean=np.maximum(WATCH_MEAN + WATCH_ON_INTEREST * interest, SKIP_MEAN),
        videos=np.zeros(count, dtype=np.int32),
        duration_seconds=np.full(count, TYPICAL_DURATION_SECONDS),
        odds=np.zeros((count, len(SIGNALS))),
        appeal=np.zeros(count),
        single_column=np.ones(count, dtype=bool),
    )
