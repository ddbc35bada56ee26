"""A small main job from end to end."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mtf_rl  # noqa: F401  (registers the environments)
from mtf_rl.agents import load_policy
from mtf_rl.agents.search.study import read_records
from mtf_rl.core.errors import ConfigError, LeakageError, RunFolderError
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import SYNTHETIC_PLAN, UserGroup, read_kuairand, scorer_half, split_by_time
from mtf_rl.evaluation import leaderboard_columns
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.comparison.contestants import PRODUCTION
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.production import production_policy, read_production
from mtf_rl.experiments.re_evaluation import evaluate_run
from mtf_rl.experiments.run_evaluation import Entry, evaluate_policies, load_entries
from mtf_rl.experiments.run_folder import RunFolder, open_run_folder
from mtf_rl.experiments.run_report import page_of
from mtf_rl.experiments.training import train
from mtf_rl.user_models import WorldConfig
from tests.docs.pages import ROOT, glossary_names, matches_any
from tests.experiments.small_run import LEARNER_FLAGS, SEARCHES, USERS, copy_of, small_settings

SAVED = {"td3", "td3_untrained", "td3_myopic", "uniform", *SEARCHES}
POLICIES = SAVED | {"td3_static_mean", "td3_myopic_static_mean"}


@pytest.fixture(name="run")
def finished_run(finished: RunFolder) -> RunFolder:
    return finished


def test_the_leaderboard_has_a_row_per_policy_and_evaluator(run: RunFolder) -> None:
    table = pd.read_csv(run.path / "leaderboard.csv")
    assert tuple(table.columns) == leaderboard_columns(KUAIRAND_TASKS.names)
    pairs = set(zip(table.policy, table.evaluator, strict=True))
    assert pairs == {(p, w) for p in POLICIES for w in (SIMULATOR, GROUND_TRUTH)}
    assert (table.reward_low < table.reward_mean).all()
    assert (table.sessions == 60).all()
    static = table.delta_vs_best_static_mean == 0
    assert (
        table[static]
        .policy.isin(["uniform", *SEARCHES, "td3_static_mean", "td3_myopic_static_mean"])
        .all()
    )
    assert (
        table[table.policy.str.endswith("_static_mean")].filter(like="_spread").to_numpy().max()
        < 1e-6
    )
    used = table.set_index("policy").requests_used.groupby("policy").first()
    assert used["uniform"] == used["td3_untrained"] == 0
    assert 1200 - 8 <= used["td3"] <= 1200
    assert used["td3"] == used["td3_myopic"]
    for name in SEARCHES:
        assert 0.8 * 1200 < used[name] <= 1200
        assert len(read_records(run.path / "search" / f"{name}.db")) > 5


def test_the_run_folder_is_complete_and_reads_back(run: RunFolder) -> None:
    assert settings_of_run(run) == small_settings(run.path, "td3", *LEARNER_FLAGS)
    provenance = json.loads((run.path / "provenance.json").read_text())
    assert provenance["status"] == "finished"
    assert len(provenance["checksums"]) > 10
    for name in ("leaderboard.json", "leaderboard.md", "leaderboard.png", "log.txt"):
        assert (run.path / name).stat().st_size > 0
    assert not list(run.path.rglob("*.pkl"))
    metrics = pd.read_csv(run.path / "metrics.csv")
    for name in (
        "scorer/monitor",
        "td3/train/critic_loss",
        "td3/session/reward",
        "td3/session/depth",
        "td3/weights/hate",
        "td3/rate/click",
        "random_search/search/reward",
    ):
        values = metrics[metrics.name == name].value
        assert len(values)
        assert np.isfinite(values).all()
    explained = glossary_names((ROOT / "docs" / "glossary.md").read_text(), "## Metrics")
    for name in metrics.name.unique():
        policy, _, rest = name.partition("/")
        assert matches_any(rest if policy in POLICIES else name, explained), name
    events = EventAccumulator(str(run.path))
    events.Reload()
    assert set(metrics.name) <= set(events.Tags()["scalars"])
    assert "leaderboard" in events.Tags()["images"]


def test_evaluate_repeats_the_leaderboard_and_never_overwrites_it(
    finished: RunFolder, tmp_path: Path
) -> None:
    run = copy_of(finished, tmp_path / "run")
    before = (run.path / "leaderboard.csv").read_bytes()
    for name in ("repeated", "repeated-2"):
        repeated = evaluate_run(run.path, sessions=None, seed=None, terminal=Terminal())
        assert repeated == run.path / "evaluations" / name
        assert (repeated / "leaderboard.csv").read_bytes() == before
    other = evaluate_run(run.path, sessions=20, seed=9, terminal=Terminal())
    assert other == run.path / "evaluations" / "sessions-20-seed-9"
    assert (other / "leaderboard.csv").read_bytes() != before
    assert (run.path / "leaderboard.csv").read_bytes() == before


def test_production_is_evaluated_and_is_the_reference(run: RunFolder) -> None:
    assembly, settings = Assembly.load(run.data, run.simulator), settings_of_run(run)
    config = replace(settings.run, sessions=20, tuning_sessions=10)
    dynamics = assembly.dynamics(config.session, UserGroup.FINAL, SIMULATOR)
    weights = read_production("0.4,0.8,1,1,0.6,0.6,-1,0.9", dynamics.formula.tasks)
    policy = production_policy(weights, dynamics.formula, dynamics.action_map)
    saved = load_entries(run.policies)
    entries = {name: saved[name] for name in ("td3", "uniform")} | {PRODUCTION: Entry(policy, 0)}
    evaluation = evaluate_policies(assembly, config, entries, Terminal())
    assert evaluation.reference == PRODUCTION
    own = evaluation.row(PRODUCTION, GROUND_TRUTH)
    assert own.differences.reward.mean == own.changes.reward.mean == 0.0
    np.testing.assert_allclose(own.weights, weights, atol=1e-6)
    page = page_of(evaluation, "td3")
    assert "production weights" in page.split("\n\n")[1]
    assert "| over production |" in page
    assert "20 sessions of" in page
    assert "too small to compare policies" in page


def test_scorer_and_user_model_share_no_row(run: RunFolder) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    assert len(assembly.scores.scorer_keys)
    assert len(assembly.simulator.row_keys)
    dataset = read_kuairand(run.data / "logs")
    half = scorer_half(dataset.impressions, seed=0)
    keys = dataset.impressions.keys
    assert np.isin(assembly.scores.scorer_keys, keys[half]).all()
    # The features count feedback of more rows than the scorer is fitted on; all have keys.
    train = split_by_time(dataset.impressions, SYNTHETIC_PLAN).train
    counted = keys[train & half & ~dataset.impressions.randomised]
    assert np.isin(counted, assembly.scores.scorer_keys).all()
    assert np.isin(assembly.simulator.row_keys, keys[~half]).all()


def test_an_assembly_with_a_shared_row_is_refused(run: RunFolder) -> None:
    assembly = Assembly.load(run.data, run.simulator)
    planted = np.append(assembly.simulator.row_keys, assembly.scores.scorer_keys[0])
    with pytest.raises(LeakageError, match=re.escape("fitted on 1 of the same rows")):
        replace(assembly, simulator=replace(assembly.simulator, row_keys=planted))


def test_a_run_can_be_made_into_an_environment(run: RunFolder) -> None:
    path = str(run.path)
    observations = {}
    for evaluator in ("simulator", "ground_truth"):
        env = gymnasium.make("mtf_rl/FusionSession-v0", run=path, evaluator=evaluator)
        observations[evaluator], _ = env.reset(seed=0)
        policy = load_policy(run.policies / "td3")
        action, _ = policy.predict(observations[evaluator][None])
        _, reward, _, _, info = env.step(action[0])
        assert np.isfinite(float(reward))
        assert 0 <= info["user"] < USERS
    # Users and candidates are drawn alike under both evaluators; their hours of the day are not.
    unwrapped: Any = env.unwrapped
    hours = [
        unwrapped.dynamics.layout.names.index(f"session/hour_{part}") for part in ("sine", "cosine")
    ]
    first, second = (np.delete(observation, hours) for observation in observations.values())
    np.testing.assert_array_equal(first, second)


def test_a_log_too_small_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    settings = small_settings(tmp_path / "few", "td3", *LEARNER_FLAGS)
    for world, message in (
        (
            WorldConfig(users=40, videos=200, days=2),
            "pool must be at most the 200 videos of the log",
        ),
        (WorldConfig(users=3, videos=320, days=2), "none of the log's 3 users is in the group"),
    ):
        log = replace(settings.run.log, world=world)
        run = replace(settings.run, log=log, run_dir=tmp_path / str(world.users))
        with pytest.raises(ConfigError, match=re.escape(message)):
            train(replace(settings, run=run), Terminal())
        assert not (tmp_path / str(world.users) / "scorer").exists()


def test_a_folder_in_use_is_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=re.escape("is in use")):
        train(small_settings(run.path, "td3", *LEARNER_FLAGS), Terminal())
    with pytest.raises(RunFolderError, match=re.escape("is not a run folder")):
        open_run_folder(tmp_path)
