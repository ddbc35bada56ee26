"""The synthetic world's logs: layout, determinism, calibration."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, select_rows
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import save_json
from mtf_rl.core.history import VisibleHistory
from mtf_rl.core.protocols import UserModel
from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.core.slates import Response, Slate
from mtf_rl.data import read_kuairand
from mtf_rl.user_models import SynthesisReport, World, WorldConfig, load_world, synthesize
from mtf_rl.user_models.world.calibration import _gini, calibrate
from mtf_rl.user_models.world.kuairand_layout import LOG_COLUMNS, STATISTIC_COLUMNS
from mtf_rl.user_models.world.rankers import LOGGING_RANKERS, _pair_noise, assign_rankers
from mtf_rl.user_models.world.simulate_logs import LoggedRows, roll
from mtf_rl.user_models.world.synthesis import load_rankers
from mtf_rl.user_models.world.tally import histogram_quantile, tally
from mtf_rl.user_models.world.targets import TARGETS
from mtf_rl.user_models.world.world import HOUR_FRACTIONS

pytestmark = pytest.mark.slow

CONFIG = WorldConfig(users=24, videos=300, days=2, seed=1)
LOG = "log_standard_4_08_to_4_09_world.csv"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SynthesisReport]:
    folder = tmp_path_factory.mktemp("logs")
    return folder, synthesize(CONFIG, folder)


@pytest.fixture(scope="module")
def table(logs: tuple[Path, SynthesisReport]) -> pd.DataFrame:
    return pd.read_csv(logs[0] / LOG)


def test_bytes_do_not_depend_on_processes_or_chunks(
    logs: tuple[Path, SynthesisReport], tmp_path: Path
) -> None:
    folder, report = logs
    synthesize(CONFIG, tmp_path, processes=2, chunk_users=7)
    for name in report.files:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_another_seed_gives_another_log(logs: tuple[Path, SynthesisReport], tmp_path: Path) -> None:
    synthesize(replace(CONFIG, seed=2), tmp_path)
    assert (tmp_path / LOG).read_bytes() != (logs[0] / LOG).read_bytes()


def test_progress_is_reported(tmp_path: Path) -> None:
    reported = []
    synthesize(
        WorldConfig(users=5, videos=30, days=1),
        tmp_path,
        chunk_users=2,
        progress=lambda done, total: reported.append((done, total)),
    )
    assert reported == [(2, 5), (4, 5), (5, 5)]


def test_files_have_the_official_layout(
    logs: tuple[Path, SynthesisReport], table: pd.DataFrame
) -> None:
    folder, report = logs
    assert tuple(table.columns) == LOG_COLUMNS
    assert all(dtype == np.int64 for dtype in table.dtypes)
    assert report.standard_rows == len(table)
    users = pd.read_csv(folder / "user_features_world.csv")
    assert len(users) == CONFIG.users
    assert len(users.columns) == 31
    videos = pd.read_csv(folder / "video_features_basic_world.csv", dtype={"tag": str})
    assert len(videos) == CONFIG.videos
    assert len(videos.columns) == 12
    statistic = pd.read_csv(folder / "video_features_statistic_world.csv")
    assert tuple(statistic.columns) == ("video_id", "counts", *STATISTIC_COLUMNS)


def test_columns_equal_those_of_the_official_files(logs: tuple[Path, SynthesisReport]) -> None:
    real = Path(__file__).parents[2].parent / "shared" / "data" / "kuairand" / "pure"
    if not real.is_dir():
        pytest.skip("no public KuaiRand rows beside the repository")
    pairs = {
        "user_features_pure.csv": "user_features_world.csv",
        "video_features_basic_pure.csv": "video_features_basic_world.csv",
        "video_features_statistic_pure.csv.xz": "video_features_statistic_world.csv",
        "log_standard_4_25_to_5_05_pure.csv.xz": LOG,
    }
    for official, ours in pairs.items():
        expected = list(pd.read_csv(real / official, nrows=1).columns)
        assert list(pd.read_csv(logs[0] / ours, nrows=1).columns) == expected


def test_rows_are_ordered_and_rows_of_a_request_have_equal_times(table: pd.DataFrame) -> None:
    order = table[["user_id", "time_ms"]]
    assert order.equals(order.sort_values(["user_id", "time_ms"], kind="stable"))
    sizes = table.groupby(["user_id", "time_ms"]).size()
    assert sizes.max() <= 12
    assert 5 < sizes.mean() < 6.5
    assert (table.groupby(["user_id", "time_ms"])["tab"].nunique() == 1).all()
    assert not table.duplicated(["user_id", "time_ms", "video_id"]).any()


def test_click_and_long_view_follow_kuairands_rules(table: pd.DataFrame) -> None:
    feed = table[table["tab"] == 1]
    played = feed["play_time_ms"] > 0
    valid = played & (feed["play_time_ms"] >= np.minimum(7000, feed["duration_ms"]))
    long_view = played & (feed["play_time_ms"] >= np.minimum(18_000, feed["duration_ms"]))
    assert (valid == (feed["is_click"] == 1)).all()
    assert (long_view == (feed["long_view"] == 1)).all()


def test_dates_follow_the_written_hour(table: pd.DataFrame) -> None:
    local = pd.to_datetime(table["time_ms"] + 8 * 3_600_000, unit="ms")
    assert local.min() >= pd.Timestamp("2022-04-08")
    assert local.max() < pd.Timestamp("2022-04-10")
    lag = (table["hourmin"] // 100 - local.dt.hour) % 24
    assert set(lag) <= {0, 1}
    assert 0.1 < (lag == 1).mean() < 0.25
    late = table["date"] != local.dt.strftime("%Y%m%d").astype(np.int64)
    assert (table.loc[late, "hourmin"] == 0).all()


def test_random_exposures_are_single_and_in_the_feed(logs: tuple[Path, SynthesisReport]) -> None:
    random = pd.read_csv(logs[0] / LOG.replace("standard", "random"))
    assert len(random) == logs[1].random_rows > 0
    assert (random["is_rand"] == 1).all()
    assert (random["tab"] == 1).all()
    assert not random.duplicated(["user_id", "time_ms"]).any()


def test_the_logs_can_be_read_as_a_dataset(logs: tuple[Path, SynthesisReport]) -> None:
    folder, report = logs
    dataset = read_kuairand(folder)
    assert len(dataset.impressions.users) == report.standard_rows + report.random_rows
    world = load_world(folder)
    assert world is not None
    np.testing.assert_array_equal(
        dataset.catalogue.duration_seconds, world.catalogue.duration_seconds
    )
    sessions = dataset.impressions.sessions
    requests = dataset.impressions.requests
    assert 5 < len(np.unique(requests)) / len(np.unique(sessions)) < 30


def test_the_world_is_rebuilt_from_its_logs(logs: tuple[Path, SynthesisReport]) -> None:
    world = load_world(logs[0])
    assert world is not None
    assert world.config == CONFIG
    np.testing.assert_array_equal(world.users.care, World(CONFIG).users.care)


def test_load_world_returns_none_for_other_logs(tmp_path: Path) -> None:
    assert load_world(tmp_path) is None


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"format": "other"}, "has format 'other'"),
        ({}, "does not describe a world"),
        ({"format": "mtf_rl world 2", "config": {"people": 3}}, "does not describe a world"),
    ],
)
def test_a_broken_description_raises_an_error(
    tmp_path: Path, description: dict[str, object], message: str
) -> None:
    save_json(tmp_path / "world.json", description)
    with pytest.raises(ArtifactError, match=message):
        load_world(tmp_path)


def test_a_world_smaller_than_a_slate_can_be_logged(tmp_path: Path) -> None:
    report = synthesize(WorldConfig(users=2, videos=4, days=1), tmp_path)
    assert report.standard_rows > 0


@pytest.fixture(scope="module")
def rolled() -> tuple[World, LoggedRows]:
    world = World(CONFIG)
    return world, roll(world, np.arange(CONFIG.users), CONFIG.days, LOGGING_RANKERS)[0]


def test_rows_are_drawn_from_the_recorded_true_probabilities(
    rolled: tuple[World, LoggedRows],
) -> None:
    rows = rolled[1]
    for task in range(7):
        expected = rows.truth[:, task].astype(np.float64)
        error = np.sqrt((expected * (1 - expected)).sum())
        assert abs(rows.feedback[:, task].sum() - expected.sum()) < 4.5 * error + 1


def test_tallies_of_disjoint_users_sum_to_the_total() -> None:
    world = World(CONFIG)
    rows, ends = roll(world, np.arange(CONFIG.users), CONFIG.days, LOGGING_RANKERS)
    whole = tally(rows, ends, users=CONFIG.users, videos=CONFIG.videos)
    parts = [
        tally(
            *roll(world, users, CONFIG.days, LOGGING_RANKERS),
            users=CONFIG.users,
            videos=CONFIG.videos,
        )
        for users in np.array_split(np.arange(CONFIG.users), 3)
    ]
    joined = parts[0].plus(parts[1]).plus(parts[2])
    for field in fields(whole):
        np.testing.assert_allclose(getattr(joined, field.name), getattr(whole, field.name))


def test_a_tally_equals_counts_by_pandas(table: pd.DataFrame) -> None:
    world = World(CONFIG)
    rows, ends = roll(world, np.arange(CONFIG.users), CONFIG.days, LOGGING_RANKERS)
    totals = tally(rows, ends, users=CONFIG.users, videos=CONFIG.videos)
    assert totals.rows[0].tolist() == table.groupby("tab").size().tolist()
    assert totals.joint[2, 0] == ((table["is_like"] == 1) & (table["is_click"] == 1)).sum()
    both = pd.concat([table, pd.DataFrame({"user_id": [], "time_ms": []})])
    days = both["time_ms"].add(8 * 3_600_000) // 86_400_000
    assert totals.active_days >= len(set(zip(both["user_id"], days, strict=True)))
    feed = table[(table["tab"] == 1) & (table["is_click"] == 1)]
    median = histogram_quantile(totals.play_histogram[1], 0.5, zeros=int(totals.play_zeros[1]))
    np.testing.assert_allclose(median, feed["play_time_ms"].median() / 1000, rtol=0.02)


def test_histogram_quantiles_include_zeros() -> None:
    histogram = np.zeros(3200, dtype=np.int64)
    histogram[1600] = 10
    assert histogram_quantile(histogram, 0.4, zeros=10) == 0.0
    assert histogram_quantile(histogram, 0.6, zeros=10) > 0.0


def test_gini_by_hand() -> None:
    assert _gini(np.array([3, 3, 3])) == pytest.approx(0.0)
    # One of four videos has all exposures: (4 - 1) / 4.
    assert _gini(np.array([0, 8, 0, 0])) == pytest.approx(0.75)


def test_a_report_compares_every_target(logs: tuple[Path, SynthesisReport]) -> None:
    report = logs[1]
    assert [row.target for row in report.calibration] == list(TARGETS)
    assert all(np.isfinite(row.produced) for row in report.calibration)
    markdown = report.to_markdown()
    assert all(target.name in markdown for target in TARGETS)
    assert all(target.low <= target.value <= target.high for target in TARGETS)


def test_the_world_is_calibrated() -> None:
    """The main rates, with few users and one day, at a seed not used for tuning."""
    config = WorldConfig(users=300, days=1, seed=203)
    rows, ends = roll(World(config), np.arange(300), 1, LOGGING_RANKERS)
    result = calibrate(tally(rows, ends, users=300, videos=config.videos))
    produced = {
        row.target.name: row.produced / row.target.value for row in result if row.target.value
    }
    for name in ("standard/click", "standard/long_view", "feed/click", "items_per_request"):
        assert produced[name] == pytest.approx(1.0, abs=0.15), name
    assert np.mean([row.met for row in result]) > 0.7


def test_rankers_are_assigned_by_their_fractions() -> None:
    users = np.arange(20_000)
    chosen = assign_rankers(LOGGING_RANKERS, 0, users, np.zeros_like(users))
    fractions = np.bincount(chosen, minlength=len(LOGGING_RANKERS)) / len(users)
    np.testing.assert_allclose(
        fractions, [ranker.fraction for ranker in LOGGING_RANKERS], atol=0.015
    )


def test_prediction_noise_is_standard_and_fixed() -> None:
    users, videos = np.arange(100)[:, None], np.tile(np.arange(200), (100, 1))
    noise = _pair_noise(0, np.zeros((100, 1), dtype=int), users, videos)
    assert noise.shape == (100, 200, 8)
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.02)
    np.testing.assert_allclose(noise.std(), 1.0, atol=0.02)
    correlations = np.corrcoef(noise.reshape(-1, 8).T) - np.eye(8)
    assert np.abs(correlations).max() < 0.04
    np.testing.assert_array_equal(
        _pair_noise(0, np.zeros((1, 1), dtype=int), users[3:4], videos[:1, 5:6])[0, 0], noise[3, 5]
    )


def test_better_rankers_find_better_videos(rolled: tuple[World, LoggedRows]) -> None:
    rows = rolled[1]
    standard = select_rows(rows, ~rows.randomised & (rows.tabs == 1))
    random = select_rows(rows, rows.randomised)
    assert standard.truth[:, 0].mean() > 1.5 * random.truth[:, 0].mean()


def test_rankers_are_saved_with_the_logs(logs: tuple[Path, SynthesisReport]) -> None:
    description = json.loads((logs[0] / "world.json").read_text())
    names = [ranker["name"] for ranker in description["logging_rankers"]]
    assert names == [asdict(ranker)["name"] for ranker in LOGGING_RANKERS]


def test_the_world_is_the_default_user_model_of_roll(
    rolled: tuple[World, LoggedRows],
) -> None:
    world, rows = rolled
    again, _ = roll(world, np.arange(CONFIG.users), CONFIG.days, LOGGING_RANKERS, answers=world)
    for field in fields(LoggedRows):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(rows, field.name))


def test_another_rng_number_gives_another_log_of_the_same_world(
    rolled: tuple[World, LoggedRows],
) -> None:
    world, rows = rolled
    other, _ = roll(world, np.arange(CONFIG.users), CONFIG.days, LOGGING_RANKERS, rng=1)
    assert len(other.users) != len(rows.users)
    assert other.truth[:, 0].mean() == pytest.approx(rows.truth[:, 0].mean(), rel=0.15)


@dataclass(frozen=True)
class _Visitors:
    users: IntArray


@dataclass(frozen=True)
class _Leaver(UserModel[_Visitors]):
    """Users click every video, watch 1 s, leave after one request and return the next day."""

    evaluator = "leaver"
    hour_fractions = HOUR_FRACTIONS

    def start(self, users: IntArray, rng: EpisodeRng) -> _Visitors:
        return _Visitors(users)

    def resume(self, state: _Visitors, away_seconds: FloatArray) -> _Visitors:
        return state

    def respond(
        self, state: _Visitors, slate: Slate, history: VisibleHistory, rng: EpisodeRng
    ) -> tuple[Response, _Visitors]:
        assert (history.requests == 0).all()
        feedback = np.zeros((*slate.videos.shape, 7), dtype=np.float32)
        feedback[..., 0] = slate.mask
        return Response(feedback, slate.mask.astype(np.float32)), state

    def leave(self, state: _Visitors, history: VisibleHistory, rng: EpisodeRng) -> BoolArray:
        return np.ones(len(state.users), dtype=np.bool_)

    def pause_seconds(
        self, state: _Visitors, history: VisibleHistory, rng: EpisodeRng
    ) -> FloatArray:
        return np.full(len(state.users), 10.0)

    def return_days(self, state: _Visitors, history: VisibleHistory, rng: EpisodeRng) -> IntArray:
        return np.ones(len(state.users), dtype=np.int32)


def test_another_user_model_can_respond(rolled: tuple[World, LoggedRows]) -> None:
    world, _ = rolled
    rows, ends = roll(
        world, np.arange(CONFIG.users), CONFIG.days, LOGGING_RANKERS, answers=_Leaver()
    )
    assert (rows.feedback[:, 0] == 1).all()
    assert (rows.play_ms == 1000).all()
    assert rows.truth.shape == (len(rows.users), 0)
    assert (ends.gaps == 1).all()
    # Every session has a single request.
    pairs = set(zip(rows.users, rows.sessions, strict=True))
    assert pairs == set(zip(rows.users, rows.requests, strict=True))


def test_rankers_are_read_back_from_the_logs(
    logs: tuple[Path, SynthesisReport], tmp_path: Path
) -> None:
    assert load_rankers(logs[0]) == LOGGING_RANKERS
    save_json(tmp_path / "world.json", {"format": "mtf_rl world 2"})
    with pytest.raises(ArtifactError, match="does not describe its rankers"):
        load_rankers(tmp_path)
