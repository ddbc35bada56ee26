"""Read KuaiRand's CSV files into a `Dataset`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.log_schema import KUAIRAND_LOG, LogSchema
from mtf_rl.core.randomness import hash_words
from mtf_rl.core.videos import NO_TAG, VideoCatalogue
from mtf_rl.data.accounts import FileAccount, RowAccount
from mtf_rl.data.csv_tables import count_rows, read_table
from mtf_rl.data.dataset import Dataset, DurationFills
from mtf_rl.data.feature_tables import MISSING, FeatureTable, build_feature_table
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.schema import (
    FLAG_COLUMNS,
    LOG_COLUMNS,
    USER_COLUMNS,
    VIDEO_COLUMNS,
    Column,
    FileKind,
)
from mtf_rl.data.sessions import days_of, hours_of, number_requests, number_sessions
from mtf_rl.data.sources import FoundFile, SourceFile, find_files

__all__ = ["read_kuairand"]

DUPLICATE = "exact duplicate row"
NEGATIVE_PLAY = "negative play_time_ms set to 0"

_FALLBACK_DURATION_MS = 30_000.0


def read_kuairand(directory: Path, *, session_gap_minutes: float = 30.0) -> Dataset:
    """Read and check KuaiRand's files, and number requests and sessions.

    Files are found by prefix and may be plain, .gz, .xz or .zst. A log is required; features are
    optional. Several logs are merged; exact duplicate rows and rows with an empty cell are dropped
    and counted. The statistics file is recorded but not used, because it averages over the whole
    month, including the test days. The index of a user or video is the rank of its id among those
    of the features and the log.

    Args:
        directory: folder with the files; its subfolders are not searched.
        session_gap_minutes: a longer gap between a user's requests starts a new session, > 0.

    Raises:
        ConfigError: if the gap is not positive.
        DataError: if a file is invalid; the message has file, line and column.
    """
    schema = replace(KUAIRAND_LOG, session_gap_minutes=session_gap_minutes)
    found = find_files(directory)
    logs = [_read_log(file) for file in found if file.kind.is_log]
    user_table, user_files = _read_features(found, FileKind.USER_FEATURES, USER_COLUMNS)
    video_table, video_files = _read_features(found, FileKind.VIDEO_FEATURES_BASIC, VIDEO_COLUMNS)
    unused = [count_rows(f) for f in found if f.kind is FileKind.VIDEO_FEATURES_STATISTIC]

    log, account = _merge_logs(logs)
    users = build_feature_table(user_table, USER_COLUMNS, log["user_id"])
    videos = build_feature_table(video_table, VIDEO_COLUMNS, log["video_id"])
    catalogue, fills = _build_catalogue(videos, log)
    return Dataset(
        impressions=_build_impressions(log, users, videos, catalogue, schema),
        users=users,
        videos=videos,
        catalogue=catalogue,
        account=account,
        files=(*(source for source, _ in logs), *user_files, *video_files, *unused),
        duration_fills=fills,
        schema=schema,
    )


def _read_log(file: FoundFile) -> tuple[SourceFile, pa.Table]:
    table, source = read_table(file, LOG_COLUMNS)
    return source, table


def _read_features(
    found: tuple[FoundFile, ...], kind: FileKind, columns: tuple[Column, ...]
) -> tuple[pa.Table | None, list[SourceFile]]:
    """All files of a kind as one table; None if there is no file.

    Raises:
        DataError: if an id is repeated.
    """
    tables, sources = [], []
    for file in found:
        if file.kind is kind:
            table, source = read_table(file, columns)
            tables.append(table)
            sources.append(source)
    if not tables:
        return None, []
    merged = pa.concat_tables(tables)
    _refuse_duplicate_ids(merged.column(columns[0].name).to_numpy(), columns[0].name, sources)
    return merged, sources


def _refuse_duplicate_ids(ids: NDArray[Any], name: str, sources: list[SourceFile]) -> None:
    _, first = np.unique(ids, return_index=True)
    if len(first) == len(ids):
        return
    repeated = np.setdiff1d(np.arange(len(ids)), first)
    origin = np.repeat(np.arange(len(sources)), [source.rows for source in sources])
    start = np.searchsorted(origin, origin[repeated[0]])
    raise DataError(
        f"{sources[origin[repeated[0]]].name}, data row {int(repeated[0] - start) + 1}, column"
        f" {name}: {int(ids[repeated[0]])} is also in an earlier row ({len(repeated)} repeated rows"
        " in total). Keep one row per id."
    )


def _merge_logs(
    logs: list[tuple[SourceFile, pa.Table]],
) -> tuple[dict[str, NDArray[np.int64]], RowAccount]:
    """Raw rows of all log files in (user, time) order with their `keys`, and the row counts.

    Rows with equal user and time keep the order of files and lines, in which the slate was
    written.
    """
    dropped = [Counter[str]() for _ in logs]
    complete = [
        _drop_incomplete(table, count) for (_, table), count in zip(logs, dropped, strict=True)
    ]
    origin = np.repeat(np.arange(len(logs)), [table.num_rows for table in complete])
    merged = pa.concat_tables(complete)
    raw = {column.name: merged.column(column.name).to_numpy() for column in LOG_COLUMNS}
    keys = hash_words(*raw.values()) if merged.num_rows else np.zeros(0, dtype=np.uint64)
    duplicate = _find_duplicates(raw, keys)
    negative = (raw["play_time_ms"] < 0) & ~duplicate
    accounts = []
    for number, ((source, _), count) in enumerate(zip(logs, dropped, strict=True)):
        here = origin == number
        count[DUPLICATE] += int((here & duplicate).sum())
        repaired = Counter({NEGATIVE_PLAY: int((here & negative).sum())})
        kept = int((here & ~duplicate).sum())
        accounts.append(FileAccount(source.name, source.rows, kept, dict(+count), dict(+repaired)))
    if duplicate.all():
        names = ", ".join(source.name for source, _ in logs)
        raise DataError(
            f"{names}: every row has an empty cell, so none can be used. Download the files again."
        )
    kept_rows = np.flatnonzero(~duplicate)
    order = kept_rows[np.lexsort((raw["time_ms"][kept_rows], raw["user_id"][kept_rows]))]
    log = {name: values[order] for name, values in (raw | {"keys": keys}).items()}
    return log, RowAccount(tuple(accounts))


def _drop_incomplete(table: pa.Table, dropped: Counter[str]) -> pa.Table:
    """Drop rows with an empty cell, counted by their first empty column."""
    complete = np.ones(table.num_rows, dtype=np.bool_)
    for column in LOG_COLUMNS:
        values = table.column(column.name)
        if values.null_count:
            empty = complete & values.is_null().to_numpy()
            dropped[f"empty {column.name}"] += int(empty.sum())
            complete &= ~empty
    return table if complete.all() else table.filter(pa.array(complete))


def _find_duplicates(
    raw: dict[str, NDArray[np.int64]], keys: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """True for rows that equal an earlier row in every column, (rows,).

    Equal rows have equal hashes, so only neighbours in hash order are compared column by column.
    """
    order = np.argsort(keys, kind="stable")
    positions = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    earlier, later = order[positions], order[positions + 1]
    same = np.ones(len(positions), dtype=np.bool_)
    for values in raw.values():
        same &= values[earlier] == values[later]
    duplicate = np.zeros(len(keys), dtype=np.bool_)
    duplicate[later[same]] = True
    return duplicate


def _build_catalogue(
    videos: FeatureTable, log: dict[str, NDArray[np.int64]]
) -> tuple[VideoCatalogue, DurationFills]:
    duration_ms = np.array(videos.quantity("video_duration"))  # (videos,)
    duration_ms[~(duration_ms > 0)] = np.nan
    missing = np.isnan(duration_ms)
    logged_ms = _logged_durations_ms(videos, log)
    duration_ms[missing] = logged_ms[missing]
    still_missing = np.isnan(duration_ms)
    known_ms = duration_ms[~still_missing]
    duration_ms[still_missing] = np.median(known_ms) if len(known_ms) else _FALLBACK_DURATION_MS
    tags, num_tags = _tag_indices(videos)
    catalogue = VideoCatalogue(
        duration_seconds=(duration_ms / 1000.0).astype(np.float32),
        tags=tags,
        authors=videos.category("author_id").codes,
        num_tags=num_tags,
    )
    return catalogue, DurationFills(
        from_log=int((missing & ~still_missing).sum()), from_median=int(still_missing.sum())
    )


def _logged_durations_ms(videos: FeatureTable, log: dict[str, NDArray[np.int64]]) -> FloatArray:
    """Lower median of each video's positive durations in the log, (videos,); NaN if none."""
    positive = log["duration_ms"] > 0
    index = np.searchsorted(videos.ids, log["video_id"][positive])
    durations = log["duration_ms"][positive]
    order = np.lexsort((durations, index))
    values, first, counts = np.unique(index[order], return_index=True, return_counts=True)
    medians = np.full(len(videos), np.nan)
    medians[values] = durations[order][first + (counts - 1) // 2]
    return medians


def _tag_indices(videos: FeatureTable) -> tuple[IntArray, int]:
    """Tags (videos, tags_per_video) as ranks of their numbers, and the number of tags."""
    column = videos.category("tag")
    lists = [[int(tag) for tag in text.split(",")] for text in column.values]
    numbers = sorted({tag for tags in lists for tag in tags})
    width = max((len(tags) for tags in lists), default=1)
    # Index MISSING = -1 selects the last row, which has no tags.
    table = np.full((len(lists) + 1, width), NO_TAG, dtype=np.int32)
    for row, tags in enumerate(lists):
        table[row, : len(tags)] = np.searchsorted(numbers, tags)
    assert MISSING == -1
    return table[column.codes], len(numbers)


def _build_impressions(
    log: dict[str, NDArray[np.int64]],
    users: FeatureTable,
    videos: FeatureTable,
    catalogue: VideoCatalogue,
    schema: LogSchema,
) -> Impressions:
    user_index = np.searchsorted(users.ids, log["user_id"]).astype(np.int32)
    video_index = np.searchsorted(videos.ids, log["video_id"]).astype(np.int32)
    times_ms = log["time_ms"]
    logged_seconds = (log["duration_ms"] / 1000.0).astype(np.float32)
    duration_seconds = np.where(
        logged_seconds > 0, logged_seconds, catalogue.duration_seconds[video_index]
    )
    return Impressions(
        users=user_index,
        videos=video_index,
        times_ms=times_ms,
        days=days_of(times_ms, schema.utc_offset_hours),
        hours=hours_of(times_ms, schema.utc_offset_hours),
        tabs=log["tab"].astype(np.int16),
        feedback=np.stack([log[name] for name in FLAG_COLUMNS], axis=1).astype(np.uint8),
        play_seconds=(np.maximum(log["play_time_ms"], 0) / 1000.0).astype(np.float32),
        duration_seconds=duration_seconds,
        randomised=log["is_rand"].astype(np.bool_),
        requests=number_requests(user_index, times_ms),
        sessions=number_sessions(user_index, times_ms, schema.session_gap_minutes),
        keys=log["keys"].view(np.uint64),
    )
