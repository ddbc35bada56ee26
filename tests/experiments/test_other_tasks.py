"""A log with other tasks than KuaiRand's, from the dataset to the leaderboard."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.agents import AGENTS, FusionSetting, LearningTask, UniformConfig, load_policy, rank
from mtf_rl.agents.learning import discard_metric
from mtf_rl.agents.registry import RewardWeightedConfig, learn_reward_weighted
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ArtifactError, ConfigError, UnknownNameError
from mtf_rl.core.files import load_json, save_json
from mtf_rl.core.log_schema import LogSchema
from mtf_rl.core.randomness import hash_words
from mtf_rl.core.tasks import Task, TaskKind, TaskSet
from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.data import (
    Dataset,
    DurationFills,
    FileAccount,
    Impressions,
    RowAccount,
    ScoreTable,
    UserGroup,
)
from mtf_rl.data.feature_tables import build_feature_table
from mtf_rl.data.prepared import write_prepared
from mtf_rl.data.schema import USER_COLUMNS, VIDEO_COLUMNS
from mtf_rl.data.sessions import days_of, hours_of, number_requests, number_sessions
from mtf_rl.envs import RequestBudget, RewardInputs, SessionConfig
from mtf_rl.evaluation import leaderboard_columns
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import parse_train, settings_of_run
from mtf_rl.experiments.comparison import ComparisonConfig, compare
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.preparation import prepare_run
from mtf_rl.experiments.run_evaluation import Entry, evaluate_policies, save_entries
from mtf_rl.experiments.run_folder import RunFolder, new_run_folder
from mtf_rl.experiments.run_report import report
from mtf_rl.experiments.training import train
from mtf_rl.scorers import Scorer
from tests.experiments.small_run import LEARNER_FLAGS, copy_of, small_settings

TASKS = TaskSet(
    (
        Task("buy", worth=20.0, within="save"),
        Task("save", worth=2.0),
        Task("skip", sign=-1, worth=-1.0),
        Task("dwell", TaskKind.SECONDS, worth=0.5, cap=60.0),
    )
)
SCHEMA = LogSchema(TASKS, utc_offset_hours=1.0)
USERS, VIDEOS, POOL = 90, 60, 40
HOUR_MS = 3_600_000
FIRST_MS = 1_700_000_000_000 // (24 * HOUR_MS) * (24 * HOUR_MS)


def shop() -> Dataset:
    """A log of three days: two sessions a day per user, four requests each, three articles each."""
    rng = np.random.default_rng(0)
    starts = (FIRST_MS + HOUR_MS * np.array([9, 20, 33, 44, 57, 68]))[:, None]  # (sessions, 1)
    pauses = rng.integers(20_000, 90_000, (USERS, len(starts), 4))
    times = (starts + pauses.cumsum(axis=2)).reshape(USERS, -1)  # (users, requests)
    users = np.repeat(np.arange(USERS), 3 * times.shape[1])
    times_ms = np.repeat(times, 3)
    videos = rng.integers(0, VIDEOS, len(users))
    appeal = rng.normal(size=VIDEOS)[videos]  # (rows,)
    play = np.exp(rng.normal(1.5 + 0.5 * appeal, 0.8)).astype(np.float32)
    save = rng.random(len(users)) < 1.0 / (1.0 + np.exp(1.5 - appeal))
    buy = save & (rng.random(len(users)) < 0.3)
    skip = rng.random(len(users)) < 1.0 / (1.0 + np.exp(1.0 + appeal))
    impressions = Impressions(
        users=users.astype(np.int32),
        videos=videos.astype(np.int32),
        times_ms=times_ms,
        days=days_of(times_ms, SCHEMA.utc_offset_hours),
        hours=hours_of(times_ms, SCHEMA.utc_offset_hours),
        tabs=np.zeros(len(users), dtype=np.int16),
        feedback=np.stack([buy, save, skip], axis=1).astype(np.uint8),
        play_seconds=play,
        duration_seconds=np.full(len(users), 90.0, dtype=np.float32),
        randomised=rng.random(len(users)) < 0.1,
        requests=number_requests(users, times_ms),
        sessions=number_sessions(users, times_ms, SCHEMA.session_gap_minutes),
        keys=hash_words(users, times_ms, np.arange(len(users))),
    )
    catalogue = VideoCatalogue(
        duration_seconds=np.full(VIDEOS, 90.0, dtype=np.float32),
        tags=(np.arange(VIDEOS) % 5)[:, None].astype(np.int32),
        authors=np.full(VIDEOS, -1, dtype=np.int32),
        num_tags=5,
    )
    account = RowAccount((FileAccount("shop.parquet", len(users), len(users), {}, {}),))
    return Dataset(
        impressions=impressions,
        users=build_feature_table(None, USER_COLUMNS, np.arange(USERS)),
        videos=build_feature_table(None, VIDEO_COLUMNS, np.arange(VIDEOS)),
        catalogue=catalogue,
        account=account,
        files=(),
        duration_fills=DurationFills(0, 0),
        schema=SCHEMA,
    )


def flags(folder: Path, *more: str) -> list[str]:
    return [
        *LEARNER_FLAGS, "--data", str(folder), "--pool", str(POOL), "--session.candidates", "20",
        "--session.slate", "3", "--session.max-requests", "6", "--requests", "450",
        "--test-days", "1", "--validation-days", "1", "--validation-fraction", "0", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module", name="prepared")
def a_prepared_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_prepared(shop(), folder)
    return folder


@pytest.fixture(scope="module", name="run")
def a_finished_run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of the main job with one learner and no search."""
    folder, terminal = tmp_path_factory.mktemp("runs") / "run", Terminal()
    settings = small_settings(folder, "td3", *flags(prepared))
    config = settings.run
    run = new_run_folder(folder, agent="td3")
    assembly = prepare_run(config, run, discard_metric, terminal)
    learning, tuning = (
        assembly.dynamics(config.session, group, "simulator")
        for group in (UserGroup.LEARN, UserGroup.TUNE)
    )
    task = LearningTask(learning, tuning, RequestBudget(config.requests), seed=0)
    entries = {
        name: Entry(AGENTS[name].learn(task, agent_settings).policy, 0)
        for name, agent_settings in (
            ("td3", settings.agent_settings),
            ("uniform", UniformConfig()),
            ("reward_weighted", RewardWeightedConfig()),
        )
    }
    save_entries(run.policies, entries, FusionSetting.of(learning))
    report(evaluate_policies(assembly, config, entries, terminal), "td3", run.path, terminal)
    return run


