"""The comparison on a small run: jobs, resumption, selection, tables."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtf_rl.core.errors import ArtifactError, ConfigError, RunFolderError, UnknownNameError
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import BatchDataset
from mtf_rl.experiments.comparison import (
    CONTESTANTS,
    ComparisonConfig,
    Results,
    compare,
    finished_comparison,
    page_of,
    report,
    save_finished_jobs,
)
from mtf_rl.experiments.comparison.contestants import LEARNER as LEARNER_KIND
from mtf_rl.experiments.comparison.contestants import PRODUCTION, Contestant
from mtf_rl.experiments.comparison.contestants import SEARCH as SEARCH_KIND
from mtf_rl.experiments.comparison.exchange import adopt_jobs
from mtf_rl.experiments.comparison.numbers import against, ordered, rewards_by_budget
from mtf_rl.experiments.comparison.tables import budget_table, gap_table, statistics_table
from mtf_rl.experiments.comparison.work import SESSION, Job, do_job, run_digest
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.run_folder import RunFolder
from tests.experiments.comparison_examples import LEARNERS, SEARCH, made_up_comparison
from tests.made_once import MadeOnce

WORK = "mtf_rl.experiments.comparison.comparing"
NAMES = ("uniform", "random_search", "a2c", "a2c_myopic")


class InThisProcess:
    """A pool that does jobs in this process, because starting another takes longer."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001  (as a pool does)
            future.set_exception(error)
        return future


