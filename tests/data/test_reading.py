import gzip
import lzma
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.data import Dataset, FileKind, read_kuairand
from mtf_rl.data.feature_tables import MISSING
from tests.data.examples import (
    MIDNIGHT_MS,
    REAL_FOLDER,
    log_row,
    log_text,
    random_log_rows,
    user_row,
    user_text,
    video_row,
    video_text,
    write_log,
)


def test_rows_are_in_user_and_time_order_with_converted_units(tmp_path: Path) -> None:
    late = log_row(user_id=7, video_id=30, time_ms=MIDNIGHT_MS + 3_600_000, is_hate=1, tab=4)
    early = log_row(user_id=7, video_id=10, play_time_ms=1500, long_view=1, is_click=1)
    random_exposure = log_row(user_id=2, video_id=30, time_ms=MIDNIGHT_MS - 1, is_rand=1)
    write_log(tmp_path, late, early, random_exposure)

    dataset = read_kuairand(tmp_path)

    rows = dataset.impressions
    assert dataset.users.ids.tolist() == [2, 7]
    assert dataset.videos.ids.tolist() == [10, 30]
    assert rows.users.tolist() == [0, 1, 1]
    assert rows.videos.tolist() == [1, 0, 1]
    assert rows.days.tolist() == [19106, 19107, 19107]  # 2022-04-24, then 25
    assert rows.hours.tolist() == [23, 0, 1]
    assert rows.tabs.tolist() == [1, 1, 4]
    assert rows.feedback.tolist() == [[0] * 7, [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]]
    assert rows.play_seconds.tolist() == [0.0, 1.5, 0.0]
    assert rows.randomised.tolist() == [True, False, False]
    assert len(set(rows.keys.tolist())) == 3


def test_a_gap_above_thirty_minutes_starts_a_session(
    tmp_path: Path,
) -> None:
    half_hour = 30 * 60_000
    times = [0, 0, half_hour, 2 * half_hour + 1]
    rows = [log_row(video_id=v, time_ms=MIDNIGHT_MS + t) for v, t in enumerate(times)]
    write_log(tmp_path, *rows, log_row(user_id=1, time_ms=MIDNIGHT_MS + times[-1]))

    impressions = read_kuairand(tmp_path).impressions

    assert impressions.requests.tolist() == [0, 0, 1, 2, 3]
    assert impressions.sessions.tolist() == [0, 0, 0, 1, 2]
    short = read_kuairand(tmp_path, session_gap_minutes=5).impressions
    assert short.sessions.tolist() == [0, 0, 1, 2, 3]


def test_exact_duplicates_are_dropped_within_and_across_files(
    tmp_path: Path,
) -> None:
    row = log_row(user_id=1)
    near_duplicate = log_row(user_id=1, comment_stay_time=1)
    write_log(tmp_path, row, near_duplicate, row, name="log_standard_a.csv")
    write_log(tmp_path, row, log_row(user_id=2), name="log_standard_b.csv")

    account = read_kuairand(tmp_path).account

    assert (account.rows_read, account.rows_kept) == (5, 3)
    assert account.dropped == {"exact duplicate row": 2}
    assert [(file.rows_read, file.rows_kept) for file in account.files] == [(3, 2), (2, 1)]


def test_negative_play_times_are_repaired_and_rows_with_empty_cells_dropped(
    tmp_path: Path,
) -> None:
    write_log(
        tmp_path,
        log_row(play_time_ms=-8),
        log_row(video_id=1, is_click=""),
        log_row(video_id="NA", is_click=""),
        log_row(video_id=2),
    )

    dataset = read_kuairand(tmp_path)

    assert dataset.impressions.play_seconds.tolist() == [0.0, 0.0]
    assert dataset.account.repaired == {"negative play_time_ms set to 0": 1}
    assert dataset.account.dropped == {"empty is_click": 1, "empty video_id": 1}


def test_features_are_aligned_with_ids_and_may_be_missing(tmp_path: Path) -> None:
    write_log(tmp_path, log_row(user_id=5, video_id=9), log_row(user_id=1, video_id=4))
    users = [user_row(5, onehot_feat4="2.0"), user_row(3, is_live_streamer=-124)]
    (tmp_path / "user_features_a.csv").write_text(user_text(*users))
    videos = [video_row(8, tag='"12,3"'), video_row(4, video_duration="", tag="")]
    (tmp_path / "video_features_basic_a.csv").write_text(video_text(*videos))

    dataset = read_kuairand(tmp_path)

    assert dataset.users.ids.tolist() == [1, 3, 5]
    assert dataset.users.known.tolist() == [False, True, True]
    streamer = dataset.users.category("is_live_streamer")
    assert (streamer.codes.tolist(), streamer.values) == ([MISSING, MISSING, 0], ("1",))
    onehot = dataset.users.category("onehot_feat4")
    assert (onehot.codes.tolist(), onehot.values) == ([MISSING, 0, 1], ("1", "2"))
    np.testing.assert_array_equal(dataset.users.quantity("follow_user_num"), [np.nan, 30, 50])
    assert dataset.videos.ids.tolist() == [4, 8, 9]
    assert dataset.catalogue.tags.tolist() == [[-1, -1], [1, 0], [-1, -1]]
    assert dataset.catalogue.num_tags == 2
    assert dataset.catalogue.authors.tolist() == [0, 1, -1]
    assert dataset.catalogue.duration_seconds.tolist() == [60.0, 13.0, 60.0]
    assert dataset.duration_fills.from_log == 2


