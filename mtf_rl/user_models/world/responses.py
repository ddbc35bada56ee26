"""How a user answers one shown video: play time first, everything else given it.

All functions are elementwise, so that an answer never depends on who else is served.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.tasks import (
    LONG_VIEW_SECONDS,
    NUM_FEEDBACKS,
    VALID_PLAY_SECONDS,
    WATCH_CAP_SECONDS,
    is_long_view,
    is_valid_play,
)
from mtf_rl.user_models.world.population import SIGNALS, Truth, Users

__all__ = [
    "Answers",
    "Outlook",
    "draw_answers",
    "expected_feedback",
    "expected_watch",
    "outlook",
    "usual_views",
]

TWO_COLUMN_TAB = 0

# Log-odds of starting to watch, and of tapping a cover, at neutral traits (calibrated).
_WATCH_INTERCEPT = -1.80
_TAP_INTERCEPT = -3.95
_TAP_SLOPE = 0.8
# KuaiRand-Pure, 04-25 to 05-05: .6 % of single-column impressions never play, 4.4 % of taps.
_PLAYS_IN_FEED = 0.994
_PLAYS_AFTER_TAP = 0.956
# ln(play seconds) of the skip mode, after the two-component fit of the same rows' tab 1.
_SKIP_MEAN, _SKIP_SPREAD = 0.66, 0.66
_WATCH_MEAN, _WATCH_SPREAD = 1.20, 1.08
_WATCH_ON_DURATION = 0.2
_WATCH_ON_INTEREST = 1.0
_LOG_TYPICAL_DURATION = 4.2
# What the logging rankers usually find: log-odds of interest, share of disappointments.
_USUAL_INTEREST, _USUAL_LURED = 2.3, 0.15
# ln(play seconds) of those who watch click-bait and find it out: about 10 s (assumed).
_LURED_MEAN, _LURED_SPREAD = 2.35, 0.4
# Seconds played beyond the end (loops included): ln ~ N(ln 2, 1.6), after the same rows.
_OVERRUN_MEAN, _OVERRUN_SPREAD = float(np.log(2.0)), 1.6
_LONGEST_OVERRUN = 3.0  # durations

# Odds of each signal given how the video was played, at neutral traits; after the same rows.
_SIGNAL_ODDS = np.array(
    [  # none, brief, valid, long
        [0.0009, 0.0015, 0.0137, 0.0202],  # like
        [0.00004, 0.000015, 0.00018, 0.00024],  # follow
        [0.0000, 0.0000, 0.00005, 0.00036],  # comment
        [0.0000, 0.00005, 0.00072, 0.0010],  # forward
        [0.00048, 0.00064, 0.00088, 0.00048],  # hate
    ]
)
# What a like multiplies the odds of the other signals by (P(like | follow) = .43 and so on).
_ODDS_AFTER_LIKE = np.array([1.0, 4.0, 4.0, 5.0, 1.0])
_APPEAL_SHARE = np.array([1.0, 0.8, 0.8, 0.5, -0.5])
_BAIT_SHARE = np.array([-0.2, -0.3, 0.7, 0.5, 0.7])
_MATCH_SHARE = np.array([0.30, 0.65, 0.68, 0.0, -0.45])


@dataclass(frozen=True)
class Outlook:
    """What decides the answer to each shown video; every array has the shape of `videos`."""

    taps: FloatArray  # probability of tapping the cover; 1 in a single-column feed
    plays: FloatArray  # probability that play starts
    watches: FloatArray  # probability that a play that started is of the watch mode
    lured: FloatArray  # probability that the watch mode ends in disappointment
    watch_mean: FloatArray  # mean of ln(play seconds) in the watch mode
    duration_seconds: FloatArray
    odds: FloatArray  # (..., signals), multiplies the odds of each signal
    appeal: FloatArray  # standard score of how much the video moves the user to interact
    single_column: BoolArray


@dataclass(frozen=True)
class Answers:
    """The answers to shown videos, all of one shape but for `feedback`'s last axis."""

    feedback: FloatArray  # (..., 7) float32 of 0/1
    play_seconds: FloatArray  # whole milliseconds


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
    match = _match(users.watch_taste, videos.vectors, rows, shown)
    appeal = _match(users.appeal_taste, videos.vectors, rows, shown)
    bait = videos.bait[shown]
    like_quality = videos.appeal[shown]
    interest = (
        users.watching[rows]
        + videos.quality[shown]
        + config.taste * match
        + hour_effect
        - config.boredom * dullness
    )
    start = _WATCH_INTERCEPT + interest + config.bait * bait
    tap = expit(_TAP_INTERCEPT + _TAP_SLOPE * (interest + config.bait * bait))
    duration = videos.catalogue.duration_seconds[shown].astype(np.float64)
    pull = config.appeal * appeal[..., None] * _APPEAL_SHARE
    pull = pull + config.bait * bait[..., None] * _BAIT_SHARE
    pull = pull + config.taste * match[..., None] * _MATCH_SHARE  # (..., signals)
    return Outlook(
        taps=np.where(single_column, 1.0, tap),
        plays=np.where(single_column, _PLAYS_IN_FEED, tap * _PLAYS_AFTER_TAP),
        watches=np.where(single_column, expit(start), 1.0),
        lured=-np.expm1(-config.disappointment * bait),
        watch_mean=_watch_mean(interest, np.log(duration)),
        duration_seconds=duration,
        odds=users.propensities[rows] * videos.signal_odds[shown] * np.exp(pull),
        appeal=0.7 * appeal + 0.7 * like_quality,
        single_column=np.broadcast_to(single_column, duration.shape),
    )


