"""Replay of static weights on a run's random exposures."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mtf_rl.agents import ConstantPolicy, FusionSetting, TablePolicy
from mtf_rl.core.errors import DataError
from mtf_rl.core.protocols import SIMULATOR
from mtf_rl.data import FeatureEncoder, UserGroup, read_kuairand
from mtf_rl.experiments import random_exposures
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.held_out import read_held_out
from mtf_rl.experiments.random_exposures import replay_run
from mtf_rl.experiments.run_evaluation import Entry, save_entries
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.scorers import Scorer, labelled_rows
from tests.experiments.small_run import copy_of

LIKE = np.array([-1, -1, 1, -1, -1, -1, 1, -1], dtype=np.float32)  # only the weight of like


@pytest.fixture(scope="module", name="run")
def run_with_policies(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = copy_of(finished, tmp_path_factory.mktemp("runs") / "small")
    shutil.rmtree(run.policies)
    assembly = Assembly.load(run.data, run.simulator)
    session = settings_of_run(run).run.session
    dynamics = assembly.dynamics(session, UserGroup.LEARN, SIMULATOR)
    acting = TablePolicy(
        obs_dim=dynamics.layout.size,
        column=0,
        edges=np.zeros(1),
        actions=np.stack([LIKE, -LIKE]),
    )
    entries = {
        "like": Entry(ConstantPolicy(LIKE), 0),
        "acting": Entry(acting, 0),
    }
    save_entries(run.policies, entries, FusionSetting.of(dynamics))
    return run


def test_a_weight_on_likes_ranks_by_predicted_likes(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    (replay,) = replay_run(run.path, Terminal())
    printed = capsys.readouterr().out
    assert "Not replayed" in printed
    assert "acting" in printed
    assert "contains no effect on the rest of a session" in " ".join(printed.split())
    # The same result by a loop over users and days.
    log = read_kuairand(run.data / "logs").impressions
    dataset = read_kuairand(run.data / "logs")
    assembly = Assembly.load(run.data, run.simulator)
    held_out = read_held_out(run, settings_of_run(run).run.log, None, assembly)
    rows = np.flatnonzero(log.randomised & (log.times_ms >= held_out.start_ms))
    encoder = FeatureEncoder.load(run.scorer)
    likes = Scorer.load(run.scorer).predict(labelled_rows(encoder, dataset, rows).features)[:, 2]
    worth = log.play_seconds[rows] / 60.0 + log.feedback[rows] @ [0, 0, 1, 5, 3, 5, -5]
    firsts = []
    for user in np.unique(log.users[rows]):
        for day in np.unique(log.days[rows]):
            mine = np.flatnonzero((log.users[rows] == user) & (log.days[rows] == day))
            if len(mine) >= 2:
                firsts.append(worth[mine[np.argmax(likes[mine])]])
    assert len(firsts) == replay.top.groups > 5
    assert replay.top.value.mean == pytest.approx(np.mean(firsts), rel=1e-5)
    table = pd.read_csv(run.path / "evaluations" / "random-exposures" / "replay.csv")
    assert table.top.to_list() == pytest.approx([replay.top.value.mean])


def test_the_error_without_random_exposures_names_the_missing_file(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = read_held_out

    def read_without(*arguments: object) -> object:
        held_out = original(*arguments)  # type: ignore[arg-type]
        impressions = held_out.dataset.impressions
        changed = replace(impressions, randomised=np.zeros_like(impressions.randomised))
        return replace(held_out, dataset=replace(held_out.dataset, impressions=changed))

    monkeypatch.setattr(random_exposures, "read_held_out", read_without)
    with pytest.raises(DataError, match=r"holds 0 random exposures.* log_random_\*\.csv"):
        replay_run(run.path, Terminal())
