"""Writes a world's users, videos and impressions as tables in KuaiRand's official layout."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.randomness import hash_words
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.core.videos import NO_TAG
from mtf_rl.user_models.world.constants import (
    CLICK,
    COMMENT,
    FOLLOW,
    FORWARD,
    HATE,
    LIKE,
    LONG_VIEW,
)
from mtf_rl.user_models.world.population import Users, Videos
from mtf_rl.user_models.world.simulate_logs import LoggedRows

__all__ = [
    "FIRST_DAY",
    "LOG_COLUMNS",
    "STATISTIC_COLUMNS",
    "log_table",
    "statistic_counts",
    "statistic_table",
    "user_table",
    "video_table",
]

FIRST_DAY = date(2022, 4, 8)
_FIRST_MS = 1_649_347_200_000  # 2022-04-08 00:00 at UTC+8
_DAY_MS, _HOUR_MS = 86_400_000, 3_600_000
# `hourmin` is ahead of time_ms's hour in 17.5 % of KuaiRand's rows: the row is written later.
_WRITE_LAG_MS = 630_000

LOG_COLUMNS = (
    "user_id", "video_id", "date", "hourmin", "time_ms",
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view",
    "play_time_ms", "duration_ms", "profile_stay_time", "comment_stay_time",
    "is_profile_enter", "is_rand", "tab",
)  # fmt: skip
# P(profile entered | none, brief, valid, long play) in KuaiRand-Pure, 04-25 to 05-05.
_PROFILE_RATE = np.array([0.0007, 0.0028, 0.0279, 0.0441])
_COMMENTS_OPENED_RATE = np.array([0.0011, 0.0045, 0.0436, 0.119])


def log_table(rows: LoggedRows, videos: Videos) -> pa.Table:
    """Impressions with the columns and the column order of the official logs."""
    written = rows.times_ms + _WRITE_LAG_MS
    columns: dict[str, Any] = {
        "user_id": rows.users,
        "video_id": rows.videos,
        "date": _dates(written // _DAY_MS),
        "hourmin": 100 * (written // _HOUR_MS % 24),
        "time_ms": _FIRST_MS + rows.times_ms,
        **{
            task.column: rows.feedback[:, column].astype(np.int64)
            for column, task in enumerate(KUAIRAND_TASKS.feedbacks)
        },
        "play_time_ms": rows.play_ms,
        "duration_ms": _duration_ms(videos)[rows.videos],
        **_stays(rows),
        "is_rand": rows.randomised.astype(np.int64),
        "tab": rows.tabs,
    }
    return pa.table({name: columns[name] for name in LOG_COLUMNS})


def _dates(days: IntArray) -> IntArray:
    """Days since the first day, as integers YYYYMMDD."""
    last = int(days.max(initial=0))
    names = [int(f"{FIRST_DAY + timedelta(days=day):%Y%m%d}") for day in range(last + 1)]
    return np.array(names)[days]


def _duration_ms(videos: Videos) -> IntArray:
    return np.rint(1000 * videos.catalogue.duration_seconds.astype(np.float64)).astype(np.int64)


def _stays(rows: LoggedRows) -> dict[str, IntArray]:
    """Visits to the author's page and to the comments; no model uses these columns."""
    clicked, long_view = rows.feedback[:, CLICK] > 0, rows.feedback[:, LONG_VIEW] > 0
    play_class = np.add(rows.play_ms > 0, clicked, dtype=np.int64) + long_view
    profile = rows.stay[:, 0] < _PROFILE_RATE[play_class]
    opened = (rows.stay[:, 1] < _COMMENTS_OPENED_RATE[play_class]) | (rows.feedback[:, COMMENT] > 0)
    profile_ms = np.rint(-8000 * np.log(rows.stay[:, 1])).astype(np.int64)
    comment_ms = np.rint(-10_400 * np.log(rows.stay[:, 0])).astype(np.int64)
    return {
        "profile_stay_time": np.where(profile, profile_ms, 0),
        "comment_stay_time": np.where(opened, comment_ms, 0),
        "is_profile_enter": profile.astype(np.int64),
    }