def _watch_mean(interest: FloatArray, log_duration: FloatArray) -> FloatArray:
    """Mean of ln(play seconds) in the watch mode, which is never shorter than a skip."""
    on_duration = _WATCH_ON_DURATION * (log_duration - _LOG_TYPICAL_DURATION)
    mean = _WATCH_MEAN + on_duration + _WATCH_ON_INTEREST * interest
    return np.asarray(np.maximum(mean, _SKIP_MEAN))


def usual_views(users: Users) -> FloatArray:
    """P(click) and P(long view) of each user for a video as rankers usually find it: (users, 2)."""
    count = len(users.watching)
    interest = users.watching + _USUAL_INTEREST
    typical = Outlook(
        taps=np.ones(count),
        plays=np.full(count, _PLAYS_IN_FEED),
        watches=expit(_WATCH_INTERCEPT + interest),
        lured=np.full(count, _USUAL_LURED),
        watch_mean=_watch_mean(interest, np.full(count, _LOG_TYPICAL_DURATION)),
        duration_seconds=np.full(count, float(np.exp(_LOG_TYPICAL_DURATION))),
        odds=np.zeros((count, len(SIGNALS))),
        appeal=np.zeros(count),
        single_column=np.ones(count, dtype=bool),
    )
    return expected_feedback(typical)[:, :2]


def _match(tastes: FloatArray, vectors: FloatArray, rows: IntArray, shown: IntArray) -> FloatArray:
    """Inner products of tastes and vectors, summed in a fixed order."""
    taste, vector = tastes[rows], vectors[shown]  # (..., d)
    total = taste[..., 0] * vector[..., 0]
    for dimension in range(1, tastes.shape[1]):
        total = total + taste[..., dimension] * vector[..., dimension]
    return np.asarray(total)


def _survival(seconds: FloatArray, outlook: Outlook) -> tuple[FloatArray, FloatArray]:
    """P(play time >= seconds) in the skip mode and in the watch mode, before the end."""
    log_seconds = np.log(seconds)
    skip = ndtr((_SKIP_MEAN - log_seconds) / _SKIP_SPREAD)
    watch = ndtr((outlook.watch_mean - log_seconds) / _WATCH_SPREAD)
    lured = ndtr((_LURED_MEAN - log_seconds) / _LURED_SPREAD)
    return skip, watch + outlook.lured * (lured - watch)


def _reaches(outlook: Outlook, seconds: float) -> FloatArray:
    """P(play time >= min(seconds, duration))."""
    skip, watch = _survival(np.minimum(outlook.duration_seconds, seconds), outlook)
    return np.asarray(outlook.plays * (skip + outlook.watches * (watch - skip)))


def expected_feedback(outlook: Outlook) -> FloatArray:
    """Probabilities of the seven feedbacks, (..., 7), in closed form."""
    valid = _reaches(outlook, VALID_PLAY_SECONDS)
    long_view = _reaches(outlook, LONG_VIEW_SECONDS)
    classes = (1.0 - outlook.plays, outlook.plays - valid, valid - long_view, long_view)
    result = np.zeros((*valid.shape, NUM_FEEDBACKS))
    result[..., 0] = np.where(outlook.single_column, valid, outlook.taps)
    result[..., 1] = long_view
    for play_class, share in enumerate(classes):
        likes = _odds_to_probability(_SIGNAL_ODDS[0, play_class] * outlook.odds[..., 0])
        result[..., 2] += share * likes
        for signal in range(1, len(SIGNALS)):
            odds = _SIGNAL_ODDS[signal, play_class] * outlook.odds[..., signal]
            given_like = _odds_to_probability(odds * _ODDS_AFTER_LIKE[signal])
            without = _odds_to_probability(odds)
            result[..., 2 + signal] += share * (without + likes * (given_like - without))
    return result


