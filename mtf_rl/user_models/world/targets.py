"""Calibration targets of a world: public statistics of KuaiRand with source and tolerance."""

from dataclasses import dataclass

__all__ = ["TARGETS", "Target"]

_FEED = "KuaiRand-27K standard log, 322,278,385 rows, exploratory tables of limings02/kuairand"
_RANDOM = "KuaiRand random log, 1,186,059 rows, combined means less the standard counts"
_PURE_ROWS = "KuaiRand-Pure standard log, 2022-04-25 to 05-05, single-column feed, computed here"
_JOINT = "KuaiRand-Pure and 1K standard logs, preprocessing notebooks of KuaiSim and GFN4Rec"
_LOG_1K = "KuaiRand-1K standard log, 11,713,045 rows, report of kuairand-longseq-rec"
_PURE = "KuaiRand-Pure standard log, 1,436,609 rows, preprocessing notebook of KuaiSim"
_FIT = "beta-binomial fits to KuaiRand-27K (click) and to the public KuaiRand-Pure rows (like)"
_RETURN = "KuaiRand-1K, 26,636 intervals between active days, notebook of GFN4Rec"
_STATISTIC = "video_features_statistic_pure, 7,583 videos"


@dataclass(frozen=True)
class Target:
    """A statistic of the real feed; the world's value must be in [low, high]."""

    name: str
    value: float
    low: float
    high: float
    source: str


def _within(name: str, value: float, fraction: float, source: str) -> Target:
    return Target(name, value, value * (1 - fraction), value * (1 + fraction), source)


def _between(name: str, low: float, high: float, source: str) -> Target:
    return Target(name, (low + high) / 2, low, high, source)


TARGETS = (
    _within("standard/click", 0.379, 0.07, _FEED),
    _within("standard/long_view", 0.260, 0.07, _FEED),
    _within("standard/like", 0.0156, 0.30, _LOG_1K),
    _within("standard/comment", 0.0025, 0.30, _PURE),
    _within("standard/follow", 0.0010, 0.30, _LOG_1K),
    _within("standard/forward", 0.0008, 0.30, _PURE),
    _within("standard/hate", 0.0005, 0.30, _PURE),
    _within("random/click", 0.176, 0.07, _RANDOM),
    _within("random/long_view", 0.085, 0.07, _RANDOM),
    _within("random/like", 0.0048, 0.30, _RANDOM),
    _within("random/comment", 0.00035, 0.30, _RANDOM),
    _within("random/follow", 0.00026, 0.30, _RANDOM),
    _within("random/forward", 0.00034, 0.30, _RANDOM),
    _within("random/hate", 0.00114, 0.30, _RANDOM),
    _within("feed/fraction_of_rows", 0.77, 0.07, _FEED),
    _within("feed/click", 0.444, 0.07, _FEED),
    _within("page/click", 0.116, 0.07, _FEED),
    _within("page/zero_play", 0.918, 0.07, "KuaiRand-Pure standard log, tab 0, 04-25 to 05-08"),
    _between("long_view_given_click", 0.66, 0.74, _JOINT),
    _between("like_given_click", 0.025, 0.040, _JOINT),
    _within("click_given_like", 0.84, 0.07, _JOINT),
    _between("like_given_follow", 0.38, 0.43, _JOINT),
    _within("feed/play_p25_given_click", 13.1, 0.15, _PURE_ROWS),
    _within("feed/play_p50_given_click", 25.9, 0.15, _PURE_ROWS),
    _within("feed/play_p75_given_click", 58.5, 0.15, _PURE_ROWS),
    _within("feed/play_p90_given_click", 110.4, 0.15, _PURE_ROWS),
    _within("feed/play_p25_given_none", 1.39, 0.15, _PURE_ROWS),
    _within("feed/play_p50_given_none", 1.8, 0.15, "KuaiRand-Pure, 04-25 to 05-08, all scenes"),
    _within("feed/play_p75_given_none", 3.72, 0.15, _PURE_ROWS),
    _within("feed/play_p90_given_none", 5.33, 0.15, _PURE_ROWS),
    _within("items_per_request", 5.8, 0.10, _FEED),
    _within("requests_per_session", 13.6, 0.10, _FEED),
    _within("gap_median_seconds", 71.0, 0.10, _FEED),
    _within("sessions_per_active_day", 5.4, 0.10, _FEED),
    _within("away_next_day", 0.043, 0.30, _RETURN),
    _within("return_gap_minus_one_days", 0.09, 0.30, _RETURN),
    Target("ks_click_of_users", 0.0, 0.0, 0.1, _FIT + ": beta(3.0, 3.4)"),
    Target("ks_like_of_users", 0.0, 0.0, 0.1, _FIT + ": beta(0.10, 5.0)"),
    Target("ks_like_of_videos", 0.0, 0.0, 0.1, _FIT + ": beta(0.9, 43)"),
    _between("correlation_exposures_click", -0.6, -0.4, _FEED),
    _between(
        "gini_of_exposures", 0.70, 0.83, "KuaiRand-Pure (0.712) and 27K (0.827) standard logs"
    ),
    Target("spearman_like_valid_play", 0.03, -0.15, 0.15, _STATISTIC),
)
