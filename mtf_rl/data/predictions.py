"""Predictions of an external model: a Parquet file with one row per user and video."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.tasks import TaskSet
from mtf_rl.data.accounts import FileAccount
from mtf_rl.data.dataset import Dataset
from mtf_rl.data.score_table import ScoreTable

__all__ = ["GivenPredictions", "prediction_columns", "read_predictions", "write_predictions"]

_ID_COLUMNS = ("user_id", "video_id")

_ROWS_AT_ONCE = 262_144
_USERS_AT_ONCE = 512


@dataclass(frozen=True)
class GivenPredictions:
    """The pool and the scores of every user, read from a file."""

    videos: IntArray  # (users, pool) int32
    scores: FloatArray  # (users, pool, tasks) float32 in [0, 1]
    account: FileAccount
    ignored_columns: tuple[str, ...]


def prediction_columns(tasks: TaskSet) -> tuple[str, ...]:
    """The columns of a prediction file: `user_id`, `video_id` and the task names."""
    return (*_ID_COLUMNS, *tasks.names)


def read_predictions(path: Path, dataset: Dataset, *, pool: int) -> GivenPredictions:
    """Read the first `pool` predictions of every user, in file order.

    The file has the columns `prediction_columns` in any order: ids as in the log, and for each task
    the expected label in [0, 1]. For KuaiRand's `watch`, this is E[min(play seconds, 120)] / 120.
    Rows with users or videos that are not in `dataset`, and rows beyond a user's pool, are dropped
    and counted. The file is read in pieces to limit memory.

    Args:
        path: the Parquet file.
        dataset: its users are those of the log and of the user features; each needs a pool.
        pool: videos per user, >= 1.

    Raises:
        DataError: if a column is missing or of the wrong type, a value is empty or outside [0, 1],
            or a user has fewer than `pool` videos or a repeated video.
    """
    columns = prediction_columns(dataset.tasks)
    file, ignored = _open(path, columns)
    pools = _PoolBuilder(dataset, pool)
    rows_read = 0
    for piece in _pieces(file, columns):
        _check_values(path.name, piece, columns, rows_read)
        pools.add(piece)
        rows_read += piece.num_rows
    pools.check_full(path.name)
    dropped = dict(+pools.dropped)
    account = FileAccount(path.name, rows_read, rows_read - sum(dropped.values()), dropped, {})
    return GivenPredictions(pools.videos, pools.scores, account, ignored)


def write_predictions(path: Path, table: ScoreTable, dataset: Dataset) -> None:
    """Write a score table, in float32, as a file for `read_predictions`."""
    users, pool = table.videos.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.parquet")
    fields = [(name, pa.int64()) for name in _ID_COLUMNS]
    schema = pa.schema(fields + [(name, pa.float32()) for name in table.tasks.names])
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for start in range(0, users, _USERS_AT_ONCE):
                members = slice(start, start + _USERS_AT_ONCE)
                scores = table.scores[members].reshape(-1, len(table.tasks)).astype(np.float32)
                columns = [
                    np.repeat(dataset.users.ids[members], pool),
                    dataset.videos.ids[table.videos[members].ravel()],
                    *(np.ascontiguousarray(column) for column in scores.T),
                ]
                writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _PoolBuilder:
    """Pools of users, filled piece by piece."""

    def __init__(self, dataset: Dataset, pool: int) -> None:
        users = dataset.num_users
        self.videos = np.full((users, pool), -1, dtype=np.int32)
        self.scores = np.zeros((users, pool, len(dataset.tasks)), dtype=np.float32)
        self.dropped: Counter[str] = Counter()
        self._filled = np.zeros(users, dtype=np.int64)
        self._dataset = dataset
        self._pool = pool

    def add(self, piece: pa.RecordBatch) -> None:
        """Add rows to the pools of users that are not full."""
        users, user_known = _indices(piece.column("user_id").to_numpy(), self._dataset.users.ids)
        videos, known = _indices(piece.column("video_id").to_numpy(), self._dataset.videos.ids)
        self.dropped["unknown user_id"] += int((~user_known).sum())
        self.dropped["unknown video_id"] += int((user_known & ~known).sum())
        rows = np.flatnonzero(user_known & known)
        positions = self._filled[users[rows]] + _earlier_equal_rows(users[rows])
        inside = positions < self._pool
        self.dropped[f"beyond the first {self._pool} rows of its user"] += int((~inside).sum())
        rows, positions = rows[inside], positions[inside]
        self._filled += np.bincount(users[rows], minlength=len(self._filled))
        self.videos[users[rows], positions] = videos[rows]
        for task, name in enumerate(self._dataset.tasks.names):
            column = piece.column(name).to_numpy().astype(np.float32)
            self.scores[users[rows], positions, task] = column[rows]

    def check_full(self, name: str) -> None:
        """Check that every pool is full and has distinct videos.

        Raises:
            DataError: with the number of users that fail the check, and the first of them.
        """
        ids, pool = self._dataset.users.ids, self._pool
        absent = np.flatnonzero(self._filled == 0)
        if len(absent):
            raise DataError(
                f"{name}: {len(absent)} of the dataset's {len(ids)} users have no prediction, the"
                f" first is user_id {ids[absent[0]]}. Add predictions of {pool} videos for each"
                " user of the log and of the user features, or remove these users from the data."
            )
        few = np.flatnonzero(self._filled < pool)
        if len(few):
            raise DataError(
                f"{name}: {len(few)} of the dataset's {len(ids)} users have predictions of fewer"
                f" videos than the pool of {pool}, the first is user_id {ids[few[0]]} with"
                f" {self._filled[few[0]]}. Add predictions for them, or use a smaller pool."
            )
        ordered = np.sort(self.videos, axis=1)  # (users, pool)
        repeated = ordered[:, 1:] == ordered[:, :-1]
        if repeated.any():
            user, position = (int(index[0]) for index in np.nonzero(repeated))
            raise DataError(
                f"{name}: {int(repeated.any(axis=1).sum())} users have a repeated video in their"
                f" pool, the first is user_id {ids[user]} with video_id"
                f" {self._dataset.videos.ids[ordered[user, position]]}. Keep one row per user and"
                " video."
            )


def _open(path: Path, columns: tuple[str, ...]) -> tuple[pq.ParquetFile, tuple[str, ...]]:
    """Open the file and list the columns that are not read."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError(f"No file {path}. Give a Parquet file of predictions.") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}). Write it again.") from error
    schema = file.schema_arrow
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise DataError(
            f"{path.name}: no column {', '.join(missing)}; found {', '.join(schema.names)}."
            f" Write the columns {', '.join(columns)}."
        )
    for name in columns:
        kind = schema.field(name).type
        is_id = name in _ID_COLUMNS
        if not (pa.types.is_integer(kind) if is_id else pa.types.is_floating(kind)):
            expected = "integers" if is_id else "floating-point numbers"
            raise DataError(f"{path.name}, column {name}: expected {expected}, got {kind}.")
    return file, tuple(name for name in schema.names if name not in columns)