_ACTIVE_DEGREES = ("low_active", "2_14_day_new", "middle_active", "high_active", "full_active")
_ACTIVE_EDGES = (-2.29, -1.82, -1.17, -0.41)  # normal quantiles of KuaiRand's fractions
_PROFILE_NOISE = 0.6


def user_table(users: Users, seed: int) -> pd.DataFrame:
    """Public profiles, noisy copies of the hidden traits, in the official columns."""
    rng = np.random.default_rng([seed, 4])
    count = len(users.activity)

    def noisy(score: FloatArray) -> FloatArray:
        blurred = score + _PROFILE_NOISE * rng.normal(size=count)
        return np.asarray(blurred / np.sqrt(1 + _PROFILE_NOISE**2))

    scores = _profile_scores(users)
    degree = np.searchsorted(_ACTIVE_EDGES, noisy(scores["activity"]))
    follows = np.rint(np.exp(5.04 + 1.5 * noisy(scores["care"]))).astype(np.int64) - 1
    fans = np.rint(np.exp(3.9 + 2.0 * noisy(scores["like"]))).astype(np.int64) - 1
    friends = np.rint(np.exp(2.8 + 2.0 * noisy(scores["comment"]))).astype(np.int64) - 1
    register = np.rint(np.exp(7.08 - 0.8 * noisy(scores["watching"]))).clip(8, 4000)
    follows, fans, friends = (values.clip(0) for values in (follows, fans, friends))
    columns: dict[str, Any] = {
        "user_id": np.arange(count),
        "user_active_degree": np.array(_ACTIVE_DEGREES)[degree],
        "is_lowactive_period": 0,
        "is_live_streamer": np.where(rng.uniform(size=count) < 0.226, 1, -124),
        "is_video_author": (rng.uniform(size=count) < 0.816).astype(int),
        "follow_user_num": follows,
        "follow_user_num_range": _ranges(follows, _FOLLOW_RANGES),
        "fans_user_num": fans,
        "fans_user_num_range": _ranges(fans, _FANS_RANGES),
        "friend_user_num": friends,
        "friend_user_num_range": _ranges(friends, _FRIEND_RANGES),
        "register_days": register.astype(np.int64),
        "register_days_range": _ranges(register.astype(np.int64), _REGISTER_RANGES),
        **_encrypted_features(scores, noisy, rng),
    }
    return pd.DataFrame(columns)


def _profile_scores(users: Users) -> dict[str, FloatArray]:
    """Standard scores of the traits that profiles reveal with noise."""

    def ranked(values: FloatArray) -> FloatArray:
        ranks = np.argsort(np.argsort(values)) + 0.5
        return np.asarray(np.sqrt(12.0) * (ranks / len(values) - 0.5))

    return {
        "activity": users.activity,
        "watching": ranked(users.watching),
        "like": ranked(users.propensities[:, 0]),
        "comment": ranked(users.propensities[:, 2]),
        "forward": ranked(users.propensities[:, 3]),
        "care": ranked(users.care),
        "boredom": ranked(users.boredom_sensitivity),
        "tiring": ranked(users.tiring_sensitivity),
        **{f"taste{axis}": users.watch_taste[:, axis] for axis in range(4)},
    }


