"""The main job with given predictions of another model."""

from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import ScoreTable, read_kuairand, write_predictions
from mtf_rl.experiments.assembly import GIVEN_PREDICTIONS, Assembly
from mtf_rl.experiments.command_line import parse_train
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.random_exposures import replay_run
from mtf_rl.experiments.re_evaluation import evaluate_run
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.experiments.training import train
from mtf_rl.user_models import load_world
from tests.experiments.small_run import LEARNER_FLAGS, USERS, small_settings

POOL = 120


def write_world_predictions(logs: Path, folder: Path) -> ScoreTable:
    """Write random predictions for the retrieval pools of the synthetic world."""
    dataset, world = read_kuairand(logs), load_world(logs)
    assert world is not None
    rng = np.random.default_rng(0)
    table = ScoreTable(
        scores=rng.random((USERS, POOL, len(KUAIRAND_TASKS))).astype(np.float32),
        videos=world.retrieve(POOL),
        base_rates=np.full(len(KUAIRAND_TASKS), 0.5),
        hours=np.zeros(USERS, dtype=np.int8),
        tabs=np.zeros(USERS, dtype=np.int16),
        scorer_keys=np.zeros(0, dtype=np.uint64),
    )
    write_predictions(folder / "predictions.parquet", table, dataset)
    return table


def test_a_run_on_given_predictions(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_world_predictions(finished.data / "logs", tmp_path)
    flags = [*LEARNER_FLAGS, "--data", str(finished.data / "logs"), "--pool", str(POOL)]
    flags += ["--predictions", str(tmp_path / "predictions.parquet"), "--no-myopic-baseline"]
    run = train(small_settings(tmp_path / "run", "td3", *flags), Terminal())
    assembly = Assembly.load(run.data, run.simulator)
    np.testing.assert_array_equal(assembly.scores.scores, table.scores)
    np.testing.assert_array_equal(assembly.scores.videos, table.videos)
    assert len(assembly.scores.scorer_keys) == 0
    assert 0.3 < assembly.scores.base_rates[0] < 0.5  # the log's click rate, not the file's
    report = (run.scorer / "report.md").read_text()
    assert f"{USERS * POOL:,} rows read, {USERS * POOL:,} kept, 0 dropped" in report
    assert GIVEN_PREDICTIONS in report
    assert "| long_view |" in report
    for name in ("leaderboard.md", "log.txt"):
        assert GIVEN_PREDICTIONS in " ".join((run.path / name).read_text().split())
    evaluated = evaluate_run(run.path, sessions=10, seed=None, terminal=Terminal())
    assert GIVEN_PREDICTIONS in (evaluated / "leaderboard.md").read_text()
    check_replay_on_random_exposures_in_pools(run, finished.data / "logs", table, capsys)


def check_replay_on_random_exposures_in_pools(
    run: RunFolder, logs: Path, table: ScoreTable, capsys: pytest.CaptureFixture[str]
) -> None:
    log = read_kuairand(logs).impressions
    last = log.randomised & (log.days == log.days.max())
    pools = [set(pool) for pool in table.videos.tolist()]
    pairs = zip(log.users[last].tolist(), log.videos[last].tolist(), strict=True)
    covered = sum(video in pools[user] for user, video in pairs)
    assert 0 < covered < last.sum()
    capsys.readouterr()
    replayed = replay_run(run.path, Terminal())
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{last.sum()} random exposures of the test days, {covered} of them with" in printed
    assert {"uniform", "cma_es"} <= {replay.policy for replay in replayed}
    assert all(np.isfinite(replay.top.value.mean) for replay in replayed)


def test_the_predictions_flag_takes_a_file() -> None:
    assert parse_train(["--predictions", "mine.parquet"]).run.predictions == Path("mine.parquet")