def test_every_artifact_stores_its_tasks(run: RunFolder) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    assert assembly.scores.tasks == assembly.simulator.tasks == TASKS
    assert assembly.simulator.rules.schema == SCHEMA
    assert Scorer.load(run.scorer).tasks == TASKS
    policy = load_policy(run.policies / "td3")
    assert policy.setting.fusion.task_set.names == TASKS.names
    assert policy.setting.fusion.task_set.signs.tolist() == [1.0, 1.0, -1.0, 1.0]


def test_the_simulator_reproduces_the_logs_rates(run: RunFolder) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    settings = small_settings(run.path, "td3", *flags(run.path)).run.session
    dynamics = assembly.dynamics(settings, UserGroup.LEARN, "simulator")
    state = dynamics.start(0, np.arange(400))
    weights = np.broadcast_to(TASKS.signs * 0.0, (400, len(TASKS)))
    _, outcome = dynamics.advance(state, weights, 0)
    feedback: FloatArray = outcome.response.feedback  # (400, slate, feedbacks)
    logged = shop().impressions.feedback.mean(axis=0)
    assert feedback.shape == (400, 3, 3)
    np.testing.assert_allclose(feedback.mean(axis=(0, 1)), logged, atol=0.08)
    minutes = outcome.response.watch_seconds.sum(axis=1) / 60.0
    counts = feedback.sum(axis=1)
    worth = 0.5 * minutes + 20.0 * counts[:, 0] + 2.0 * counts[:, 1] - counts[:, 2]
    np.testing.assert_allclose(outcome.reward, worth, rtol=1e-4, atol=1e-4)


def test_the_leaderboard_has_a_rate_for_each_task(run: RunFolder) -> None:
    with (run.path / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == leaderboard_columns(TASKS.names, TASKS)
    by_name = {row["policy"]: row for row in rows}
    assert {"td3", "td3_static_mean", "uniform", "reward_weighted"} <= set(by_name)
    uniform = [float(by_name["uniform"][f"{name}_weight"]) for name in TASKS.names]
    np.testing.assert_allclose(uniform, [1.0, 1.0, -1.0, 1.0], atol=1e-6)
    page = (run.path / "leaderboard.md").read_text()
    assert "Less skip is better." in page
    assert "click" not in page


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        # Worth of a label of 1: buy 20, save 2, skip -1, dwell 0.5 a minute of 60 s.
        ("engagement", [1.0, 0.1, -0.05, 0.025]),
        ("interaction", [1.0, 0.1, -0.05, 0.0]),
        ("watch_time", [0.0, 0.0, 0.0, 1.0]),
        (f"{__name__}:saves_and_seconds", [0.0, 1.0, 0.0, 0.5]),
    ],
)
def test_reward_weighted_follows_the_sessions_reward(
    run: RunFolder, reward: str, expected: list[float]
) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    settings = SessionConfig(candidates=20, slate=3, reward=reward)
    dynamics = assembly.dynamics(settings, UserGroup.LEARN, "simulator")
    task = LearningTask(dynamics, dynamics, RequestBudget(0), seed=0)
    policy = learn_reward_weighted(task, RewardWeightedConfig()).policy
    action, _ = policy.predict(np.zeros((1, dynamics.layout.size), dtype=np.float32))
    weights = dynamics.action_map.to_parameters(action)[0]
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def saves_and_seconds(inputs: RewardInputs) -> FloatArray:
    """A reward of 2 for each save and 1 for each watched minute."""
    worth: FloatArray = 2.0 * inputs.count("save") + inputs.watch_seconds.sum(axis=1) / 60.0
    return worth