# (exclusive upper bound, name), as in the official file.
_FOLLOW_RANGES = (
    (1, "0"), (11, "(0,10]"), (51, "(10,50]"), (101, "(50,100]"), (151, "(100,150]"),
    (251, "(150,250]"), (501, "(250,500]"), (None, "500+"),
)  # fmt: skip
_FANS_RANGES = (
    (1, "0"), (10, "[1,10)"), (100, "[10,100)"), (1000, "[100,1k)"), (5000, "[1k,5k)"),
    (10_000, "[5k,1w)"), (100_000, "[1w,10w)"), (None, "[10w,100w)"),
)  # fmt: skip
_FRIEND_RANGES = (
    (1, "0"), (5, "[1,5)"), (30, "[5,30)"), (60, "[30,60)"), (120, "[60,120)"),
    (250, "[120,250)"), (None, "250+"),
)  # fmt: skip
_REGISTER_RANGES = (
    (15, "8-14"), (31, "15-30"), (61, "31-60"), (91, "61-90"), (181, "91-180"),
    (366, "181-365"), (731, "366-730"), (None, "730+"),
)  # fmt: skip


def _ranges(values: IntArray, ranges: tuple[tuple[int | None, str], ...]) -> IntArray:
    edges = [edge for edge, _ in ranges if edge is not None]
    return np.array([name for _, name in ranges])[np.searchsorted(edges, values, side="right")]


# Number of values of each encrypted feature in the official file, and the trait it encodes.
_ENCRYPTED = (
    (2, "care"), (7, "care"), (50, "taste0"), (1471, None), (15, "like"), (34, "tiring"),
    (3, "boredom"), (118, "taste1"), (454, None), (7, "watching"), (5, "tiring"), (5, "comment"),
    (2, "boredom"), (2, "forward"), (2, "taste2"), (2, "taste3"), (2, "care"), (2, None),
)  # fmt: skip


def _encrypted_features(
    scores: dict[str, FloatArray], noisy: Any, rng: np.random.Generator
) -> dict[str, IntArray]:
    """onehot_feat0 to 17: equal-sized bins of noisy traits, or noise."""
    columns: dict[str, IntArray] = {}
    for number, (size, trait) in enumerate(_ENCRYPTED):
        count = len(scores["care"])
        score = rng.normal(size=count) if trait is None else noisy(scores[trait])
        ranks = np.argsort(np.argsort(score))
        columns[f"onehot_feat{number}"] = ranks * size // count
    return columns


def video_table(videos: Videos, seed: int) -> pd.DataFrame:
    """Public attributes of the videos, in the official columns."""
    rng = np.random.default_rng([seed, 6])
    catalogue = videos.catalogue
    count = catalogue.num_videos
    wide = rng.uniform(size=count) < 0.24
    kinds = np.array(["LongImport", "Web", "ShortImport", "Kmovie", "LongPicture"])
    music = rng.choice([9.0, 4.0, 8.0], size=count, p=[0.905, 0.089, 0.006])
    uploaded = [f"{FIRST_DAY + timedelta(days=int(day))}" for day in videos.upload_day]
    return pd.DataFrame(
        {
            "video_id": np.arange(count),
            "author_id": catalogue.authors.astype(np.int64),
            "video_type": np.where(rng.uniform(size=count) < 0.01, "AD", "NORMAL"),
            "upload_dt": uploaded,
            "upload_type": rng.choice(kinds, size=count, p=[0.41, 0.33, 0.12, 0.12, 0.02]),
            "visible_status": 0.0,
            "video_duration": _duration_ms(videos).astype(np.float64),
            "server_width": np.where(wide, 1280.0, 720.0),
            "server_height": np.where(wide, 720.0, 1280.0),
            "music_id": (hash_words(seed, 8, np.arange(count)) % np.uint64(10**10)).astype(
                np.int64
            ),
            "music_type": music,
            "tag": [",".join(str(tag) for tag in row if tag != NO_TAG) for row in catalogue.tags],
        }
    )