def test_a_duration_missing_everywhere_is_filled_with_the_median(tmp_path: Path) -> None:
    write_log(tmp_path, log_row(video_id=1, duration_ms=0))
    videos = [video_row(1, video_duration=""), video_row(2), video_row(4)]
    (tmp_path / "video_features_basic_a.csv").write_text(video_text(*videos))

    dataset = read_kuairand(tmp_path)

    assert dataset.catalogue.duration_seconds.tolist() == [8.0, 7.0, 9.0]
    assert dataset.impressions.duration_seconds.tolist() == [8.0]
    assert dataset.duration_fills.from_median == 1


def test_columns_may_have_any_order_and_extra_columns_are_ignored(tmp_path: Path) -> None:
    lines = [line.split(",") for line in log_text(*random_log_rows(20, 1)).splitlines()]
    write_log(tmp_path, *(",".join(line) for line in lines[1:]))
    plain = read_kuairand(tmp_path)
    order = np.random.default_rng(0).permutation(len(lines[0]))
    text = [",".join([line[k] for k in order] + ["x y"]) for line in lines]
    text[0] = text[0].removesuffix("x y") + "note"
    (tmp_path / "log_standard_a.csv").write_text("\r\n".join(text))

    dataset = read_kuairand(tmp_path)

    assert dataset.files[0].ignored_columns == ("note",)
    np.testing.assert_array_equal(dataset.impressions.keys, plain.impressions.keys)


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_compressed_files_are_read_and_truncated_files_refused(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    text = log_text(*random_log_rows(200, 0)).encode()
    path = tmp_path / f"log_random_4_22{suffix and '.csv' + suffix}"
    path.write_bytes(compress(text))
    assert read_kuairand(tmp_path).account.rows_read == 200

    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=re.escape(f"{path.name} cannot be read to its end")):
        read_kuairand(tmp_path)


