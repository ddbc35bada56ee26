"""The main job with agents that learn from a batch dataset."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtf_rl.agents import FusionSetting
from mtf_rl.agents.offline.config import BatchRLMTFConfig
from mtf_rl.core.errors import ConfigError
from mtf_rl.data import BatchDataset
from mtf_rl.envs import RequestBudget, toy_dynamics
from mtf_rl.experiments.collection import (
    batch_for,
    describe_batch,
    refuse_another_run,
    refuse_other_base_rates,
)
from mtf_rl.experiments.command_line import parse_train
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_folder import RunFolder
from mtf_rl.experiments.training import resume
from tests.experiments.small_run import begin_prepared


def collected(tmp_path: Path, requests: int = 300) -> BatchDataset:
    return batch_for(
        toy_dynamics(),
        None,
        budget=RequestBudget(requests),
        seed=4,
        keep_at=tmp_path / "batch.parquet",
    )


def test_a_missing_batch_is_collected_once_with_the_whole_budget(tmp_path: Path) -> None:
    budget = RequestBudget(300)
    kept = tmp_path / "batch.parquet"
    first = batch_for(toy_dynamics(), None, budget=budget, seed=4, keep_at=kept)
    assert (budget.used, len(first.rewards)) == (300, 300)
    assert set(first.behaviour_names) == {"uniform_random", "truncated_gaussian"}
    again = RequestBudget(300)
    second = batch_for(toy_dynamics(), None, budget=again, seed=4, keep_at=kept)
    np.testing.assert_array_equal(first.actions, second.actions)
    assert again.used == 300


def test_a_given_batch_costs_no_simulated_request(tmp_path: Path) -> None:
    collected(tmp_path)
    budget = RequestBudget(50)
    path = tmp_path / "batch.parquet"
    batch = batch_for(toy_dynamics(), path, budget=budget, seed=0, keep_at=tmp_path / "none")
    assert (budget.used, len(batch.rewards)) == (0, 300)
    assert not (tmp_path / "none").exists()


def test_a_batch_of_other_sessions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    batch = collected(tmp_path)
    names = ("likes", *batch.parameter_names[1:])
    replace(batch, parameter_names=names).save(path)
    message = (
        f"{path} has other parameters than this run's sessions: expected 'click' at position 0, got"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        batch_for(toy_dynamics(), path, budget=RequestBudget(9), seed=0, keep_at=path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("formula", "rank"), ("action_map", "simplex"), ("radius", 0.5), ("reward", "watch_time")],
)
def test_a_batch_of_another_setting_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    batch = collected(tmp_path)
    assert batch.setting is not None
    replace(batch, setting={**batch.setting, name: value}).save(path)
    with pytest.raises(ConfigError, match=re.escape(f"was logged with {name} {value!r}, this run")):
        batch_for(toy_dynamics(), path, budget=RequestBudget(9), seed=0, keep_at=path)


def test_a_batch_of_other_base_rates_is_refused(tmp_path: Path) -> None:
    dynamics, batch = toy_dynamics(), collected(tmp_path)
    setting = dict(batch.setting or {})
    assert setting["base_rates"] == [0.5] * 8
    rates = [0.5, 0.35, 0.45, *[0.5] * 5]
    other = replace(batch, setting={**setting, "base_rates": rates})
    message = (
        "this run has base rate 0.5 for long_view, the log has 0.35: under log_sum the same"
        " weights give another ranking"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        refuse_another_run(tmp_path, other, dynamics)
    near = {**setting, "base_rates": [0.42] * 8}  # within the tolerance
    refuse_another_run(tmp_path, replace(batch, setting=near), dynamics)
    setting_here = FusionSetting.of(dynamics)
    unshifted = replace(setting_here, fusion=replace(setting_here.fusion, formula="weighted_sum"))
    refuse_other_base_rates("policy w", unshifted, other)  # its order has no base rates


def test_the_description_of_a_log_without_setting_says_what_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    replace(collected(tmp_path), setting=None).save(path)
    batch = batch_for(toy_dynamics(), path, budget=RequestBudget(9), seed=0, keep_at=path)
    assert "no formula, action map and reward: this run's are assumed" in describe_batch(batch)


def test_the_description_of_a_batch_says_for_how_many_requests_densities_are_known(
    tmp_path: Path,
) -> None:
    batch = collected(tmp_path)
    unknown = replace(batch, log_densities=np.full(300, np.nan))
    assert "no action density is known" in describe_batch(unknown)
    assert "known for 100 % of requests" in describe_batch(batch)


def test_the_main_job_with_an_agent_that_learns_from_a_batch(
    finished: RunFolder, tmp_path: Path
) -> None:
    flags = ("--updates", "40", "--hidden", "16")
    folder = begin_prepared(tmp_path / "run", "td3_bc", finished.path, *flags)
    resume(folder.path, Terminal())
    table = pd.read_csv(folder.path / "leaderboard.csv")
    used = table.groupby("policy").requests_used.first()
    assert used["td3_bc"] == used["td3_bc_myopic"] == 1200
    assert len(BatchDataset.load(folder.data / "batch.parquet").rewards) == 1200
    metrics = pd.read_csv(folder.path / "metrics.csv")
    assert "td3_bc/train/cloning_loss" in set(metrics.name)


def test_the_paper_preset_and_flags_of_batch_agents() -> None:
    settings = parse_train(["batchrl_mtf", "--preset", "paper"])
    assert isinstance(settings.agent_settings, BatchRLMTFConfig)
    assert (settings.agent_settings.updates, settings.run.requests) == (300_000, 100_000)
    flags = ["cql", "--batch", "mine.parquet", "--alpha-threshold", "2.0", "--updates", "7"]
    given = parse_train(flags)
    assert given.run.batch == Path("mine.parquet")
    assert (given.agent_settings.alpha_threshold, given.agent_settings.updates) == (2.0, 7)