def test_settings_of_other_tasks_are_refused_before_anything_is_fitted(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--session.reward", f"{__name__}:saves_and_seconds")  # of tasks that KuaiRand lacks
    more: tuple[str, ...]
    for more in ((), own):
        with pytest.raises(SystemExit):
            parse_train(["td3", "--data", str(prepared), "--session.formula", "click_gated", *more])
        assert "click_gated needs the task click" in printed(capsys)
    for number, (flag, message) in enumerate(
        (
            (("--scorer-fit.monitor-tasks", "sav"), "Unknown task 'sav'. Did you mean 'save'?"),
            (
                ("--scorer-fit.task-weights", "1", "1"),
                "task_weights must have 4 values, one per task (buy",
            ),
        )
    ):
        settings = small_settings(tmp_path / str(number), "uniform", *flags(prepared, *flag)[4:])
        with pytest.raises((ConfigError, UnknownNameError), match=re.escape(message)):
            train(settings, Terminal())


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """The text in the box of an error of the command line, on one line."""
    return " ".join(re.sub("[│─╭╮╰╯]", " ", capsys.readouterr().err).split())


def test_tasks_and_base_are_checked_with_the_tasks_of_the_log(
    prepared: Path, tmp_path: Path
) -> None:
    fused = (
        "--session.tasks", "save", "skip", "--session.action-map", "residual",
        "--session.base", "0.3", "-0.2",
    )  # fmt: skip
    settings = small_settings(tmp_path, "td3", *flags(prepared, *fused))
    run = new_run_folder(tmp_path / "run", agent="td3")
    run.write_config(settings)
    again = settings_of_run(run)
    for fusion in (settings.run.session.fusion, again.run.session.fusion):
        assert (fusion.tasks, fusion.base) == (("save", "skip"), (0.3, -0.2))
        assert fusion.task_set.whole == TASKS.names
        assert fusion.among == TASKS
    other = again.run.session.with_settings(tasks=("buy",), base=())
    assert other.fusion.task_set.names == ("buy",)
    copied = parse_train(["td3", "--config", str(run.path / "config.json")])
    assert copied.run.session.fusion.tasks == ("save", "skip")
    for word, data, message in (
        ("sav", ["--data", str(prepared)], "Unknown task 'sav'. Did you mean 'save'?"),
        ("click", [f"--data={prepared}"], "Unknown task 'click'"),
        ("clik", [], "Unknown task 'clik'. Did you mean 'click'?"),
    ):
        with pytest.raises(UnknownNameError, match=re.escape(message)):
            parse_train(["td3", *data, "--session.tasks", word])


def test_settings_of_a_run_on_kuairand_apply_to_another_log(prepared: Path, tmp_path: Path) -> None:
    run = new_run_folder(tmp_path / "run", agent="td3")
    run.write_config(small_settings(tmp_path, "td3", *LEARNER_FLAGS))
    assert "among" not in load_json(run.path / "config.json")["run"]["session"]["fusion"]
    settings = parse_train(
        ["td3", "--config", str(run.path / "config.json"), "--data", str(prepared)]
    )
    assert settings.run.session.fusion.tasks == TASKS.names


def test_a_comparison_of_a_log_without_play_time_is_refused_before_its_jobs(
    prepared: Path, run: RunFolder, tmp_path: Path
) -> None:
    copied = copy_of(run, tmp_path / "run")
    copied.write_config(small_settings(copied.path, "td3", *flags(prepared)))
    table = ScoreTable.load(copied.data / "score_table.npz")
    counts = TaskSet(TASKS.tasks[:3])
    replace(
        table, scores=table.scores[..., :3], base_rates=table.base_rates[:3], tasks=counts
    ).save(copied.data / "score_table.npz")
    config = ComparisonConfig(copied.path, contestants=("uniform",), out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"no task in seconds.* buy, save, skip. Add --no-seesaw"):
        compare(config, Terminal())
    assert not config.folder.exists()


def test_scores_and_simulator_of_other_tasks_are_refused(run: RunFolder, tmp_path: Path) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    with pytest.raises(ConfigError, match=re.escape("the scores are of the tasks buy, save, skip")):
        replace(assembly, scores=replace(assembly.scores, tasks=cheaper(TASKS)))
    document = load_json(run.simulator / "user_model.json")
    assembly.simulator.save(tmp_path)
    save_json(tmp_path / "user_model.json", document | {"format": 4})
    with pytest.raises(ArtifactError, match=r"format 5.*Fit the simulator again"):
        type(assembly.simulator).load(tmp_path)


def cheaper(tasks: TaskSet) -> TaskSet:
    return TaskSet(tuple(replace(task, worth=0.0) for task in tasks))


def test_a_policy_of_these_tasks_ranks_a_table(run: RunFolder) -> None:
    import pandas as pd

    policy = load_policy(run.policies / "uniform")
    frame = pd.DataFrame(
        {"buy": [0.1, 0.3], "save": [0.2, 0.2], "skip": [0.1, 0.1], "dwell": [0.5, 0.5]}
    )
    assert rank(frame, policy).index.tolist() == [1, 0]
