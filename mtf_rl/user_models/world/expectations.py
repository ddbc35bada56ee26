"""Closed-form expected feedback of shown videos in the world.

The loops are compiled because every candidate of every logging ranker is evaluated here.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from scipy.special import ndtr

from mtf_rl.core.arrays import FloatArray
from mtf_rl.user_models.world.constants import (
    CAP_SECONDS,
    CLICK,
    LIKE,
    LONG_SECONDS,
    LONG_VIEW,
    LONGEST_OVERRUN,
    LURED_MEAN,
    LURED_SPREAD,
    NUM_TASKS,
    ODDS_AFTER_LIKE,
    OVERRUN_MEAN,
    OVERRUN_SPREAD,
    SIGNAL_ODDS,
    SKIP_MEAN,
    SKIP_SPREAD,
    VALID_SECONDS,
    WATCH,
    WATCH_SPREAD,
)
from mtf_rl.user_models.world.latent import LatentResponse

__all__ = ["expected_answers", "length_terms"]

# Columns of `length_terms`: for each of the three moments below, P(a skip lasts that long) and
# P(a disappointed watch lasts that long); then E[min(play, cap)] of both modes and of the overrun.
_VALID, _LONG, _END = 0, 1, 2
# Passed to the compiled loops as an argument: see `latent`.
_MOMENTS = (VALID_SECONDS, LONG_SECONDS, CAP_SECONDS)
_SKIP_CAPPED, _LURED_CAPPED, _OVERRUN_CAPPED, _COLUMNS = 6, 7, 8, 9


def length_terms(duration_seconds: FloatArray) -> FloatArray:
    """Terms of the expectations that depend only on the video's duration: (videos, terms)."""
    duration = np.asarray(duration_seconds, dtype=np.float64)
    terms = np.zeros((len(duration), _COLUMNS))
    moments = (VALID_SECONDS, LONG_SECONDS, np.inf)
    for column, moment in enumerate(moments):
        log_seconds = np.log(np.minimum(duration, moment))
        terms[:, 2 * column] = ndtr((SKIP_MEAN - log_seconds) / SKIP_SPREAD)
        terms[:, 2 * column + 1] = ndtr((LURED_MEAN - log_seconds) / LURED_SPREAD)
    cut = np.minimum(duration, CAP_SECONDS)
    room = np.minimum(CAP_SECONDS - cut, LONGEST_OVERRUN * duration)
    for row in range(len(duration)):
        terms[row, _SKIP_CAPPED] = _capped_mean(SKIP_MEAN, SKIP_SPREAD, cut[row])
        terms[row, _LURED_CAPPED] = _capped_mean(LURED_MEAN, LURED_SPREAD, cut[row])
        if room[row] > 0.0:
            terms[row, _OVERRUN_CAPPED] = _capped_mean(OVERRUN_MEAN, OVERRUN_SPREAD, room[row])
    return terms


def expected_answers(prospect: LatentResponse, lengths: FloatArray) -> FloatArray:
    """Probabilities of the seven feedbacks and E[min(play seconds, 120)] / 120: (..., 8).

    `lengths` (videos, terms) is `length_terms` of the catalogue.
    """
    shape = prospect.plays.shape
    expected = np.empty((prospect.plays.size, NUM_TASKS))
    _fill(
        prospect.taps.ravel(),
        prospect.plays.ravel(),
        prospect.watches.ravel(),
        prospect.lured.ravel(),
        prospect.watch_mean.ravel(),
        np.ascontiguousarray(prospect.videos).ravel(),
        prospect.duration_seconds.ravel(),
        prospect.odds.reshape(-1, SIGNAL_ODDS.shape[0]),
        np.ascontiguousarray(prospect.single_column).ravel(),
        lengths,
        _MOMENTS,
        WATCH_SPREAD,
        SIGNAL_ODDS,
        ODDS_AFTER_LIKE,
        expected,
    )
    return expected.reshape(*shape, NUM_TASKS)


