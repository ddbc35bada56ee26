"""Policies told from a log: what is refused, estimated, recommended and written."""

import json
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mtf_rl import evaluate as command
from mtf_rl.agents import (
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    TablePolicy,
    TruncatedGaussian,
    UniformRandom,
    collect,
    save_policy,
)
from mtf_rl.core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    RunFolderError,
    UnknownNameError,
)
from mtf_rl.core.protocols import SIMULATOR
from mtf_rl.data import BatchDataset, UserGroup
from mtf_rl.envs import SessionDynamics
from mtf_rl.evaluation import Interval, roll_out
from mtf_rl.evaluation.fitted_q import FQEConfig
from mtf_rl.evaluation.off_policy import ModelConfig
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation import (
    Finding,
    OfflineConfig,
    OfflineEvaluation,
    evaluate,
    recommendation_of,
    report,
)
from mtf_rl.experiments.offline_evaluation.candidates import load_candidates, refuse_another_log
from mtf_rl.experiments.run_folder import RunFolder

ESTIMATING = "mtf_rl.experiments.offline_evaluation.estimating"
UNIFORM = np.array([1, 1, 1, 1, 1, 1, -1, 1], dtype=np.float32)
WATCH = np.array([-1, -1, -1, -1, -1, -1, 1, 1], dtype=np.float32)


@pytest.fixture(scope="module", name="run")
def finished_run(finished: RunFolder) -> RunFolder:
    return finished


@pytest.fixture(scope="module", name="dynamics")
def sessions_of(run: RunFolder) -> SessionDynamics:
    assembly = Assembly.load(run.data, run.simulator)
    return assembly.dynamics(settings_of_run(run).run.session, UserGroup.LEARN, SIMULATOR)


