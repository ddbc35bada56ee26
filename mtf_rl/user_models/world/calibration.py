"""Compares a world's logs with the statistics that the world is calibrated to."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.user_models.world.constants import CLICK
from mtf_rl.user_models.world.tally import Tally, histogram_quantile
from mtf_rl.user_models.world.targets import TARGETS, Target

__all__ = ["CalibrationRow", "calibrate"]

_MIN_ROWS_OF_A_VIDEO = 50
_STANDARD, _RANDOM = 0, 1
_PAGE, _FEED = 0, 1


@dataclass(frozen=True)
class CalibrationRow:
    """A target and the produced value; rates also have the sampled rate and its 95 % half-width."""

    target: Target
    produced: float
    sampled: float | None = None
    half_width: float | None = None

    @property
    def met(self) -> bool:
        """Whether the produced value is within the tolerance."""
        return self.target.low <= self.produced <= self.target.high


def calibrate(totals: Tally) -> tuple[CalibrationRow, ...]:
    """Compare every target with the value in the tallied logs.

    Feedback rates are means of the world's true probabilities over the generated impressions,
    because sampled rates of rare signals are too noisy. The sampled rates are reported as well.
    """
    produced = {**_rates(totals), **_joint(totals), **_plays(totals)}
    produced |= {name: (value, None, None) for name, value in _sessions(totals).items()}
    produced |= {name: (value, None, None) for name, value in _populations(totals).items()}
    return tuple(CalibrationRow(target, *produced[target.name]) for target in TARGETS)


_Measured = tuple[float, float | None, float | None]


def _rates(totals: Tally) -> dict[str, _Measured]:
    measured: dict[str, _Measured] = {}
    for policy, name in ((_STANDARD, "standard"), (_RANDOM, "random")):
        for column, task in enumerate(KUAIRAND_TASKS.feedbacks):
            measured[f"{name}/{task.name}"] = _rate(
                totals.truth[policy, :, column].sum(),
                totals.feedback[policy, :, column].sum(),
                totals.rows[policy].sum(),
            )
    rows = totals.rows[_STANDARD]
    for tab, name in ((_PAGE, "page"), (_FEED, "feed")):
        clicks = totals.truth[_STANDARD, tab, CLICK], totals.feedback[_STANDARD, tab, CLICK]
        measured[f"{name}/click"] = _rate(*clicks, rows[tab])
        zeros = totals.zero_plays[_STANDARD, tab]
        measured[f"{name}/zero_play"] = (_ratio(zeros, rows[tab]), None, None)
    measured["feed/fraction_of_rows"] = (_ratio(rows[_FEED], rows.sum()), None, None)
    return measured


def _rate(expected: float, happened: float, rows: float) -> _Measured:
    sampled = _ratio(happened, rows)
    half_width = 1.96 * _ratio(np.sqrt(sampled * (1 - sampled) * rows), rows)
    return _ratio(expected, rows), sampled, half_width


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _joint(totals: Tally) -> dict[str, _Measured]:
    joint = totals.joint.astype(np.float64)
    names = [task.name for task in KUAIRAND_TASKS.feedbacks]

    def given(what: str, condition: str) -> _Measured:
        row, column = names.index(condition), names.index(what)
        fraction = _ratio(joint[row, column], joint[row, row])
        half_width = 1.96 * _ratio(np.sqrt(fraction * (1 - fraction)), np.sqrt(joint[row, row]))
        return fraction, fraction, half_width

    pairs = (("long_view", "click"), ("like", "click"), ("click", "like"), ("like", "follow"))
    return {f"{what}_given_{condition}": given(what, condition) for what, condition in pairs}


def _plays(totals: Tally) -> dict[str, _Measured]:
    return {
        f"feed/play_p{percent}_given_{name}": (
            histogram_quantile(
                totals.play_histogram[answer], percent / 100, zeros=int(totals.play_zeros[answer])
            ),
            None,
            None,
        )
        for answer, name in ((0, "none"), (1, "click"))
        for percent in (25, 50, 75, 90)
    }


def _sessions(totals: Tally) -> dict[str, float]:
    return {
        "items_per_request": _ratio(totals.rows.sum(), totals.requests),
        "requests_per_session": _ratio(totals.requests, totals.sessions),
        "gap_median_seconds": histogram_quantile(totals.gap_histogram, 0.5),
        "sessions_per_active_day": _ratio(totals.sessions, totals.active_days),
        "away_next_day": _ratio(totals.away, totals.day_ends),
        "return_gap_minus_one_days": _ratio(totals.extra_days, totals.day_ends),
    }


def _populations(totals: Tally) -> dict[str, float]:
    active = totals.user_rows > 0
    clicks = totals.user_clicks[active] / totals.user_rows[active]
    in_feed = totals.user_feed_rows > 0
    likes = totals.user_feed_likes[in_feed] / totals.user_feed_rows[in_feed]
    shown = totals.video_feed_rows >= _MIN_ROWS_OF_A_VIDEO
    video_likes = totals.video_feed_likes[shown] / totals.video_feed_rows[shown]
    video_clicks = totals.video_feed_clicks[shown] / totals.video_feed_rows[shown]
    return {
        "ks_click_of_users": _ks(clicks, 3.0, 3.4),
        "ks_like_of_users": _ks(likes, 0.10, 5.0),
        "ks_like_of_videos": _ks(video_likes, 0.9, 43.0),
        "correlation_exposures_click": _correlation(np.log(totals.user_rows[active]), clicks),
        "gini_of_exposures": _gini(totals.video_rows),
        "spearman_like_valid_play": _correlation(_ranks(video_likes), _ranks(video_clicks)),
    }


def _ks(values: FloatArray, a: float, b: float) -> float:
    """Kolmogorov-Smirnov distance of `values` to beta(a, b)."""
    return float(stats.kstest(values, stats.beta(a, b).cdf).statistic) if len(values) else np.nan


def _correlation(first: FloatArray, second: FloatArray) -> float:
    return float(np.corrcoef(first, second)[0, 1]) if len(first) > 1 else np.nan


def _ranks(values: FloatArray) -> FloatArray:
    return np.asarray(stats.rankdata(values))


def _gini(counts: IntArray) -> float:
    """Gini coefficient of exposures over videos, those never shown included."""
    ordered = np.sort(counts).astype(np.float64)
    positions = np.arange(1, len(ordered) + 1)
    return float(
        2 * (positions * ordered).sum() / (len(ordered) * ordered.sum()) - 1 - 1 / len(counts)
    )
