"""Predictions from a file: hand-made rows, a naive implementation, error messages."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtf_rl.core.errors import DataError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import (
    Dataset,
    ScoreTable,
    prediction_columns,
    predictions,
    read_predictions,
    write_predictions,
)
from tests.data.examples import random_dataset

Columns = dict[str, Any]


@pytest.fixture(scope="module", name="dataset")
def a_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return random_dataset(tmp_path_factory.mktemp("log"))


def full_columns(dataset: Dataset, *, videos: int = 4, seed: int = 0) -> Columns:
    """Rows for every user and the first videos, ordered by video, then user."""
    rng = np.random.default_rng(seed)
    rows = dataset.num_users * videos
    columns: Columns = {
        "user_id": np.tile(dataset.users.ids, videos),
        "video_id": np.repeat(dataset.videos.ids[:videos], dataset.num_users),
    }
    return columns | {name: rng.random(rows) for name in KUAIRAND_TASKS.names}


def write(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def extended(columns: Columns, user_id: int, video_id: int, value: float = 0.5) -> Columns:
    """Append a row."""
    row = {"user_id": user_id, "video_id": video_id} | dict.fromkeys(KUAIRAND_TASKS.names, value)
    return {name: np.append(values, row[name]) for name, values in columns.items()}


def test_pools_scores_and_counts_of_a_hand_made_file(dataset: Dataset, tmp_path: Path) -> None:
    columns = full_columns(dataset, videos=2)
    columns = extended(columns, user_id=999, video_id=int(dataset.videos.ids[0]))
    columns = extended(columns, user_id=int(dataset.users.ids[3]), video_id=999)
    columns = extended(columns, int(dataset.users.ids[3]), int(dataset.videos.ids[5]))
    columns |= {"model": ["mine"] * len(columns["user_id"])}
    given = read_predictions(write(tmp_path / "p.parquet", columns), dataset, pool=2)
    assert given.ignored_columns == ("model",)
    assert given.account.rows_read == 2 * dataset.num_users + 3
    assert given.account.rows_kept == 2 * dataset.num_users
    assert given.account.dropped == {
        "unknown user_id": 1,
        "unknown video_id": 1,
        "beyond the first 2 rows of its user": 1,
    }
    assert (given.videos == [[0, 1]] * dataset.num_users).all()
    # User 3's second video is in the second block of users.
    row = dataset.num_users + 3
    expected = [np.float32(columns[name][row]) for name in KUAIRAND_TASKS.names]
    assert given.scores[3, 1].tolist() == expected


def test_reading_in_pieces_agrees_with_a_naive_implementation(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "_ROWS_AT_ONCE", 7)
    columns = full_columns(dataset, videos=6, seed=1)
    columns = extended(columns, user_id=999, video_id=0)
    order = np.random.default_rng(2).permutation(len(columns["user_id"]))
    columns = {name: values[order] for name, values in columns.items()}
    given = read_predictions(write(tmp_path / "p.parquet", columns), dataset, pool=4)
    for user, user_id in enumerate(dataset.users.ids):
        rows = [row for row in range(len(order)) if columns["user_id"][row] == user_id][:4]
        video_ids = [int(columns["video_id"][row]) for row in rows]
        assert dataset.videos.ids[given.videos[user]].tolist() == video_ids
        for position, row in enumerate(rows):
            values = [columns[name][row] for name in KUAIRAND_TASKS.names]
            assert given.scores[user, position] == pytest.approx(values, abs=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_predictions_survive_a_file_round_trip(
    dataset: Dataset, tmp_path: Path, dtype: type[np.floating[Any]]
) -> None:
    rng = np.random.default_rng(3)
    users, pool = dataset.num_users, 5
    videos = rng.permuted(np.tile(np.arange(dataset.num_videos), (users, 1)), axis=1)[:, :pool]
    table = ScoreTable(
        scores=rng.random((users, pool, len(KUAIRAND_TASKS))).astype(dtype),
        videos=videos.astype(np.int32),
        base_rates=np.full(len(KUAIRAND_TASKS), 0.5),
        hours=np.zeros(users, dtype=np.int8),
        tabs=np.zeros(users, dtype=np.int16),
        scorer_keys=np.zeros(0, dtype=np.uint64),
    )
    write_predictions(tmp_path / "new" / "p.parquet", table, dataset)
    given = read_predictions(tmp_path / "new" / "p.parquet", dataset, pool=pool)
    np.testing.assert_array_equal(given.scores, table.scores)
    np.testing.assert_array_equal(given.videos, table.videos)
    assert given.account.dropped == {}
    query_users = rng.integers(0, users, 200)
    query_videos = rng.integers(0, dataset.num_videos + 3, 200)
    for user, video, position in zip(
        query_users, query_videos, table.find(query_users, query_videos), strict=True
    ):
        expected = table.videos[user].tolist()
        assert position == (expected.index(video) if video in expected else -1)


def test_rows_beyond_full_pools_are_ignored(dataset: Dataset, tmp_path: Path) -> None:
    columns = full_columns(dataset)
    first = read_predictions(write(tmp_path / "a.parquet", columns), dataset, pool=4)
    for user_id in (int(dataset.users.ids[0]), 999):
        columns = extended(columns, user_id, int(dataset.videos.ids[9]))
    second = read_predictions(write(tmp_path / "b.parquet", columns), dataset, pool=4)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.videos, second.videos)


def with_cell(columns: Columns, name: str, value: object) -> Columns:
    values = list(columns[name])
    values[5] = value
    return columns | {name: values}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {k: v for k, v in c.items() if k not in ("hate", "watch")},
         "p.parquet: no column hate, watch; found user_id, video_id, click"),
        (lambda c: with_cell(c, "like", 1.5),
         "p.parquet, row 6, column like: expected a number in [0, 1], got 1.5 (in 1 of"),
        (lambda c: with_cell(c, "watch", float("nan")), "row 6, column watch: expected a number"),
        (lambda c: with_cell(c, "click", None), "row 6, column click: expected a number in [0, 1]"),
        (lambda c: with_cell(c, "user_id", None), "row 6, column user_id: expected an id"),
        (lambda c: c | {"video_id": [str(v) for v in c["video_id"]]},
         "column video_id: expected integers, got string"),
        (lambda c: c | {"like": np.zeros(len(c["like"]), dtype=np.int64)},
         "column like: expected floating-point numbers, got int64"),
        (lambda c: {k: v[1:] for k, v in c.items()},
         "1 of the dataset's 14 users have predictions of fewer videos than the pool of 4"),
        (lambda c: {k: v[c["user_id"] != c["user_id"][0]] for k, v in c.items()},
         "1 of the dataset's 14 users have no prediction, the first is user_id 0"),
        (lambda c: c | {"video_id": np.where(c["video_id"] == 1, 0, c["video_id"])},
         "14 users have a repeated video in their pool, the first is user_id 0 with video_id 0"),
    ],
)  # fmt: skip
def test_invalid_predictions_are_refused(
    dataset: Dataset, tmp_path: Path, change: Any, message: str
) -> None:
    path = write(tmp_path / "p.parquet", change(full_columns(dataset)))
    with pytest.raises(DataError, match=re.escape(message)):
        read_predictions(path, dataset, pool=4)


def test_missing_and_non_parquet_files_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape("Give a Parquet file of predictions")):
        read_predictions(tmp_path / "none.parquet", dataset, pool=2)
    (tmp_path / "text.parquet").write_text(",".join(prediction_columns(KUAIRAND_TASKS)))
    with pytest.raises(DataError, match=re.escape("cannot be read as Parquet")):
        read_predictions(tmp_path / "text.parquet", dataset, pool=2)