@njit(cache=True, nogil=True)
def _fill(
    taps: Any,
    plays: Any,
    watches: Any,
    lured: Any,
    watch_mean: Any,
    videos: Any,
    duration_seconds: Any,
    odds: Any,
    single_column: Any,
    lengths: Any,
    moments: Any,
    watch_spread: Any,
    signal_odds: Any,
    odds_after_like: Any,
    expected: Any,
) -> None:
    """Fill `expected` one impression after the other, from flat fields and constants."""
    valid_seconds, long_seconds, cap_seconds = moments
    for position in range(len(plays)):
        terms = lengths[videos[position]]
        duration = duration_seconds[position]
        play = (
            plays[position],
            watches[position],
            lured[position],
            watch_mean[position],
            watch_spread,
        )
        valid = _mixture(*_lasts(min(valid_seconds, duration), _VALID, terms, play), play)
        long_view = _mixture(*_lasts(min(long_seconds, duration), _LONG, terms, play), play)
        expected[position, CLICK] = valid if single_column[position] else taps[position]
        expected[position, LONG_VIEW] = long_view
        seconds = _watch_seconds(duration, cap_seconds, terms, play)
        expected[position, WATCH] = seconds / cap_seconds
        fractions = (1.0 - plays[position], plays[position] - valid, valid - long_view, long_view)
        _fill_signals(fractions, odds[position], signal_odds, odds_after_like, expected[position])


@njit(cache=True, nogil=True)
def _fill_signals(
    fractions: Any, odds: Any, signal_odds: Any, odds_after_like: Any, expected: Any
) -> None:
    """Probabilities of the signals, from the fractions of the four classes of play."""
    for signal in range(len(odds)):
        expected[LIKE + signal] = 0.0
    for play_class in range(len(fractions)):
        fraction = fractions[play_class]
        like = _probability(signal_odds[0, play_class] * odds[0])
        expected[LIKE] += fraction * like
        for signal in range(1, len(odds)):
            own = signal_odds[signal, play_class] * odds[signal]
            without = _probability(own)
            given_like = _probability(own * odds_after_like[signal])
            expected[LIKE + signal] += fraction * (without + like * (given_like - without))


@njit(cache=True, nogil=True)
def _lasts(seconds: Any, moment: Any, terms: Any, play: Any) -> Any:
    """P(play time >= seconds) in the skip mode and in the watch mode, at one of the moments."""
    _, _, lured, watch_mean, watch_spread = play
    watch = _normal((watch_mean - math.log(seconds)) / watch_spread)
    return terms[2 * moment], watch + lured * (terms[2 * moment + 1] - watch)


@njit(cache=True, nogil=True)
def _mixture(skip: Any, watch: Any, play: Any) -> Any:
    """Mean over skip mode, watch mode and no play (0), weighted by their probabilities."""
    plays, watches, _, _, _ = play
    return plays * (skip + watches * (watch - skip))


@njit(cache=True, nogil=True)
def _watch_seconds(duration: Any, cap_seconds: Any, terms: Any, play: Any) -> Any:
    """E[min(play seconds, cap)]."""
    _, _, lured, watch_mean, watch_spread = play
    watch = _capped_mean(watch_mean, watch_spread, min(duration, cap_seconds))
    watch += lured * (terms[_LURED_CAPPED] - watch)
    skip = terms[_SKIP_CAPPED]
    if terms[_OVERRUN_CAPPED] > 0.0:
        skip_ends, watch_ends = _lasts(duration, _END, terms, play)
        skip += skip_ends * terms[_OVERRUN_CAPPED]
        watch += watch_ends * terms[_OVERRUN_CAPPED]
    return _mixture(skip, watch, play)


@njit(cache=True, nogil=True)
def _capped_mean(mean: Any, spread: Any, cap: Any) -> Any:
    """E[min(X, cap)] for ln X ~ N(mean, spread^2)."""
    z = (math.log(cap) - mean) / spread
    return math.exp(mean + spread**2 / 2) * _normal(z - spread) + cap * _normal(-z)


@njit(cache=True, nogil=True)
def _normal(z: Any) -> Any:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


@njit(cache=True, nogil=True)
def _probability(odds: Any) -> Any:
    return odds / (1.0 + odds)