def test_all_zstd_frames_of_a_file_are_read(tmp_path: Path) -> None:
    header, *rows = log_text(*random_log_rows(30, 0)).splitlines(keepends=True)
    compress = zstandard.ZstdCompressor().compress
    parts = ["".join([header, *rows[:10]]), "".join(rows[10:])]
    path = tmp_path / "log_standard_a.csv.zst"
    path.write_bytes(b"".join(compress(part.encode()) for part in parts))
    assert read_kuairand(tmp_path).account.rows_read == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"play_time_ms": "long"}, "column play_time_ms: expected an integer from -1000"),
        ({"is_click": 2}, "column is_click: expected an integer from 0 to 1, got '2'"),
        ({"user_id": -3}, "column user_id: expected an integer from 0"),
        ({"video_id": 1.5}, "column video_id: expected an integer from 0"),
        ({"time_ms": MIDNIGHT_MS // 1000}, "column time_ms: expected an integer from 1262"),
        ({"tab": "1,1"}, "expected 19 cells, got 20"),
        ({"tab": '"1'}, "a quoted cell spans several lines"),
        ({"user_id": 10**30}, "column user_id: expected an integer from 0"),
    ],
)
def test_the_error_of_an_invalid_cell_has_file_line_and_column(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    write_log(tmp_path, log_row(), "", log_row(**change), log_row(user_id=4))
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_kuairand(tmp_path)
    assert str(caught.value).startswith("log_standard_a.csv, line 4")


def test_the_error_of_a_missing_folder_file_or_column_has_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No folder .*absent\. Give the folder"):
        read_kuairand(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"No log in .*found notes.txt"):
        read_kuairand(tmp_path)
    write_log(tmp_path)
    with pytest.raises(DataError, match=r"log_standard_a\.csv has a header but no rows"):
        read_kuairand(tmp_path)
    text = log_text(log_row())
    (tmp_path / "log_standard_a.csv").write_text(text.replace("is_hate", "hate"))
    with pytest.raises(DataError, match="line 1: no column is_hate"):
        read_kuairand(tmp_path)
    (tmp_path / "log_standard_a.csv").write_text("")
    with pytest.raises(DataError, match="line 1: expected a header"):
        read_kuairand(tmp_path)
    with pytest.raises(ConfigError, match="session_gap_minutes must be positive, got 0"):
        read_kuairand(tmp_path, session_gap_minutes=0)


def test_invalid_feature_files_are_refused(tmp_path: Path) -> None:
    write_log(tmp_path, log_row())
    users = tmp_path / "user_features_a.csv"
    users.write_text(user_text(user_row(1), user_row(2), user_row(1)))
    message = "user_features_a.csv, data row 3, column user_id: 1 is also in an earlier row"
    with pytest.raises(DataError, match=message):
        read_kuairand(tmp_path)
    users.write_text(user_text(user_row(1), user_row(2, register_days="old")))
    with pytest.raises(DataError, match="line 3, column register_days: expected a number"):
        read_kuairand(tmp_path)
    users.write_bytes(user_text(user_row(1, user_active_degree="häufig")).encode("latin-1"))
    with pytest.raises(DataError, match="line 2, column user_active_degree: expected UTF-8"):
        read_kuairand(tmp_path)
    users.unlink()
    videos = tmp_path / "video_features_basic_a.csv"
    for change, expected in (
        ({"tag": "music"}, "column tag: expected integers separated by commas, got 'music'"),
        ({"upload_dt": "2022/4/9"}, "column upload_dt: expected a date written YYYY-MM-DD"),
        (
            {"video_duration": "inf"},
            "column video_duration: expected a number of at most 2^53, got 'inf'",
        ),
        ({"author_id": "me"}, "column author_id: expected a number"),
    ):
        videos.write_text(video_text(video_row(1, **change)))
        with pytest.raises(DataError, match=re.escape(f"line 2, {expected}")):
            read_kuairand(tmp_path)


def test_the_statistics_file_is_recorded_but_not_used(tmp_path: Path) -> None:
    write_log(tmp_path, *random_log_rows(30, 0))
    before = read_kuairand(tmp_path)
    (tmp_path / "video_features_statistic_a.csv").write_text("video_id,counts\n1,2\n2,3\n")
    after = read_kuairand(tmp_path)
    assert after.has_file(FileKind.VIDEO_FEATURES_STATISTIC)
    assert after.files[-1].rows == 2
    np.testing.assert_array_equal(after.impressions.keys, before.impressions.keys)


PIECES = [b"", b",", b"\n", b'"', b"-", b"7", b"\xff", b"\r\n", b"\0", b"\x1c", b"1e9", b"1e300"]


def naive_duplicates(lines: list[str]) -> int:
    return sum(count - 1 for count in Counter(lines).values())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_logs_are_refused_or_accounted_for(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(log_text(*random_log_rows(6, 3)).encode())
    # A change in the header is nearly always an error, so most changes are in the rows.
    first = data.draw(st.sampled_from([0, content.index(b"\n"), content.index(b"\n")]))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(first, len(content) - 1))
        piece = data.draw(st.sampled_from(PIECES))
        length = data.draw(st.integers(0, 12))
        content[position : position + length] = piece
    path = tmp_path / "log_standard_a.csv"
    path.write_bytes(bytes(content))
    try:
        dataset = read_kuairand(tmp_path)
    except DataError as error:
        message = str(error)
    else:
        assert_accounted_for(dataset, bytes(content))
        message = path.name
    assert path.name in message


def assert_accounted_for(dataset: Dataset, content: bytes) -> None:
    lines = [line for line in content.splitlines() if line.strip()]
    account = dataset.account
    assert account.rows_read == len(lines) - 1
    assert account.rows_read == account.rows_kept + sum(account.dropped.values())
    assert account.rows_kept == len(dataset.impressions.users)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_feature_files_are_refused_or_read(data: st.DataObject, tmp_path: Path) -> None:
    write_log(tmp_path, log_row(user_id=1, video_id=1))
    text, name = data.draw(
        st.sampled_from(
            [
                (user_text(user_row(1), user_row(2)), "user_features_a.csv"),
                (video_text(video_row(1), video_row(2)), "video_features_basic_a.csv"),
            ]
        )
    )
    content = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.sampled_from(PIECES))
        content[position : position + data.draw(st.integers(0, 12))] = piece
    for earlier_file in tmp_path.glob("*_features_*"):
        earlier_file.unlink()
    (tmp_path / name).write_bytes(bytes(content))
    try:
        dataset = read_kuairand(tmp_path)
    except DataError as error:
        message = str(error)
    else:
        assert dataset.account.rows_kept == 1
        assert dataset.catalogue.duration_seconds.min() > 0
        message = name
    assert name in message


@pytest.mark.skipif(not REAL_FOLDER.is_dir(), reason=f"real KuaiRand rows are not in {REAL_FOLDER}")
def test_every_real_row_is_accounted_for() -> None:
    dataset = read_kuairand(REAL_FOLDER)

    account = dataset.account
    assert account.rows_read == 185_061
    assert account.rows_kept + sum(account.dropped.values()) == 185_061
    assert account.dropped["exact duplicate row"] / account.rows_read == pytest.approx(
        0.024, abs=0.002
    )
    text = lzma.decompress(next(REAL_FOLDER.glob("log_standard*.xz")).read_bytes()).decode()
    assert account.dropped == {"exact duplicate row": naive_duplicates(text.splitlines()[1:])}
    assert (dataset.num_users, dataset.num_videos) == (27_285, 7_583)
    assert dataset.catalogue.num_tags == 46
    assert dataset.impressions.feedback[:, 0].mean() == pytest.approx(0.45, abs=0.005)
