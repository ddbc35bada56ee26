import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtf_rl.core.errors import ArtifactError, DataError, ShapeError
from mtf_rl.data import Dataset, ScoreTable, read_kuairand, retrieve_pools, usual_contexts
from tests.data.examples import log_row, random_dataset, video_row, video_text, write_log


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return random_dataset(tmp_path_factory.mktemp("log"))


def all_rows(dataset: Dataset) -> np.ndarray:
    return np.ones(len(dataset.impressions.users), dtype=np.bool_)


@pytest.mark.parametrize("pool", [1, 2, 9, 22])
def test_pools_have_distinct_videos_and_depend_on_the_seed(dataset: Dataset, pool: int) -> None:
    pools = retrieve_pools(dataset, all_rows(dataset), pool=pool, seed=0)
    assert pools.shape == (dataset.num_users, pool)
    assert pools.dtype == np.dtype(np.int32)
    assert all(len(set(videos)) == pool for videos in pools.tolist())
    assert pools.min() >= 0
    assert pools.max() < dataset.num_videos
    np.testing.assert_array_equal(
        pools, retrieve_pools(dataset, all_rows(dataset), pool=pool, seed=0)
    )
    assert (pools != retrieve_pools(dataset, all_rows(dataset), pool=pool, seed=1)).any()


def test_too_few_videos_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=re.escape("number of videos, 22, got 23")):
        retrieve_pools(dataset, all_rows(dataset), pool=23, seed=0)


def test_pools_have_popular_videos_and_videos_with_clicked_tags(tmp_path: Path) -> None:
    # Users 0 to 399 click videos of tag 0 (ids 0, 3, ...), users 400 to 799 of tag 1.
    rows = [
        log_row(user_id=user, video_id=3 * (view % 20) + (user >= 400), is_click=1, tab=view)
        for user in range(800)
        for view in range(40)
    ]
    write_log(tmp_path, *rows, *(log_row(user_id=0, video_id=v) for v in range(60)))
    (tmp_path / "video_features_basic_a.csv").write_text(
        video_text(*(video_row(video) for video in range(60)))
    )
    dataset = read_kuairand(tmp_path)

    pools = retrieve_pools(dataset, all_rows(dataset), pool=10, seed=0)

    tags = pools % 3
    assert (tags == 2).mean() < 0.02  # rarely shown
    clicked = np.where(np.arange(800) < 400, 0, 1)
    # The half drawn by popularity has both tags equally often, the other half mostly the clicked.
    fraction = (tags == clicked[:, None]).mean()
    assert 0.65 < fraction < 0.8


def test_a_user_without_clicks_gets_popular_videos_only(tmp_path: Path) -> None:
    rows = [log_row(user_id=user, video_id=user % 4, is_click=1) for user in range(2000)]
    rows += [log_row(user_id=user, video_id=9, is_rand=1, tab=7) for user in range(2000)]
    write_log(tmp_path, *rows, log_row(user_id=5000, video_id=8))
    dataset = read_kuairand(tmp_path)
    pool = retrieve_pools(dataset, all_rows(dataset), pool=4, seed=0)[-1]
    # Video index 5 (id 9) was shown at random only, which does not count as popularity.
    assert sorted(pool.tolist()) == [0, 1, 2, 3]


def test_usual_contexts_are_modes_with_the_overall_mode_as_fallback(dataset: Dataset) -> None:
    rows = dataset.impressions
    chosen = np.flatnonzero(rows.users != 4)
    hours, tabs = usual_contexts(rows, chosen, num_users=dataset.num_users)
    for user in range(dataset.num_users):
        mine = chosen[rows.users[chosen] == user] if user in rows.users[chosen] else chosen
        assert hours[user] == np.bincount(rows.hours[mine]).argmax()
        assert tabs[user] == np.bincount(rows.tabs[mine]).argmax()
    assert hours.dtype == np.dtype(np.int8)
    assert tabs.dtype == np.dtype(np.int16)


def example_table() -> ScoreTable:
    return ScoreTable(
        scores=np.linspace(0, 1, 2 * 3 * 8, dtype=np.float32).reshape(2, 3, 8),
        videos=np.arange(6, dtype=np.int32).reshape(2, 3),
        base_rates=np.full(8, 0.5),
        hours=np.array([0, 23], dtype=np.int8),
        tabs=np.array([1, 0], dtype=np.int16),
        scorer_keys=np.array([1, 2**64 - 1], dtype=np.uint64),
    )


def test_a_score_table_survives_a_file_round_trip(tmp_path: Path) -> None:
    table = example_table()
    table.save(tmp_path / "scores.npz")
    loaded = ScoreTable.load(tmp_path / "scores.npz")
    assert loaded.tasks == table.tasks
    arrays = {name: values for name, values in vars(table).items() if name != "tasks"}
    for name, values in arrays.items():
        copy = getattr(loaded, name)
        assert copy.dtype == values.dtype
        np.testing.assert_array_equal(copy, values)
    np.savez(tmp_path / "other.npz", scores=table.scores)
    with pytest.raises(ArtifactError, match="is not a score table"):
        ScoreTable.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros((2, 3, 7))}, "scores must have shape (users, pool, tasks)"),
        ({"scores": np.full((2, 3, 8), 1.5)}, "scores must be in [0, 1], got 1.5"),
        ({"scores": np.full((2, 3, 8), np.nan)}, "scores must be in [0, 1], got nan"),
        ({"base_rates": np.full(8, -0.1)}, "base_rates must be in [0, 1], got -0.1"),
        ({"hours": np.array([0, 24])}, "hours must be in 0..23, got 0..24"),
        ({"videos": np.full((2, 3), -1)}, "videos must be indices from 0, got -1"),
        ({"tabs": np.zeros(3)}, "tabs must have shape (users) = (2,), got (3,)"),
    ],
)
def test_an_invalid_score_table_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        dataclasses.replace(example_table(), **change)
