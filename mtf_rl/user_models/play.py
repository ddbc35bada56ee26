"""Play time of a video, modelled as one of 14 outcomes and a time within the outcome.

All other feedback is modelled given play time. An outcome is "not played", one of twelve time spans
that end before the video does, or "complete" (play to the end, possibly in a loop). Spans that
start at or after the video's end are masked. Times are whole milliseconds, KuaiRand's unit.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.user_models.array_records import ArrayRecord

__all__ = [
    "COMPLETE",
    "NUM_OUTCOMES",
    "NUM_PLAY_FEATURES",
    "ZERO_PLAY",
    "PlayTimes",
    "allowed_outcomes",
    "draw_outcomes",
    "duration_bucket",
    "outcome_fractions",
    "outcome_names",
    "outcomes_from",
    "play_features",
    "play_outcomes",
    "slice_means",
]

SPAN_STARTS_SECONDS = (0, 1, 2, 3, 5, 7, 10, 18, 30, 60, 120, 300)
NUM_SPANS = len(SPAN_STARTS_SECONDS)
ZERO_PLAY = 0
COMPLETE = NUM_SPANS + 1
NUM_OUTCOMES = NUM_SPANS + 2
NUM_PLAY_FEATURES = NUM_OUTCOMES + 2

# A span holds plays with start <= milliseconds < next start. Its edges at 7 s and 18 s match the
# rules of click and long_view. The first span starts at 1 ms, because 0 ms is "not played".
_SPAN_STARTS_MS = np.maximum(1000 * np.array(SPAN_STARTS_SECONDS, dtype=np.int64), 1)
_SPAN_ENDS_MS = np.append(_SPAN_STARTS_MS[1:], np.iinfo(np.int64).max)

DURATION_EDGES_SECONDS = (7.0, 18.0, 30.0, 60.0, 120.0, 180.0)
NUM_POSITIONS = 64
NUM_RATIOS = 256


def outcome_names() -> tuple[str, ...]:
    """A short name for each outcome.

    >>> outcome_names()[:3]
    ('not played', '0-1 s', '1-2 s')
    """
    starts = SPAN_STARTS_SECONDS
    spans = [f"{start}-{end} s" for start, end in itertools.pairwise(starts)]
    return ("not played", *spans, f"over {starts[-1]} s", "complete")


def play_outcomes(play_seconds: FloatArray, duration_seconds: FloatArray) -> IntArray:
    """The outcome of each play; the arrays have the same shape, which is arbitrary.

    >>> play_outcomes(np.array([0.0, 0.4, 7.0, 12.0]), np.array([9.0, 9.0, 9.0, 9.0]))
    array([ 0,  1,  6, 13])
    """
    play_ms = _milliseconds(play_seconds)
    outcomes = np.searchsorted(_SPAN_STARTS_MS, play_ms, side="right")
    complete = (play_ms >= _milliseconds(duration_seconds)) & (play_ms > 0)
    return np.where(complete, COMPLETE, outcomes)


def outcomes_from(seconds: float) -> int:
    """The first outcome of plays of at least `seconds`; `seconds` must be the start of a span.

    >>> outcome_names()[outcomes_from(7.0)]
    '7-10 s'
    """
    return 1 + SPAN_STARTS_SECONDS.index(int(seconds))


def allowed_outcomes(duration_seconds: FloatArray) -> BoolArray:
    """Which outcomes are possible for videos of these durations: (..., outcomes) bool."""
    duration_ms = _milliseconds(duration_seconds)[..., None]
    allowed = np.ones((*duration_ms.shape[:-1], NUM_OUTCOMES), dtype=np.bool_)
    allowed[..., 1:COMPLETE] = duration_ms > _SPAN_STARTS_MS
    return allowed


def outcome_fractions(logits: FloatArray, duration_seconds: FloatArray) -> FloatArray:
    """The probability of each outcome: a softmax over the possible outcomes.

    Args:
        logits: (rows, 14 or more); only the first 14 columns are used.
        duration_seconds: (rows,) duration of the videos.

    Returns:
        (rows, 14) float64.
    """
    fractions = np.empty((len(logits), NUM_OUTCOMES))
    _fractions_into(logits, _milliseconds(duration_seconds), _SPAN_STARTS_MS, fractions)
    return fractions


def draw_outcomes(fractions: FloatArray, uniforms: FloatArray) -> IntArray:
    """Draw one outcome per row by inversion.

    Args:
        fractions: (rows, 14) probabilities.
        uniforms: (rows,) in [0, 1).
    """
    outcomes = np.empty(len(fractions), dtype=np.int64)
    _draw_into(fractions, uniforms, outcomes)
    return outcomes


def play_features(play_seconds: FloatArray, duration_seconds: FloatArray) -> FloatArray:
    """Features of a play for predicting the other feedback: (rows, 14 + 2) float64.

    The one-hot outcome, ln(1 + seconds), and the play ratio clipped at 2.
    """
    outcomes = play_outcomes(play_seconds, duration_seconds)
    features = np.zeros((len(outcomes), NUM_PLAY_FEATURES))
    features[np.arange(len(outcomes)), outcomes] = 1.0
    features[:, NUM_OUTCOMES] = np.log1p(play_seconds)
    features[:, NUM_OUTCOMES + 1] = np.minimum(play_seconds / duration_seconds, 2.0)
    return features


@dataclass(frozen=True)
class PlayTimes(ArrayRecord):
    """Empirical distribution of the play time within each outcome.

    Both tables hold the log's quantile function as means over slices of equal probability, so that
    drawn times have exactly the log's mean.
    """

    positions: FloatArray  # (spans, 64) in [0, 1], from the span's start to its possible end
    complete_ratios: FloatArray  # (duration buckets, 256), play over duration, >= 1

    @classmethod
    def fit(cls, play_seconds: FloatArray, duration_seconds: FloatArray) -> "PlayTimes":
        """Fit the tables on logged plays, (rows,) each."""
        outcomes = play_outcomes(play_seconds, duration_seconds)
        play_ms = _milliseconds(play_seconds)
        positions = np.empty((NUM_SPANS, NUM_POSITIONS))
        for span in range(NUM_SPANS):
            rows = outcomes == span + 1
            start, end = _span_limits(np.full(rows.sum(), span), duration_seconds[rows])
            position = (play_ms[rows] - start) / np.maximum(end - start, 1)
            positions[span] = slice_means(position, NUM_POSITIONS, empty=_EVEN_POSITIONS)
        complete = outcomes == COMPLETE
        ratios = play_seconds[complete] / duration_seconds[complete]
        buckets = duration_bucket(duration_seconds[complete])
        complete_ratios = np.stack(
            [
                slice_means(ratios[buckets == bucket], NUM_RATIOS, empty=np.ones(NUM_RATIOS))
                for bucket in range(len(DURATION_EDGES_SECONDS) + 1)
            ]
        )
        return cls(positions, np.maximum(complete_ratios, 1.0))

    def draw(
        self, outcomes: IntArray, duration_seconds: FloatArray, uniforms: FloatArray
    ) -> FloatArray:
        """Draw play times consistent with `outcomes`, in seconds, (rows,) float32.

        The times are whole milliseconds.
        """
        spans = np.clip(outcomes - 1, 0, NUM_SPANS - 1)
        start, end = _span_limits(spans, duration_seconds)
        position = self.positions[spans, _slice(uniforms, NUM_POSITIONS)]
        within_ms = start + np.rint(position * (end - start)).astype(np.int64)
        duration_ms = _milliseconds(duration_seconds)
        ratio = self.complete_ratios[
            duration_bucket(duration_seconds), _slice(uniforms, NUM_RATIOS)
        ]
        complete_ms = np.maximum(np.rint(ratio * duration_ms).astype(np.int64), duration_ms)
        play_ms = np.where(outcomes == COMPLETE, complete_ms, within_ms)
        play_ms = np.where(outcomes == ZERO_PLAY, 0, play_ms)
        return (play_ms / 1000.0).astype(np.float32)


def slice_means(values: FloatArray, slices: int, *, empty: FloatArray) -> FloatArray:
    """The quantile function of `values`, as means over `slices` of equal probability.

    The mean of the result equals the mean of `values`. Without values the result is `empty`.

    >>> slice_means(np.array([4.0, 1.0, 2.0, 3.0]), 2, empty=np.zeros(2))
    array([1.5, 3.5])
    """
    if len(values) == 0:
        return empty
    integral = np.append(0.0, np.cumsum(np.sort(values.astype(np.float64)))) / len(values)
    fractions = np.linspace(0.0, 1.0, slices + 1)
    return np.diff(np.interp(fractions, np.linspace(0.0, 1.0, len(values) + 1), integral)) * slices


_EVEN_POSITIONS = (np.arange(NUM_POSITIONS) + 0.5) / NUM_POSITIONS


# Compiled loops: each row is summed in a fixed order, independent of the other rows.


@njit(cache=True, nogil=True)
def _fractions_into(logits: Any, duration_ms: Any, span_starts_ms: Any, fractions: Any) -> None:
    for row in range(len(fractions)):
        # Spans that start before the video's end come first; "complete" is always possible.
        possible = 1
        for start_ms in span_starts_ms:
            possible += duration_ms[row] > start_ms
        highest = max(logits[row, ZERO_PLAY], logits[row, COMPLETE])
        for outcome in range(1, possible):
            highest = max(highest, logits[row, outcome])
        total = 0.0
        for outcome in range(NUM_OUTCOMES):
            can_happen = outcome < possible or outcome == COMPLETE
            weight = np.exp(logits[row, outcome] - highest) if can_happen else 0.0
            fractions[row, outcome] = weight
            total += weight
        for outcome in range(NUM_OUTCOMES):
            fractions[row, outcome] /= total


@njit(cache=True, nogil=True)
def _draw_into(fractions: Any, uniforms: Any, outcomes: Any) -> None:
    for row in range(len(fractions)):
        outcome, cumulative = 0, fractions[row, 0]
        while cumulative < uniforms[row] and outcome < COMPLETE:
            outcome += 1
            cumulative += fractions[row, outcome]
        outcomes[row] = outcome


def _span_limits(spans: IntArray, duration_seconds: FloatArray) -> tuple[IntArray, IntArray]:
    """The first and last possible millisecond of a play in each span, given the duration."""
    last_ms = np.minimum(_SPAN_ENDS_MS[spans], _milliseconds(duration_seconds)) - 1
    return _SPAN_STARTS_MS[spans], np.maximum(last_ms, _SPAN_STARTS_MS[spans])


def _milliseconds(seconds: FloatArray) -> IntArray:
    return np.rint(np.asarray(seconds, dtype=np.float64) * 1000.0).astype(np.int64)


def duration_bucket(duration_seconds: FloatArray) -> IntArray:
    """Duration bucket of each video, from 0 (shortest) to 6; any shape."""
    return np.searchsorted(DURATION_EDGES_SECONDS, duration_seconds, side="left")


def _slice(uniforms: FloatArray, slices: int) -> IntArray:
    return (uniforms * slices).astype(np.int64)