@pytest.fixture(name="small")
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do jobs with few updates and short trials in this process."""
    search = {"sessions_per_trial": 4, "max_blocks": 2, "finalists": 2}
    entries = {
        "random_search": Contestant("random_search", SEARCH_KIND, search),
        "td3_bc": Contestant("td3_bc", LEARNER_KIND, {"updates": 20, "hidden": (8,)}),
    }
    for name, entry in entries.items():
        monkeypatch.setitem(CONTESTANTS._entries, name, entry)
    monkeypatch.setattr(f"{WORK}._pool", lambda *settings: iter([InThisProcess()]))


@pytest.fixture(name="run")
def finished_run(finished: RunFolder) -> Path:
    return finished.path


def config_of(run: Path, out: Path) -> ComparisonConfig:
    return ComparisonConfig(
        run=run,
        requests=2_800,
        seeds=2,
        headline_seeds=3,
        headline_learners=1,
        contestants=NAMES,
        fractions=(0.75,),
        sessions=40,
        tuning_sessions=20,
        seesaw=False,
        retention=False,
        rescored=1,
        workers=1,
        out=out,
    )


@pytest.fixture(name="config")
def config_of_finished(run: Path, made_once: MadeOnce, small: None) -> ComparisonConfig:
    """Settings of a finished and reported comparison; tests must not write into its folder."""
    return config_of(
        run,
        made_once.folder(
            "comparison", lambda out: report(compare(config_of(run, out), Terminal()), Terminal())
        ),
    )


def test_a_comparison_has_all_seeds_budgets_and_files(config: ComparisonConfig) -> None:
    comparison = finished_comparison(config)
    assert comparison.learners == ("a2c",)
    assert comparison.search == "random_search"
    results = comparison.results
    assert [result.seed for result in results.of("a2c")] == [0, 1, 2]
    assert [result.seed for result in results.of("a2c_myopic")] == [0, 1, 2]
    smaller = [result.requests_used for result in results.of("a2c", fraction=0.75)]
    assert len(smaller) == 2
    assert all(2_000 < used <= 2_100 for used in smaller)
    assert not results.of("a2c_myopic", fraction=0.75)
    assert all(result.requests_used <= 2_800 for result in results.all)
    rescored = comparison.rescored["a2c"]
    assert sorted(rescored) == [0, 1]
    assert all(len(rewards) == 1 for rewards in rescored[0].values())
    table = pd.read_csv(config.folder / "leaderboard.csv")
    assert set(table.policy) == set(config.contestants)
    long = pd.read_csv(config.folder / "results.csv")
    assert len(long) == 2 * len(results.all)
    texts = {"contestant", "track", "evaluator"}
    assert set(long.select_dtypes(exclude="number").columns) == texts
    # Loading the finished jobs gives the page that was written.
    assert (config.folder / "leaderboard.md").read_text() == page_of(comparison)


def test_finished_jobs_are_not_done_again(
    config: ComparisonConfig, run: Path, tmp_path: Path
) -> None:
    copied = replace(config, out=Path(shutil.copytree(config.folder, tmp_path / "copy")))
    files = sorted((copied.folder / "jobs").rglob("result.json"))
    before = [path.stat().st_mtime_ns for path in files]
    assert page_of(compare(copied, Terminal())) == page_of(finished_comparison(config))
    assert [path.stat().st_mtime_ns for path in files] == before
    # A result with other settings is not used.
    digest, job = run_digest(run), Job("a2c", SESSION, 0, 1.0)
    path = job.folder(copied) / "result.json"
    assert job.finished(copied, digest) is not None
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": {}}))
    assert job.finished(copied, digest) is None


def test_files_of_another_budget_are_not_reused(run: Path, tmp_path: Path, small: None) -> None:
    """A batch of 500 requests is replaced by one of 600."""
    job, digest = Job("td3_bc", SESSION, 0, 1.0), run_digest(run)
    config = replace(config_of(run, tmp_path), contestants=("uniform", "td3_bc"))
    for requests in (500, 600):
        result = do_job(job, replace(config, requests=requests), digest)
        batch = BatchDataset.load(job.folder(config) / "batch.parquet")
        assert result.requests_used == len(batch.rewards) == requests
    search = Job("random_search", SESSION, 0, 1.0)
    for requests in (1_000, 1_200):
        result = do_job(search, replace(config, requests=requests), digest)
        assert 0.8 * requests < result.requests_used <= requests


def test_unpaired_means_are_over_the_seeds_that_all_have(tmp_path: Path) -> None:
    comparison = made_up_comparison(tmp_path)
    evaluator = comparison.evaluator
    further = [
        replace(result, evaluated={name: replace(j, reward=j.reward + 50.0) for name, j in
                                result.evaluated.items()})
        if result.seed >= comparison.config.seeds else result
        for result in comparison.results.all
    ]  # fmt: skip
    shifted = replace(comparison, results=Results(tuple(further)))
    assert ordered(shifted, evaluator) == ordered(comparison, evaluator)
    assert statistics_table(shifted).rows[0][1:3] == statistics_table(comparison).rows[0][1:3]
    assert gap_table(shifted) == gap_table(comparison)
    # Both contestants have all ten seeds, so their paired difference stays the same.
    assert against(shifted, LEARNERS[0], SEARCH, evaluator).mean == pytest.approx(
        against(comparison, LEARNERS[0], SEARCH, evaluator).mean
    )


def test_budgets_are_compared_over_common_seeds(tmp_path: Path) -> None:
    comparison = made_up_comparison(tmp_path)
    evaluator = comparison.evaluator
    kept = [
        result
        for result in comparison.results.all
        if not (result.contestant == SEARCH and result.fraction == 0.25 and result.seed == 2)
    ]
    partial = replace(comparison, results=Results(tuple(kept)))
    whole, cut = (rewards_by_budget(c, evaluator) for c in (comparison, partial))
    assert {rewards.shape for rewards in whole.values()} == {(4, 3)}
    for name, rewards in cut.items():
        np.testing.assert_array_equal(rewards, whole[name][:, :2])
    assert "over the 2 seeds that all contestants have" in budget_table(partial).note


def test_the_same_job_in_another_process_has_the_same_result(
    config: ComparisonConfig, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finished_comparison(config).results
    pair = ("uniform", "a2c")
    again = replace(config, contestants=pair, out=tmp_path, fractions=(), rescored=0, workers=2)
    monkeypatch.undo()  # use worker processes
    second = compare(again, Terminal()).results
    for name in pair:
        for before, after in zip(first.of(name)[:2], second.of(name)[:2], strict=True):
            assert before.evaluated == after.evaluated
            assert before.tuning_reward == after.tuning_reward
    mine, theirs = first.paired("a2c", "uniform", "simulator")
    assert len(mine) == len(theirs) == 3
    assert np.isfinite(mine - theirs).all()


def test_settings_out_of_range_are_refused(run: Path, tmp_path: Path, small: None) -> None:
    config = config_of(run, tmp_path)
    for changes, message in (
        ({"fractions": (1.0,)}, "fractions must be in"),
        ({"contestants": ("a2c",)}, "must include 'uniform'"),
        ({"contestants": ("uniform", "production")}, "--production gives no weights"),
        ({"headline_seeds": 1}, "headline_seeds must be at least 2, got 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            replace(config, **changes)
    with pytest.raises(UnknownNameError, match=r"Unknown contestant 'a3c'. Did you mean"):
        replace(config, contestants=("uniform", "a3c"))
    with pytest.raises(ConfigError, match="td3 needs at least 10064 requests"):
        compare(replace(config, contestants=("uniform", "td3")), Terminal())


def test_another_machine_resumes_with_finished_jobs(
    config: ComparisonConfig, run: Path, tmp_path: Path
) -> None:
    chosen = replace(config, contestants=("uniform", "random_search"), fractions=())
    finished = finished_comparison(chosen)
    path = save_finished_jobs(chosen, tmp_path / "jobs.jsonl")
    here = replace(chosen, out=tmp_path / "here", jobs=(path,))
    taken = compare(here, Terminal())
    assert page_of(taken) == page_of(finished)  # seconds of training would differ if done again
    job = Job("random_search", SESSION, 0, 1.0)
    assert not (job.folder(here) / "policy.json").exists()
    # Rescoring with one more scorer needs the policy, which is trained again with equal results.
    both = compare(replace(here, rescored=2, jobs=()), Terminal())
    assert (job.folder(here) / "policy.json").exists()
    assert {name: found[0]["simulator"][0] for name, found in both.rescored.items()} == {
        name: found[0]["simulator"][0] for name, found in finished.rescored.items()
    }
    # Jobs of another budget are not copied.
    other = replace(chosen, requests=9_000, out=tmp_path / "other")
    assert adopt_jobs(path, [job], other, run_digest(run)) == 0
    assert adopt_jobs(path, [job], chosen, run_digest(run)) == 0  # finished already


def test_a_file_without_jobs_is_refused(run: Path, tmp_path: Path) -> None:
    torn, later = tmp_path / "torn.jsonl", tmp_path / "later.jsonl"
    torn.write_text('{"version": 1, "run": "ab"}\n{"result": {}}\n')
    later.write_text('{"version": 9, "run": "ab"}\n')
    for path, message in (
        (tmp_path / "none.jsonl", "No file"),
        (torn, "does not hold the jobs of a comparison"),
        (later, "has version 9, expected 1"),
    ):
        with pytest.raises(ArtifactError, match=message):
            adopt_jobs(path, [], config_of(run, tmp_path), run_digest(run))


def test_contestants_with_missing_seeds_are_omitted_and_named(
    run: Path, tmp_path: Path, small: None
) -> None:
    names = ("uniform", "random_search", "reward_weighted")
    config = replace(config_of(run, tmp_path), contestants=names, fractions=(), rescored=0)
    digest = run_digest(run)
    with pytest.raises(RunFolderError, match=re.escape("lacks 2 finished seeds of uniform")):
        finished_comparison(config)
    for name, seed in (
        ("uniform", 0),
        ("uniform", 1),
        ("reward_weighted", 0),
        ("reward_weighted", 1),
    ):
        do_job(Job(name, SESSION, seed, 1.0), config, digest)
    do_job(Job("random_search", SESSION, 1, 1.0), config, digest)
    partial = finished_comparison(config)
    assert partial.unfinished == ("random_search",)
    assert partial.results.names() == ["uniform", "reward_weighted"]
    assert "Not shown, because seeds are missing: random_search." in page_of(partial)


def test_production_is_a_contestant_and_the_reference(
    run: Path, tmp_path: Path, small: None
) -> None:
    weights = tmp_path / "weights.json"
    listed = dict.fromkeys(KUAIRAND_TASKS.names, 0.5) | {"hate": -1.0, "click": 2.0}
    weights.write_text(json.dumps(listed))
    config = replace(
        config_of(run, tmp_path / "out"),
        contestants=("uniform", "reward_weighted"),
        production=str(weights),
        fractions=(),
        rescored=0,
    )
    assert config.contestants == ("uniform", "reward_weighted", PRODUCTION)
    comparison = compare(config, Terminal())
    report(comparison, Terminal())
    assert comparison.reference == PRODUCTION
    assert "over production weights" in page_of(comparison).split("\n\n")[1]
    table = pd.read_csv(config.folder / "leaderboard.csv")
    assert set(table.reference) == {PRODUCTION}
    assert (
        not table.drop(columns=["policy", "evaluator", "search", "reference"]).dtypes.eq("O").any()
    )
    own = table[table.policy == PRODUCTION]
    assert (own.filter(like="_delta_vs_production").to_numpy() == 0.0).all()
    assert (table[table.policy == "uniform"].delta_vs_production_mean != 0.0).all()
    # The weights are divided by the largest one, because log_sum depends on their direction only.
    played = comparison.results.of(PRODUCTION)[0].evaluated["simulator"].weights
    assert played["click"] == pytest.approx(1.0)
    assert played["like"] == pytest.approx(0.25)
    # Other weights make another job.
    job = Job(PRODUCTION, SESSION, 0, 1.0)
    one, other = (
        replace(config, production=given) for given in ("1,1,1,1,1,1,-1,1", "1,1,1,1,1,1,0,1")
    )
    assert job.fingerprint(one, "run") != job.fingerprint(other, "run")