@pytest.fixture(scope="module", name="folder")
def log_and_policies(
    run: RunFolder, dynamics: SessionDynamics, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """log.parquet of random weights, and two static policies."""
    folder = tmp_path_factory.mktemp("offline")
    collect(dynamics, UniformRandom(8), requests=6_000, seed=4).save(folder / "log.parquet")
    setting = FusionSetting.of(dynamics)
    for name, action in (("uniform", UNIFORM), ("watch", WATCH)):
        save_policy(folder / "policies" / name, FusionPolicy(ConstantPolicy(action), setting))
    return folder


def config_of(folder: Path, run: RunFolder | None = None) -> OfflineConfig:
    return OfflineConfig(
        policies=(folder / "policies" / "uniform", folder / "policies" / "watch"),
        data=folder / "log.parquet",
        simulator=None if run is None else run.path,
        resamples=200,
        sessions=1_500,
    )


@pytest.fixture(scope="module", name="evaluation")
def told(folder: Path, run: RunFolder) -> OfflineEvaluation:
    return evaluate(config_of(folder, run), Terminal())


def test_where_the_simulator_wrote_the_log_estimates_are_its_values(
    evaluation: OfflineEvaluation, dynamics: SessionDynamics
) -> None:
    for name, action in (("uniform", UNIFORM), ("watch", WATCH)):
        played = roll_out(dynamics, ConstantPolicy(action), seed=77, episodes=np.arange(3_000))
        true = float(played.reward.mean())
        for estimator in ("dm", "composite", "corrected", "scaled", "simulator"):
            value = evaluation.of(f"policies/{name}", estimator).value
            slack = 0.12 * true
            assert value.low - slack < true < value.high + slack, (name, estimator)
    # Correcting a simulator that has no error adds noise alone: both halves tell the same.
    for name in evaluation.policies:
        simulated = evaluation.of(name, "simulator").value
        corrected = evaluation.of(name, "corrected").value
        assert corrected.low < simulated.mean < corrected.high
        assert corrected.high - corrected.low > simulated.high - simulated.low


def test_what_the_log_says_of_the_simulators_error_is_added(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    """A log that earns one more a request than the simulator says: a session earns its length."""
    batch = BatchDataset.load(folder / "log.parquet")
    replace(batch, rewards=batch.rewards + 1.0).save(tmp_path / "better.parquet")
    config = replace(config_of(folder, run), data=tmp_path / "better.parquet")
    better = evaluate(config, Terminal())
    length = len(batch.rewards) / len(np.unique(batch.sessions))
    for name in evaluation.policies:
        moved = {
            estimator: better.of(name, estimator).value.mean
            - evaluation.of(name, estimator).value.mean
            for estimator in ("corrected", "dm", "simulator")
        }
        assert moved["simulator"] == 0.0
        assert moved["corrected"] == pytest.approx(moved["dm"])
        assert 0.7 * length < moved["corrected"] < 1.3 * length


def test_a_simulator_that_is_wrong_by_a_scale_is_scaled(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    """A log that earns half as much again at every request: so does every policy."""
    batch = BatchDataset.load(folder / "log.parquet")
    replace(batch, rewards=1.5 * batch.rewards).save(tmp_path / "scaled.parquet")
    config = replace(config_of(folder, run), data=tmp_path / "scaled.parquet")
    found = evaluate(config, Terminal())
    for name in found.policies:
        for estimator in ("scaled", "composite", "dm"):
            before = evaluation.of(name, estimator)
            after = found.of(name, estimator)
            for one, other in ((after.value, before.value), (after.gain, before.gain)):
                assert one.mean == pytest.approx(1.5 * other.mean, rel=1e-4)
                assert one.high == pytest.approx(1.5 * other.high, rel=1e-4)


def test_densities_are_left_alone_where_no_estimator_weighs_them(
    evaluation: OfflineEvaluation, folder: Path
) -> None:
    config = replace(config_of(folder), estimators=("dm", "sam_is"))
    assert not config.weighs_densities
    assert replace(config, estimators=("dm", "sm_is")).weighs_densities
    found = evaluate(config, Terminal())
    assert not found.bandwidths
    assert not found.distributions
    for name in found.policies:
        alone, beside = found.of(name, "dm").value, evaluation.of(name, "dm").value
        assert (alone.mean, alone.low) == pytest.approx((beside.mean, beside.low))


def test_gains_are_over_the_log_and_its_own_value_is_the_mean(
    evaluation: OfflineEvaluation, folder: Path
) -> None:
    batch = BatchDataset.load(folder / "log.parquet")
    mean = np.bincount(batch.sessions, weights=batch.rewards).mean()
    assert evaluation.logged.mean == pytest.approx(mean, rel=1e-5)
    assert evaluation.requests == len(batch.rewards)
    for found in evaluation.findings:
        if found.estimator == "simulator":
            continue  # over the log's actions as they fare in the simulator
        assert found.gain.mean == pytest.approx(found.value.mean - mean, rel=1e-4, abs=1e-4)
        assert found.value.low <= found.value.mean <= found.value.high


def test_policies_that_were_played_before_are_not_played_again(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder
) -> None:
    known = Interval(7.0, 6.0, 8.0)
    again = evaluate(config_of(folder, run), Terminal(), played={"policies/watch": known})
    assert again.of("policies/watch", "simulator").value == known
    with pytest.raises(ConfigError, match="played must name policies that are evaluated, got x;"):
        evaluate(config_of(folder, run), Terminal(), played={"x": known})
    moved = known.mean - evaluation.of("policies/watch", "simulator").value.mean
    assert again.of("policies/watch", "corrected").value.mean == pytest.approx(
        evaluation.of("policies/watch", "corrected").value.mean + moved
    )
    for estimator in ("simulator", "corrected"):
        same = evaluation.of("policies/uniform", estimator)
        assert again.of("policies/uniform", estimator).value == same.value


def test_a_log_of_weights_that_act_on_what_is_observed(
    dynamics: SessionDynamics, folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    """As of `collect --base lspi`; the replay repeats actions that the simulator's users see."""
    acting = TablePolicy(
        obs_dim=dynamics.layout.size,
        column=0,
        edges=np.zeros(1),
        actions=np.stack([0.6 * UNIFORM, 0.6 * WATCH]),
    )
    log = collect(dynamics, TruncatedGaussian(acting, 0.5), requests=6_000, seed=8)
    crossed = log.observations[:, 0] > 0.0
    assert 0.05 < crossed.mean() < 0.95  # both actions are played
    log.save(tmp_path / "acting.parquet")
    config = replace(config_of(folder, run), data=tmp_path / "acting.parquet", interval="t")
    found = evaluate(config, Terminal())
    for name in found.policies:
        simulated, corrected = (
            found.of(name, one).value.mean for one in ("simulator", "corrected")
        )
        assert corrected == pytest.approx(simulated, rel=0.25)  # the simulator has no error here


def test_networks_answer_beside_the_linear_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few updates on a small log."""
    few = partial(FQEConfig, updates=1_500, tau=0.1)
    monkeypatch.setattr(f"{ESTIMATING}.FQEConfig", few)
    monkeypatch.setattr(f"{ESTIMATING}.CONSERVATIVE_OPESTIMATOR", few(alpha=5e-4))
    config = replace(config_of(folder), estimators=("fqe", "cope", "dm"), interval="t")
    found = evaluate(config, Terminal())
    batch = BatchDataset.load(folder / "log.parquet")
    largest = np.bincount(batch.sessions, weights=batch.rewards).max()
    for name in found.policies:
        linear = found.of(name, "dm")
        for network in ("fqe", "cope"):
            told = found.of(name, network)
            assert told.leverage == linear.leverage
            assert told.supported == (0.0 <= told.value.mean <= largest), (name, network, told)
    uniform = found.of("policies/uniform", "fqe")
    assert uniform.supported
    assert 20.0 < uniform.value.mean < 120.0  # dm says 39: of its order


@pytest.mark.parametrize(
    ("worth", "verdict"),
    [
        (1e5, "not supported: the value lies outside what any logged session earned"),
        (-1.0, "not supported: the value lies outside what any logged session earned"),
        (20.0, "not supported: Q grew beyond what rewards add up to"),
        (20.0, "supported"),
    ],
)
def test_what_a_network_may_not_say(
    worth: float, verdict: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = SimpleNamespace(
        q=lambda observations, actions: np.full(len(observations), worth),
        state_values=lambda observations, policy: np.full(len(observations), worth),
        diagnostics=SimpleNamespace(diverged="grew" in verdict),
    )
    monkeypatch.setattr(f"{ESTIMATING}.fit_q", lambda transitions, policy, settings: fitted)
    config = replace(config_of(folder), estimators=("fqe",), interval="t")
    found = evaluate(replace(config, policies=config.policies[:1]), Terminal())
    told = found.of("policies/uniform", "fqe")
    assert told.value.mean == pytest.approx(worth)
    assert told.verdict.startswith(verdict)
    assert told.supported == (verdict == "supported")


def test_what_is_written(evaluation: OfflineEvaluation, tmp_path: Path) -> None:
    there = replace(evaluation, config=replace(evaluation.config, out=tmp_path / "out"))
    folder = report(there, Terminal())
    table = pd.read_csv(folder / "evaluation.csv")
    assert len(table) == 2 * len(evaluation.config.asked)
    assert set(table.policy) == {"policies/uniform", "policies/watch"}
    assert table.value.to_list() == pytest.approx(
        [found.value.mean for found in evaluation.findings]
    )
    written = json.loads((folder / "recommendation.json").read_text())
    assert written["reason"] == recommendation_of(evaluation).reason
    assert written["estimator"] == "composite"
    page = (folder / "evaluation.md").read_text()
    assert written["reason"] in page
    assert (folder / "estimates.png").stat().st_size > 10_000
    assert list((folder / "tensorboard").glob("events.*"))


def test_the_command_prints_table_and_recommendation(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--data", folder / "log.parquet", folder / "policies" / "watch"]
    words += ["--estimators", "dm", "--out", tmp_path / "out", "--interval", "t"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    command.main()
    printed = capsys.readouterr().out
    assert "policies/watch" in printed
    assert "Recommended: " in printed
    assert (tmp_path / "out" / "evaluation.csv").exists()


def finding(policy: str, gain: Interval, verdict: str = "supported: leverage 1.0") -> Finding:
    value = Interval(gain.mean + 10.0, gain.low + 10.0, gain.high + 10.0)
    return Finding(policy, "dm", value, gain, verdict)


def made_up(folder: Path, *findings: Finding) -> OfflineEvaluation:
    config = replace(config_of(folder), estimators=("dm",))
    return OfflineEvaluation(config, Interval(10, 9, 11), 50, 700, "x", findings, {}, {})


def test_recommended_is_the_best_that_surely_gains(folder: Path) -> None:
    sure, weak = Interval(3.0, 2.0, 4.0), Interval(2.0, 0.1, 3.9)
    found = recommendation_of(made_up(folder, finding("a", sure), finding("b", weak)))
    assert found.policy == "a"
    # Widened for the best of two: 1 * 2.2414 / 1.9600 = 1.1436 below.
    assert "+3.00 [+1.86, +4.14]" in found.reason
    found = recommendation_of(made_up(folder, finding("a", weak), finding("b", weak)))
    assert found.policy is None
    assert "not surely better than the log's own" in found.reason
    alone = recommendation_of(made_up(folder, finding("b", weak)))
    assert alone.policy == "b"  # one policy alone is not the best of several


def test_what_is_not_supported_is_not_recommended(folder: Path) -> None:
    far = "not supported by this data: a model's guess, leverage 31.0"
    high, sure = Interval(9.0, 8.0, 10.0), Interval(3.0, 2.0, 4.0)
    found = recommendation_of(made_up(folder, finding("a", high, far), finding("b", sure)))
    assert found.policy == "b"
    assert "a is estimated higher, but not supported by this data" in found.reason
    none = recommendation_of(made_up(folder, finding("a", high, far)))
    assert none.policy is None
    assert "leverage 31.0" in none.reason


def test_without_an_estimator_that_may_recommend_nothing_is(folder: Path) -> None:
    found = made_up(folder, finding("a", Interval(3.0, 2.0, 4.0)))
    config = replace(found.config, estimators=("request_sn",))
    recommendation = recommendation_of(replace(found, config=config))
    assert recommendation.policy is None
    assert "ask for one of composite, corrected, dm" in recommendation.reason


def test_results_are_not_written_among_other_files(
    evaluation: OfflineEvaluation, tmp_path: Path
) -> None:
    (tmp_path / "leaderboard.csv").write_text("somebody's")
    there = replace(evaluation, config=replace(evaluation.config, out=tmp_path))
    with pytest.raises(RunFolderError, match="holds other files; choose another --out"):
        report(there, Terminal())


def test_policies_of_another_log_are_refused(folder: Path) -> None:
    batch = BatchDataset.load(folder / "log.parquet")
    policy = load_candidates([folder / "policies" / "watch"])["policies/watch"]
    setting = dict(batch.setting or {})
    tasks = setting["tasks"]
    swapped = replace(batch, setting={**setting, "tasks": [tasks[1], tasks[0], *tasks[2:]]})
    with pytest.raises(ConfigError, match=re.escape("policy w acts with tasks ['click', 'long_")):
        refuse_another_log("w", policy, swapped)
    other = replace(batch, setting={**setting, "formula": "weighted_sum"})
    with pytest.raises(ConfigError, match=r"acts with formula 'log_sum', the log's.*'weighted_"):
        refuse_another_log("w", policy, other)
    rates = [2.0 * rate for rate in setting["base_rates"]]
    moved = replace(batch, setting={**setting, "base_rates": rates})
    with pytest.raises(ConfigError, match=r"policy w fuses with a base rate of .* for "):
        refuse_another_log("w", policy, moved)
    refuse_another_log("w", policy, replace(batch, setting=None))


def test_logs_and_settings_that_cannot_be_used_are_refused(folder: Path, tmp_path: Path) -> None:
    batch = BatchDataset.load(folder / "log.parquet")
    unknown = np.full_like(batch.log_densities, np.nan)
    replace(batch, log_densities=unknown).save(tmp_path / "unknown.parquet")
    config = config_of(folder)
    with pytest.raises(DataError, match="log_densities must be known"):
        evaluate(replace(config, data=tmp_path / "unknown.parquet"), Terminal())
    with pytest.raises(ArtifactError, match=re.escape("holds no policy: expected policy.json")):
        load_candidates([tmp_path])
    with pytest.raises(ConfigError, match="'corrected' plays policies in a simulator"):
        replace(config, estimators=("corrected",))
    with pytest.raises(UnknownNameError, match="Did you mean 'sn_pdis'"):
        replace(config, estimators=("sn_pdi",))
    with pytest.raises(ConfigError, match=re.escape("model.gamma must be 1, since")):
        replace(config, model=ModelConfig(gamma=0.9))
    with pytest.raises(ConfigError, match="at least one policy"):
        replace(config, policies=())
    with pytest.raises(ConfigError, match=re.escape("bandwidth must be in (0, 2], got 3")):
        replace(config, bandwidth=3.0)
