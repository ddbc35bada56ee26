"""The comparison on a small run: jobs, resumption, naming, tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtf_rl.agents import TD3Config
from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.experiments.comparison import (
    ComparisonConfig,
    compare,
    finished_comparison,
    page_of,
    report,
)
from mtf_rl.experiments.comparison.work import SESSION, Job, run_digest
from mtf_rl.experiments.config import PRESETS, RunSettings
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.preparation import prepare_run
from mtf_rl.experiments.run_folder import new_run_folder
from mtf_rl.user_models import WorldConfig


@pytest.fixture(scope="module", name="run")
def prepared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = PRESETS["smoke"]()[0]
    config = replace(
        config,
        run_dir=tmp_path_factory.mktemp("runs") / "small",
        requests=20_000,
        scorer_rows=3_000,
        log=replace(config.log, world=WorldConfig(users=60, videos=320, days=2, seed=3)),
        scorer_fit=replace(config.scorer_fit, max_epochs=1),
        user_model=replace(config.user_model, max_rows=4_000, max_epochs=1),
    )
    run = new_run_folder(config.run_dir, agent="td3")
    run.write_config(RunSettings("td3", TD3Config(), config))
    with pytest.MonkeyPatch.context() as patch:
        # Another process takes longer to start than these logs to write.
        patch.setattr("os.cpu_count", lambda: 1)
        prepare_run(config, run, lambda step, name, value: None, Terminal())
    return run.path


def config_of(run: Path) -> ComparisonConfig:
    return ComparisonConfig(
        run=run,
        requests=8_000,
        seeds=2,
        headline_seeds=3,
        headline_learners=1,
        contestants=("uniform", "random_search", "a2c", "a2c_myopic"),
        shares=(0.75,),
        sessions=40,
        tuning_sessions=20,
        seesaw=False,
        retention=False,
        rescored=1,
        workers=1,
    )


def test_a_comparison_from_jobs_to_page(run: Path) -> None:
    config = config_of(run)
    comparison = compare(config, Terminal())
    assert comparison.learners == ("a2c",)
    assert comparison.search == "random_search"
    results = comparison.results
    assert [result.seed for result in results.of("a2c")] == [0, 1, 2]
    assert [result.seed for result in results.of("a2c_myopic")] == [0, 1, 2]
    smaller = [result.requests_used for result in results.of("a2c", share=0.75)]
    assert len(smaller) == 2
    assert all(5_900 < used <= 6_000 for used in smaller)
    assert not results.of("a2c_myopic", share=0.75)
    assert all(result.requests_used <= 8_000 for result in results.all)
    rescored = comparison.rescored["a2c"]
    assert sorted(rescored) == [0, 1]
    assert all(len(rewards) == 1 for rewards in rescored[0].values())
    report(comparison, Terminal())
    table = pd.read_csv(config.folder / "leaderboard.csv")
    assert set(table.policy) == set(config.contestants)
    long = pd.read_csv(config.folder / "results.csv")
    assert len(long) == 2 * len(results.all)
    assert (config.folder / "leaderboard.md").read_text() == page_of(comparison)

    # Once more: nothing is done again, and what is read is the same.
    digest = run_digest(run)
    path = Job("a2c", SESSION, 0, 1.0).folder(config) / "result.json"
    before = path.stat().st_mtime_ns
    again = finished_comparison(config)
    assert page_of(again) == page_of(comparison)
    assert path.stat().st_mtime_ns == before
    # A result of other settings is not taken.
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"fingerprint": {}}))
    assert Job("a2c", SESSION, 0, 1.0).finished(config, digest) is None
    path.write_text(json.dumps(record))


def test_the_same_job_in_another_process_is_the_same(run: Path, tmp_path: Path) -> None:
    config = replace(config_of(run), out=tmp_path, shares=(), rescored=0, workers=2)
    pair = ("uniform", "a2c")
    other = compare(replace(config, contestants=pair), Terminal()).results
    first = finished_comparison(config_of(run)).results
    for name in pair:
        for one, two in zip(first.of(name)[:2], other.of(name)[:2], strict=True):
            assert one.judged == two.judged
            assert one.tuning_reward == two.tuning_reward
    mine, theirs = first.paired("a2c", "uniform", "simulator")
    assert len(mine) == len(theirs) == 3
    assert np.isfinite(mine - theirs).all()


def test_settings_out_of_range_are_refused(run: Path) -> None:
    config = config_of(run)
    for changes, message in (
        ({"shares": (1.0,)}, "shares must be in"),
        ({"contestants": ("a2c",)}, "must hold uniform"),
        ({"headline_seeds": 1}, "headline_seeds must be at least 2, got 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            replace(config, **changes)
    with pytest.raises(UnknownNameError, match=r"Unknown contestant 'a3c'. Did you mean"):
        replace(config, contestants=("uniform", "a3c"))
    with pytest.raises(ConfigError, match="td3 needs at least 10064 requests"):
        compare(replace(config, contestants=("uniform", "td3")), Terminal())