def _pieces(file: pq.ParquetFile, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    with file:
        yield from file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=list(columns))


def _check_values(
    name: str, piece: pa.RecordBatch, columns: tuple[str, ...], rows_before: int
) -> None:
    """Check that no cell is empty and every prediction is in [0, 1]."""
    for column in columns:
        cells = piece.column(column)
        invalid = cells.is_null().to_numpy(zero_copy_only=False)
        if column not in _ID_COLUMNS:
            values = cells.to_numpy(zero_copy_only=False)
            # NaN fails both comparisons.
            invalid = ~((values >= 0.0) & (values <= 1.0))
        if invalid.any():
            row = int(np.argmax(invalid))
            expected = "an id" if column in _ID_COLUMNS else "a number in [0, 1]"
            raise DataError(
                f"{name}, row {rows_before + row + 1}, column {column}: expected {expected}, got"
                f" {cells[row].as_py()} (in {int(invalid.sum())} of {len(invalid)} rows read"
                " together). Correct the predictions."
            )


def _indices(values: IntArray, ids: IntArray) -> tuple[IntArray, BoolArray]:
    """The index of each value in the ascending `ids`, and whether it is there; both (rows,)."""
    positions = np.searchsorted(ids, values).clip(max=len(ids) - 1)
    return positions, ids[positions] == values


def _earlier_equal_rows(values: IntArray) -> IntArray:
    """Number of earlier rows with the same value, (rows,)."""
    order = np.argsort(values, kind="stable")
    _, first, sizes = np.unique(values[order], return_index=True, return_counts=True)
    earlier = np.empty(len(values), dtype=np.int64)
    earlier[order] = np.arange(len(values)) - np.repeat(first, sizes)
    return earlier
