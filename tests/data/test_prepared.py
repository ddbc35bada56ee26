import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ArtifactError
from mtf_rl.data import Dataset, describe, read_kuairand, read_prepared, write_prepared
from tests.data.examples import MIDNIGHT_MS, REAL_FOLDER, log_row, random_dataset, write_log


def assert_equal(first: object, second: object) -> None:
    """Assert that nested dataclasses, tuples and arrays have equal values and types."""
    assert type(first) is type(second)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    elif dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            assert_equal(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, tuple) and isinstance(second, tuple):
        assert len(first) == len(second)
        for left, right in zip(first, second, strict=True):
            assert_equal(left, right)
    else:
        assert first == second


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return random_dataset(tmp_path)


def test_a_dataset_survives_a_file_round_trip(dataset: Dataset, tmp_path: Path) -> None:
    write_prepared(dataset, tmp_path / "prepared")
    assert_equal(read_prepared(tmp_path / "prepared"), dataset)


def test_damaged_prepared_data_and_other_versions_are_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "prepared"
    with pytest.raises(ArtifactError, match=r"No file .*dataset.json"):
        read_prepared(folder)
    write_prepared(dataset, folder)
    users = folder / "users.parquet"
    users.write_bytes(users.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"users.parquet is missing or was changed"):
        read_prepared(folder)
    document = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(document | {"version": 99}))
    with pytest.raises(ArtifactError, match="version 99, expected 2"):
        read_prepared(folder)


def test_a_description_equals_counts_by_hand(tmp_path: Path) -> None:
    minute = 60_000
    write_log(
        tmp_path,
        log_row(user_id=1, is_click=1, play_time_ms=60_000),
        log_row(user_id=1, video_id=2),
        log_row(user_id=1, time_ms=MIDNIGHT_MS + 2 * minute),
        log_row(user_id=1, time_ms=MIDNIGHT_MS + 60 * minute, tab=0),
        log_row(user_id=3),
        log_row(user_id=3),
    )
    description = describe(read_kuairand(tmp_path))

    assert (description.rows_read, description.rows_kept) == (6, 5)
    assert (description.first_day, description.last_day) == ("2022-04-25", "2022-04-25")
    assert (description.users, description.videos) == (2, 2)
    assert (description.users_without_features, description.videos_without_features) == (2, 2)
    assert (description.requests, description.sessions) == (4, 3)
    assert description.rows_per_request.mean == pytest.approx(5 / 4)
    assert description.requests_per_session.mean == pytest.approx(4 / 3)
    assert description.single_request_fraction == pytest.approx(2 / 3)
    assert (description.gap_seconds.count, description.gap_seconds.mean) == (1, 120.0)
    assert description.zero_watch_fraction == pytest.approx(0.8)
    tabs = {line.tab: line for line in description.tabs}
    assert [(tab, line.rows) for tab, line in tabs.items()] == [("all", 5), ("0", 1), ("1", 4)]
    assert tabs["1"].rates["click"] == pytest.approx(0.25)
    assert tabs["1"].rates["watch"] == pytest.approx(0.5 / 4)
    text = description.to_markdown()
    for words in (
        "| dropped: exact duplicate row | 1 |",
        "Sessions are fragments (67% have one request)",
        "No random exposures",
        "No user features",
        "No video features",
    ):
        assert words in text
    assert json.loads(json.dumps(description.to_json()))["sessions"] == 3


@pytest.mark.skipif(not REAL_FOLDER.is_dir(), reason=f"real KuaiRand rows are not in {REAL_FOLDER}")
def test_the_description_of_the_real_rows_has_the_published_numbers(tmp_path: Path) -> None:
    dataset = read_kuairand(REAL_FOLDER)
    description = describe(dataset)
    assert description.single_request_fraction == pytest.approx(0.87, abs=0.005)
    assert description.dropped["exact duplicate row"] == pytest.approx(
        0.024 * description.rows_read, rel=0.06
    )
    assert description.durations_from_log + description.durations_from_median == 239
    assert "Sessions are fragments (87% have one request)" in description.to_markdown()
    write_prepared(dataset, tmp_path)
    assert_equal(read_prepared(tmp_path), dataset)