STATISTIC_COLUMNS = (
    "show_cnt", "show_user_num", "play_cnt", "play_user_num", "play_duration",
    "complete_play_cnt", "complete_play_user_num", "valid_play_cnt", "valid_play_user_num",
    "long_time_play_cnt", "long_time_play_user_num", "short_time_play_cnt",
    "short_time_play_user_num", "play_progress", "comment_stay_duration", "like_cnt",
    "like_user_num", "click_like_cnt", "double_click_cnt", "cancel_like_cnt",
    "cancel_like_user_num", "comment_cnt", "comment_user_num", "direct_comment_cnt",
    "reply_comment_cnt", "delete_comment_cnt", "delete_comment_user_num", "comment_like_cnt",
    "comment_like_user_num", "follow_cnt", "follow_user_num", "cancel_follow_cnt",
    "cancel_follow_user_num", "share_cnt", "share_user_num", "download_cnt", "download_user_num",
    "report_cnt", "report_user_num", "reduce_similar_cnt", "reduce_similar_user_num",
    "collect_cnt", "collect_user_num", "cancel_collect_cnt", "cancel_collect_user_num",
    "direct_comment_user_num", "reply_comment_user_num", "share_all_cnt", "share_all_user_num",
    "outsite_share_all_cnt",
)  # fmt: skip


def statistic_counts(rows: LoggedRows, videos: Videos) -> dict[str, IntArray]:
    """Integer totals of every video, (videos,) each; totals of disjoint users can be added."""
    count = videos.catalogue.num_videos
    duration = _duration_ms(videos)[rows.videos]
    played = rows.play_ms > 0
    short = played & (rows.play_ms < np.minimum(3000, duration))
    events: dict[str, tuple[BoolArray, str]] = {
        "show": (np.ones(len(rows.users), dtype=bool), "show_cnt"),
        "play": (played, "play_cnt"),
        "complete_play": (rows.play_ms >= duration, "complete_play_cnt"),
        "valid_play": (rows.play_ms >= np.minimum(7000, duration), "valid_play_cnt"),
        "long_time_play": (rows.play_ms >= np.minimum(18_000, duration), "long_time_play_cnt"),
        "short_time_play": (short, "short_time_play_cnt"),
        "like": (rows.feedback[:, LIKE] > 0, "like_cnt"),
        "follow": (rows.feedback[:, FOLLOW] > 0, "follow_cnt"),
        "comment": (rows.feedback[:, COMMENT] > 0, "comment_cnt"),
        "share": (rows.feedback[:, FORWARD] > 0, "share_cnt"),
        "reduce_similar": (rows.feedback[:, HATE] > 0, "reduce_similar_cnt"),
    }
    totals: dict[str, IntArray] = {}
    pairs = rows.users.astype(np.int64) * count + rows.videos
    order = np.argsort(pairs, kind="stable")
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))  # where a new pair begins
    pair_videos = pairs[order][first] % count
    for stem, (happened, name) in events.items():
        totals[name] = np.bincount(rows.videos[happened], minlength=count)
        ever = np.logical_or.reduceat(happened[order], first) if len(first) else happened
        totals[f"{stem}_user_num"] = np.bincount(pair_videos[ever], minlength=count)
    milliseconds = np.bincount(rows.videos, rows.play_ms.astype(np.float64), minlength=count)
    totals["play_duration"] = milliseconds.astype(np.int64)
    return totals


def statistic_table(totals: dict[str, IntArray], videos: Videos, days: int) -> pd.DataFrame:
    """Daily means of the log's totals in the official columns; 0 for events not in the world."""
    count = videos.catalogue.num_videos
    columns: dict[str, Any] = {"video_id": np.arange(count), "counts": days}
    for name in STATISTIC_COLUMNS:
        columns[name] = totals.get(name, np.zeros(count)) / days
    watched = _duration_ms(videos) * np.maximum(totals["play_cnt"], 1)
    columns["play_progress"] = np.minimum(totals["play_duration"] / watched, 1.0)
    for name, source in (("click_like_cnt", "like_cnt"), ("direct_comment_cnt", "comment_cnt")):
        columns[name] = columns[source]
    for name in ("cnt", "user_num"):
        columns[f"share_all_{name}"] = columns[f"share_{name}"]
    return pd.DataFrame(columns)