def expected_watch(outlook: Outlook) -> FloatArray:
    """E[min(play seconds, 120)] / 120, in closed form."""
    duration = outlook.duration_seconds
    cut = np.minimum(duration, WATCH_CAP_SECONDS)
    skip = _capped_mean(np.full_like(cut, _SKIP_MEAN), _SKIP_SPREAD, cut)
    watch = _capped_mean(outlook.watch_mean, _WATCH_SPREAD, cut)
    lured = _capped_mean(np.full_like(cut, _LURED_MEAN), _LURED_SPREAD, cut)
    watch = watch + outlook.lured * (lured - watch)
    room = np.minimum(WATCH_CAP_SECONDS - cut, _LONGEST_OVERRUN * duration)
    overrun = _capped_mean(np.full_like(cut, _OVERRUN_MEAN), _OVERRUN_SPREAD, room)
    skip_ends, watch_ends = _survival(duration, outlook)
    skip, watch = skip + skip_ends * overrun, watch + watch_ends * overrun
    seconds = outlook.plays * (skip + outlook.watches * (watch - skip))
    return np.asarray(seconds / WATCH_CAP_SECONDS)


def _capped_mean(mean: FloatArray, spread: float, cap: FloatArray) -> FloatArray:
    """E[min(X, cap)] for ln X ~ N(mean, spread^2); 0 where the cap is 0."""
    z = (np.log(np.maximum(cap, 1e-12)) - mean) / spread
    return np.asarray(np.exp(mean + spread**2 / 2) * ndtr(z - spread) + cap * ndtr(-z))


def _odds_to_probability(odds: FloatArray) -> FloatArray:
    return odds / (1.0 + odds)


def draw_answers(
    outlook: Outlook,
    *,
    mode: FloatArray,
    play: FloatArray,
    overrun: FloatArray,
    signals: FloatArray,
) -> Answers:
    """Draw the answers from uniforms `mode` (..., 2) and `signals` (..., signals) and normals.

    Args:
        outlook: what decides the answers.
        mode: uniforms for tap and start, and for the mode of play.
        play: standard normals of ln(play seconds).
        overrun: standard normals of the time played beyond the end.
        signals: uniforms of like, follow, comment, forward and hate.
    """
    played = mode[..., 0] < outlook.plays
    watched = mode[..., 1] < outlook.watches
    # Of those who watch, the share `lured` with the smallest uniforms is disappointed.
    lured = mode[..., 1] < outlook.watches * outlook.lured
    log_seconds = np.where(
        lured, _LURED_MEAN + _LURED_SPREAD * play, outlook.watch_mean + _WATCH_SPREAD * play
    )
    log_seconds = np.where(watched, log_seconds, _SKIP_MEAN + _SKIP_SPREAD * play)
    seconds = np.exp(log_seconds)
    duration = outlook.duration_seconds
    extra = np.minimum(
        np.exp(_OVERRUN_MEAN + _OVERRUN_SPREAD * overrun), _LONGEST_OVERRUN * duration
    )
    seconds = np.where(seconds >= duration, duration + extra, seconds)
    seconds = np.where(played, np.maximum(np.floor(1000.0 * seconds), 1.0) / 1000.0, 0.0)
    valid = is_valid_play(seconds, duration) & played
    long_view = is_long_view(seconds, duration) & played
    play_class = played.astype(np.int64) + valid + long_view
    feedback = np.empty((*seconds.shape, NUM_FEEDBACKS), dtype=np.float32)
    feedback[..., 0] = np.where(outlook.single_column, valid, mode[..., 0] < outlook.taps)
    feedback[..., 1] = long_view
    odds = _SIGNAL_ODDS.T[play_class] * outlook.odds  # (..., signals)
    liked = signals[..., 0] < _odds_to_probability(odds[..., 0])
    odds *= np.where(liked[..., None], _ODDS_AFTER_LIKE, 1.0)
    feedback[..., 2:] = signals < _odds_to_probability(odds)
    feedback[..., 2] = liked
    return Answers(feedback=feedback, play_seconds=seconds)
