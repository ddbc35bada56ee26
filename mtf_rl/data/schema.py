"""KuaiRand's file layout: columns, their types and ranges.

Source: README of chongminggao/KuaiRand (Gao et al., CIKM 2022, doi 10.1145/3511808.3557624).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from mtf_rl.core.tasks import KUAIRAND_TASKS

__all__ = [
    "FLAG_COLUMNS",
    "LARGEST_NUMBER",
    "LOG_COLUMNS",
    "NULL_TEXTS",
    "USER_COLUMNS",
    "VIDEO_COLUMNS",
    "Column",
    "ColumnKind",
    "FileKind",
]

NULL_TEXTS = ("", "NA", "NULL", "NaN", "None", "nan", "null")

FLAG_COLUMNS = tuple(task.column for task in KUAIRAND_TASKS.feedbacks)

# Years 2010 to 2100 in milliseconds; times in seconds or microseconds are out of range.
_EARLIEST_MS, _LATEST_MS = 1_262_304_000_000, 4_102_444_800_000
_LONGEST_MS = 1_000_000_000
# float64 cannot represent all integers above this number.
LARGEST_NUMBER = 2**53


class FileKind(StrEnum):
    """Kind of a file; the value is the prefix of its name."""

    LOG_STANDARD = "log_standard"
    LOG_RANDOM = "log_random"
    USER_FEATURES = "user_features"
    VIDEO_FEATURES_BASIC = "video_features_basic"
    VIDEO_FEATURES_STATISTIC = "video_features_statistic"

    @property
    def is_log(self) -> bool:
        """Whether the rows of the file are impressions."""
        return self in (FileKind.LOG_STANDARD, FileKind.LOG_RANDOM)


class ColumnKind(StrEnum):
    """Data type of a column."""

    INTEGER = "integer"  # int64
    NUMBER = "number"  # float64, a quantity; negative means missing
    CODE = "code"  # float64, the number of a category; negative means missing
    TEXT = "text"  # the name of a category
    DATE = "date"  # YYYY-MM-DD
    TAGS = "tags"  # integers separated by commas


@dataclass(frozen=True)
class Column:
    """A column to read. An integer must be in [`low`, `high`]."""

    name: str
    kind: ColumnKind
    low: int = 0
    high: int = LARGEST_NUMBER
    required: bool = False

    @property
    def expected(self) -> str:
        """Description of valid cells, for messages."""
        if self.kind is ColumnKind.INTEGER:
            return f"an integer from {self.low} to {self.high}"
        return {
            ColumnKind.NUMBER: "a number of at most 2^53",
            ColumnKind.CODE: "a number of at most 2^53",
            ColumnKind.TEXT: "text",
            ColumnKind.DATE: "a date written YYYY-MM-DD",
            ColumnKind.TAGS: "integers separated by commas",
        }[self.kind]

    def accepts(self, text: str) -> bool:
        """Whether a cell's text is valid; an empty cell is valid unless the column is required."""
        if text in NULL_TEXTS:
            return not self.required
        if self.kind is ColumnKind.INTEGER:
            return bool(_WHOLE.fullmatch(text.strip(" \t"))) and self.low <= int(text) <= self.high
        return _ACCEPTS[self.kind](text)


_WHOLE = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_TAGS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text.strip(" \t"))) and abs(float(text)) <= LARGEST_NUMBER


def _is_date(text: str) -> bool:
    try:
        return len(text) == len("YYYY-MM-DD") and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_text(text: str) -> bool:
    return text.isprintable()


def _is_tags(text: str) -> bool:
    return bool(_TAGS.fullmatch(text))


_ACCEPTS: dict[ColumnKind, Callable[[str], bool]] = {
    ColumnKind.NUMBER: _is_number,
    ColumnKind.CODE: _is_number,
    ColumnKind.TEXT: _is_text,
    ColumnKind.DATE: _is_date,
    ColumnKind.TAGS: _is_tags,
}


def _integer(name: str, low: int = 0, high: int = _LONGEST_MS) -> Column:
    return Column(name, ColumnKind.INTEGER, low, high)


def _columns(kind: ColumnKind, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names)


LOG_COLUMNS = (
    _integer("user_id", high=LARGEST_NUMBER),
    _integer("video_id", high=LARGEST_NUMBER),
    _integer("date", 20_100_101, 21_001_231),
    _integer("hourmin", 0, 2400),
    _integer("time_ms", _EARLIEST_MS, _LATEST_MS),
    _integer("is_click", 0, 1),
    _integer("is_like", 0, 1),
    _integer("is_follow", 0, 1),
    _integer("is_comment", 0, 1),
    _integer("is_forward", 0, 1),
    _integer("is_hate", 0, 1),
    _integer("long_view", 0, 1),
    # KuaiRand-27K has play times of -8 to -1 ms.
    _integer("play_time_ms", -1000),
    _integer("duration_ms"),
    _integer("profile_stay_time", -1000),
    _integer("comment_stay_time", -1000),
    _integer("is_profile_enter", 0, 1),
    _integer("is_rand", 0, 1),
    _integer("tab", 0, 32_767),
)

USER_COLUMNS = (
    Column("user_id", ColumnKind.INTEGER, required=True),
    *_columns(ColumnKind.TEXT, "user_active_degree"),
    *_columns(ColumnKind.CODE, "is_lowactive_period", "is_live_streamer", "is_video_author"),
    *_columns(
        ColumnKind.TEXT,
        "follow_user_num_range",
        "fans_user_num_range",
        "friend_user_num_range",
        "register_days_range",
    ),
    *_columns(ColumnKind.CODE, *(f"onehot_feat{number}" for number in range(18))),
    *_columns(
        ColumnKind.NUMBER, "follow_user_num", "fans_user_num", "friend_user_num", "register_days"
    ),
)

VIDEO_COLUMNS = (
    Column("video_id", ColumnKind.INTEGER, required=True),
    *_columns(ColumnKind.CODE, "author_id"),
    *_columns(ColumnKind.TEXT, "video_type", "upload_type"),
    *_columns(ColumnKind.CODE, "music_type"),
    *_columns(ColumnKind.NUMBER, "video_duration"),
    *_columns(ColumnKind.DATE, "upload_dt"),
    *_columns(ColumnKind.TAGS, "tag"),
)
