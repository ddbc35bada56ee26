"""Off-policy evaluation of policies on a log: refusals, estimates, recommendation, files."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typing_extensions import override

from mtf_rl import ope as command
from mtf_rl.agents import (
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    TablePolicy,
    TruncatedGaussian,
    UniformRandom,
    collect,
    load_policy,
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
from mtf_rl.evaluation import roll_out
from mtf_rl.evaluation.fitted_q import FQEConfig
from mtf_rl.evaluation.off_policy import (
    Estimate,
    Estimator,
    ModelConfig,
    OPEInputs,
    RatioSum,
    Support,
    SupportCheck,
    Weighting,
    mean_estimate,
)
from mtf_rl.experiments.assembly import Assembly
from mtf_rl.experiments.command_line import settings_of_run
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation import (
    OFFLINE_ESTIMATORS,
    Finding,
    NetworkEstimator,
    OfflineConfig,
    OfflineEvaluation,
    Refusal,
    answer_of,
    evaluate,
    recommendation_of,
    report,
)
from mtf_rl.experiments.offline_evaluation.candidates import load_candidates, refuse_another_log
from mtf_rl.experiments.run_folder import RunFolder

ESTIMATING = "mtf_rl.experiments.offline_evaluation.estimating"
UNIFORM = np.array([1, 1, 1, 1, 1, 1, -1, 1], dtype=np.float32)
WATCH = np.array([-1, -1, -1, -1, -1, -1, 1, 1], dtype=np.float32)


def first_reward(inputs: OPEInputs) -> RatioSum:
    """Mean reward of first requests, whatever the policy is."""
    return RatioSum.mean(inputs.rewards[:, 0])


FIRST_REQUEST = Estimator(first_reward, Weighting.STATE_ACTION_RATIOS)
THIRD_NETWORK = NetworkEstimator(FQEConfig(updates=7, hidden=(3,)))


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
    """A folder with log.parquet of random weights, and two static policies."""
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
def default_evaluation(folder: Path, run: RunFolder) -> OfflineEvaluation:
    return evaluate(config_of(folder, run), Terminal())


def test_estimates_on_a_simulated_log_are_the_simulators_values(
    evaluation: OfflineEvaluation, dynamics: SessionDynamics
) -> None:
    for name, action in (("uniform", UNIFORM), ("watch", WATCH)):
        played = roll_out(dynamics, ConstantPolicy(action), seed=77, episodes=np.arange(3_000))
        true = float(played.reward.mean())
        for estimator in ("dm", "composite", "corrected", "scaled", "simulator"):
            value = evaluation.of(f"policies/{name}", estimator).value.interval()
            slack = 0.12 * true
            assert value.low - slack < true < value.high + slack, (name, estimator)
    # Correcting a simulator without errors only adds noise.
    for name in evaluation.policies:
        simulated = evaluation.of(name, "simulator").value.interval()
        corrected = evaluation.of(name, "corrected").value.interval()
        assert corrected.low < simulated.mean < corrected.high
        assert corrected.high - corrected.low > simulated.high - simulated.low


def test_the_corrected_estimate_adds_the_simulators_error(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    """With one more reward per request in the log, session reward grows by the session length."""
    batch = BatchDataset.load(folder / "log.parquet")
    replace(batch, rewards=batch.rewards + 1.0).save(tmp_path / "better.parquet")
    config = replace(config_of(folder, run), data=tmp_path / "better.parquet")
    better = evaluate(config, Terminal())
    length = len(batch.rewards) / len(np.unique(batch.sessions))
    for name in evaluation.policies:
        moved = {
            estimator: better.of(name, estimator).value.value
            - evaluation.of(name, estimator).value.value
            for estimator in ("corrected", "dm", "simulator")
        }
        assert moved["simulator"] == 0.0
        assert moved["corrected"] == pytest.approx(moved["dm"])
        assert 0.7 * length < moved["corrected"] < 1.3 * length


def test_the_scaled_estimate_corrects_a_scale_error(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    """With 1.5 times the reward in the log, every estimate grows by 1.5."""
    batch = BatchDataset.load(folder / "log.parquet")
    replace(batch, rewards=1.5 * batch.rewards).save(tmp_path / "scaled.parquet")
    config = replace(config_of(folder, run), data=tmp_path / "scaled.parquet")
    found = evaluate(config, Terminal())
    for name in found.policies:
        for estimator in ("scaled", "composite", "dm"):
            before = evaluation.of(name, estimator)
            after = found.of(name, estimator)
            for new, old in ((after.value, before.value), (after.gain, before.gain)):
                assert new.value == pytest.approx(1.5 * old.value, rel=1e-4)
                high, expected = new.interval().high, 1.5 * old.interval().high
                assert high == pytest.approx(expected, rel=1e-4)


def test_densities_are_not_computed_without_estimators_that_use_them(
    evaluation: OfflineEvaluation, folder: Path
) -> None:
    config = replace(config_of(folder), estimators=("dm", "sam_is"))
    found = evaluate(config, Terminal())
    assert not found.bandwidths
    assert not found.distributions
    for name in found.policies:
        alone, beside = (one.of(name, "dm").value for one in (found, evaluation))
        assert alone.value == pytest.approx(beside.value)
        assert alone.interval().low == pytest.approx(beside.interval().low)
    assert evaluate(replace(config, estimators=("request_sn",)), Terminal()).bandwidths


def test_gains_are_over_the_log_and_its_own_value_is_the_mean(
    evaluation: OfflineEvaluation, folder: Path
) -> None:
    batch = BatchDataset.load(folder / "log.parquet")
    mean = np.bincount(batch.sessions, weights=batch.rewards).mean()
    assert evaluation.logged.value == pytest.approx(mean, rel=1e-5)
    assert evaluation.requests == len(batch.rewards)
    for found in evaluation.findings:
        if found.estimator == "simulator":
            continue  # its gain is over the log's actions in the simulator
        assert found.gain.value == pytest.approx(found.value.value - mean, rel=1e-4, abs=1e-4)
        interval = found.value.interval()
        assert interval.low <= found.value.value <= interval.high


def test_gains_over_the_reference_are_paired(evaluation: OfflineEvaluation) -> None:
    """The reference is the policy with uniform weights, which is among the candidates."""
    assert evaluation.reference == "policies/uniform"
    assert evaluation.reference_label == "uniform weights"
    assert evaluation.candidates == ("policies/uniform", "policies/watch")
    for estimator in evaluation.config.asked:
        base, other = (evaluation.of(name, estimator) for name in evaluation.candidates)
        assert (base.over_reference.value, base.over_reference.stderr) == (0.0, 0.0)
        difference = other.value.value - base.value.value
        assert other.over_reference.value == pytest.approx(difference, abs=1e-6)
        apart = np.hypot(other.value.stderr, base.value.stderr)
        assert 0.0 < other.over_reference.stderr < 1.5 * apart
        if estimator in ("simulator", "scaled"):  # common random numbers
            assert other.over_reference.stderr < apart
    linear = evaluate(replace(evaluation.config, interval="t"), Terminal())
    for estimator in ("dm", "drl"):
        resampled = evaluation.of("policies/watch", estimator).over_reference
        found = linear.of("policies/watch", estimator).over_reference
        assert found.value == pytest.approx(resampled.value)
        assert found.stderr == pytest.approx(resampled.stderr, rel=0.2)


def test_uniform_weights_are_added_as_reference(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder
) -> None:
    config = replace(config_of(folder, run), policies=(folder / "policies" / "watch",))
    found = evaluate(replace(config, estimators=("composite", "scaled", "dm")), Terminal())
    assert (found.candidates, found.reference) == (("policies/watch",), "uniform")
    assert {one.policy for one in found.findings} == {"policies/watch", "uniform"}
    for estimator in ("scaled", "dm"):
        same = evaluation.of("policies/watch", estimator).over_reference
        assert found.of("policies/watch", estimator).over_reference.value == pytest.approx(
            same.value
        )
    # With a single candidate, composite gives the log's correction full weight.
    assert found.of("policies/watch", "composite").log_fraction == 1.0
    assert recommendation_of(found).compared == 1


class CountingPolicy(ConstantPolicy):
    """A policy that counts the rows of its predictions."""

    asked = 0

    @override
    def predict(self, observation: Any, *args: Any, **keywords: Any) -> Any:
        type(self).asked += len(observation)
        return super().predict(observation, *args, **keywords)


def test_a_policy_predicts_each_row_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = load_policy(folder / "policies" / "watch").setting
    policy = FusionPolicy(CountingPolicy(WATCH), setting)
    monkeypatch.setattr(f"{ESTIMATING}.load_candidates", lambda paths: {"counted": policy})
    evaluate(config_of(folder), Terminal())
    assert CountingPolicy.asked == len(BatchDataset.load(folder / "log.parquet").rewards)


def test_a_users_own_estimator_is_named_by_module_and_name(folder: Path) -> None:
    config = replace(config_of(folder), estimators=("dm", f"{__name__}:FIRST_REQUEST"))
    found = evaluate(config, Terminal())
    batch = BatchDataset.load(folder / "log.parquet")
    for name in found.candidates:
        own = found.of(name, f"{__name__}:FIRST_REQUEST")
        assert own.value.value == pytest.approx(batch.rewards[batch.requests == 0].mean())
        assert own.check.support is Support.SUPPORTED
    for wrong in ("WATCH", "NOTHING"):
        with pytest.raises(ConfigError, match=wrong):
            evaluate(replace(config, estimators=(f"{__name__}:{wrong}",)), Terminal())


def test_policies_with_known_rewards_are_not_rolled_out(
    evaluation: OfflineEvaluation, folder: Path, run: RunFolder
) -> None:
    known = np.linspace(6.0, 8.0, config_of(folder, run).sessions)
    again = evaluate(config_of(folder, run), Terminal(), played={"policies/watch": known})
    assert again.of("policies/watch", "simulator").value == mean_estimate(known)
    with pytest.raises(ConfigError, match="played must name evaluated policies, got x;"):
        evaluate(config_of(folder, run), Terminal(), played={"x": known})
    moved = known.mean() - evaluation.of("policies/watch", "simulator").value.value
    assert again.of("policies/watch", "corrected").value.value == pytest.approx(
        evaluation.of("policies/watch", "corrected").value.value + moved
    )
    for estimator in ("simulator", "corrected"):
        same = evaluation.of("policies/uniform", estimator)
        assert again.of("policies/uniform", estimator).value == same.value


def test_estimates_on_a_log_of_a_policy_that_depends_on_the_observation(
    dynamics: SessionDynamics, folder: Path, run: RunFolder, tmp_path: Path
) -> None:
    """A log as of `collect --base lspi`."""
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
        simulated, corrected = (found.of(name, one).value for one in ("simulator", "corrected"))
        # The simulator has no error here, so the correction is only noise.
        assert abs(corrected.value - simulated.value) < 2.5 * corrected.stderr
        assert corrected.stderr < 0.5 * simulated.value


def test_network_values_outside_the_range_are_not_supported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit without discount can diverge on a small log."""
    for name, alpha in (("fqe", 0.0), ("cope", 5e-4)):
        few = NetworkEstimator(FQEConfig(updates=1_500, tau=0.1, alpha=alpha))
        monkeypatch.setitem(OFFLINE_ESTIMATORS._entries, name, few)
    config = replace(config_of(folder), estimators=("fqe", "cope", "dm"), interval="t")
    found = evaluate(config, Terminal())
    batch = BatchDataset.load(folder / "log.parquet")
    largest = np.bincount(batch.sessions, weights=batch.rewards).max()
    for name in found.policies:
        linear = found.of(name, "dm")
        for network in ("fqe", "cope"):
            finding = found.of(name, network)
            assert finding.leverage == linear.leverage
            within = 0.0 <= finding.value.value <= largest
            assert within != finding.check.support.is_refusal, (name, network, finding)
        values = [found.of(name, one).value.value for one in ("fqe", "cope")]
        assert values[0] != values[1]


def test_a_network_estimator_is_fitted_with_its_own_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own network estimator does not get the settings of a built-in one."""
    seen = []

    def fit(transitions: Any, policy: Any, settings: FQEConfig) -> SimpleNamespace:
        seen.append(settings)
        return SimpleNamespace(
            q=lambda observations, actions: np.full(len(observations), float(settings.updates)),
            diagnostics=SimpleNamespace(diverged=False),
        )

    monkeypatch.setattr(f"{ESTIMATING}.fit_q", fit)
    third = f"{__name__}:THIRD_NETWORK"
    config = replace(config_of(folder), estimators=("fqe", third, "cope"), interval="t", seed=5)
    found = evaluate(replace(config, policies=config.policies[:1]), Terminal())
    assert [one.updates for one in seen] == [5000, 7, 5000]
    assert [one.alpha for one in seen] == [0.0, 0.0, 5e-4]
    assert {(one.gamma, one.seed) for one in seen} == {(1.0, 5)}
    assert found.of("policies/uniform", third).value.value == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("worth", "diverged", "support"),
    [
        (1e5, False, Support.NOT_SUPPORTED),
        (-1.0, False, Support.NOT_SUPPORTED),
        (20.0, True, Support.NOT_SUPPORTED),
        (20.0, False, Support.SUPPORTED),
    ],
)
def test_a_network_value_is_supported_only_within_the_range_of_rewards(
    worth: float,
    diverged: bool,  # noqa: FBT001
    support: Support,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = SimpleNamespace(
        q=lambda observations, actions: np.full(len(observations), worth),
        diagnostics=SimpleNamespace(diverged=diverged),
    )
    monkeypatch.setattr(f"{ESTIMATING}.fit_q", lambda transitions, policy, settings: fitted)
    config = replace(config_of(folder), estimators=("fqe",), interval="t")
    found = evaluate(replace(config, policies=config.policies[:1]), Terminal())
    estimated = found.of("policies/uniform", "fqe")
    assert estimated.value.value == pytest.approx(worth)
    assert estimated.check.support is support


def test_files_hold_the_findings(evaluation: OfflineEvaluation, tmp_path: Path) -> None:
    there = replace(evaluation, config=replace(evaluation.config, out=tmp_path / "out"))
    folder = report(there, Terminal())
    table = pd.read_csv(folder / "evaluation.csv")
    assert len(table) == 2 * len(evaluation.config.asked)
    assert set(table.policy) == {"policies/uniform", "policies/watch"}
    text = {"policy", "estimator", "support", "reason"}
    assert all(pd.api.types.is_numeric_dtype(table[name]) for name in set(table) - text)
    assert set(table.support) <= {one.name.lower() for one in Support}
    for column, estimates in (
        ("value", [found.value for found in evaluation.findings]),
        ("gain", [found.gain for found in evaluation.findings]),
        ("over_reference", [found.over_reference for found in evaluation.findings]),
    ):
        assert table[column].to_list() == pytest.approx([one.value for one in estimates])
        errors = [one.stderr for one in estimates]
        assert table[f"{column}_stderr"].to_list() == pytest.approx(errors)
        lows = [one.interval().low for one in estimates]
        assert table[f"{column}_low"].to_list() == pytest.approx(lows)
    recommendation = recommendation_of(evaluation)
    written = json.loads((folder / "recommendation.json").read_text())
    assert written["reason"] == answer_of(evaluation, recommendation)
    assert written["policy"] == recommendation.policy
    assert written["estimator"] == "composite"
    page = (folder / "evaluation.md").read_text()
    assert written["reason"] in page
    assert "request_sn" in page  # the page holds all estimators
    assert (folder / "estimates.png").stat().st_size > 10_000
    assert list((folder / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("flags", [[], ["--all"]])
def test_the_command_prints_the_answer_first_and_tables_that_fit(
    flags: list[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [folder / "log.parquet", folder / "policies" / "watch", *flags]
    words += ["--estimators", "dm", "request_sn", "--out", tmp_path / "out", "--interval", "t"]
    monkeypatch.setattr(sys, "argv", ["ope", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "80")
    command.main()
    printed = capsys.readouterr().out
    first = printed.splitlines()[0]
    assert first.startswith(("Recommended: policies/watch", "No policy is recommended: "))
    assert "over uniform weights" in printed
    assert ("request_sn" in printed) == bool(flags)
    rows = [line for line in printed.splitlines() if line.startswith(("policies/", "policy "))]
    assert len(rows) == (4 if flags else 2)
    assert max(len(line) for line in printed.split("Written")[0].splitlines()) <= 80
    assert "…" not in printed
    assert re.search(r"(?<!\d)\.\d", printed.split("Written")[0]) is None  # no leading-dot decimals
    assert (tmp_path / "out" / "evaluation.csv").exists()


FAR = SupportCheck(Support.NOT_SUPPORTED, "the model extrapolates, leverage 31.0")
NEAR = SupportCheck(Support.SUPPORTED, "leverage 1.0")
HALF = float(stats.norm.ppf(0.975))


def finding(
    policy: str, gain: float, half: float, check: SupportCheck = NEAR, *, over: float | None = None
) -> Finding:
    """A synthetic finding with these half-widths of 95 % intervals."""
    return Finding(
        policy,
        "dm",
        Estimate(gain + 10.0, half / HALF),
        Estimate(gain, half / HALF),
        Estimate(gain if over is None else over, half / HALF),
        check,
    )


def made_up(
    folder: Path, *findings: Finding, reference: str = "uniform", added: bool = True
) -> OfflineEvaluation:
    config = replace(config_of(folder), estimators=("dm",))
    names = tuple(one.policy for one in findings)
    rows = (*findings, finding(reference, 0.5, 1.0, over=0.0)) if added else findings
    return OfflineEvaluation(
        config, Estimate(10.0, 0.5), 50, 700, "x", names, reference, rows, {}, {}
    )


def test_the_best_policy_with_a_significant_gain_is_recommended(folder: Path) -> None:
    evaluation = made_up(folder, finding("a", 3.0, 1.0, over=2.5), finding("b", 2.0, 1.9))
    found = recommendation_of(evaluation)
    assert (found.policy, found.refusal, found.compared) == ("a", None, 2)
    # Widened for the best of two: 1 * 2.2414 / 1.9600 = 1.1436 below.
    answer = answer_of(evaluation, found)
    assert answer.startswith(
        "Recommended: a, which gains +2.5 [1.4, 3.6] reward per session over uniform weights and"
        " +3.0 [1.9, 4.1] over the log's own policies (95 % CI, widened for the best of 2)"
    )
    assert "supported: leverage 1.0" in answer
    unsure = made_up(folder, finding("a", 2.0, 1.9), finding("b", 2.0, 1.9))
    found = recommendation_of(unsure)
    assert (found.policy, found.refusal) == (None, Refusal.NOT_BETTER_THAN_LOG)
    assert answer_of(unsure, found).startswith(
        "No policy is recommended: the gain over the log's own policies is not significant. The"
        " best supported policy, a, gains +2.0"
    )
    alone = recommendation_of(made_up(folder, finding("b", 2.0, 1.9)))
    assert alone.policy == "b"  # the interval of a single policy is not widened


def test_the_reference_is_not_recommended(folder: Path) -> None:
    high = finding("uniform", 9.0, 1.0, over=0.0)
    evaluation = made_up(folder, finding("a", 3.0, 1.0), added=False)
    evaluation = replace(evaluation, findings=(*evaluation.findings, high))
    assert recommendation_of(evaluation).policy == "a"
    best = made_up(folder, finding("uniform", 3.0, 1.0, over=0.0), added=False)
    assert answer_of(best, recommendation_of(best)).startswith(
        "Recommended: uniform, which has uniform weights and gains +3.0 [2.0, 4.0] over the log's"
    )


def test_a_recommended_policy_is_better_than_production(folder: Path) -> None:
    for over, refusal in ((2.0, None), (0.5, Refusal.NOT_BETTER_THAN_PRODUCTION)):
        evaluation = made_up(folder, finding("a", 3.0, 1.0, over=over), reference="production")
        found = recommendation_of(evaluation)
        assert found.refusal is refusal
        answer = answer_of(evaluation, found)
        assert f"gains +{over} [{over - 1.0}, {over + 1.0}] reward per session over prod" in answer
        assert ("the gain over production is not significant" in answer) == (refusal is not None)


def test_policies_without_support_are_not_recommended(folder: Path) -> None:
    evaluation = made_up(folder, finding("a", 9.0, 1.0, FAR), finding("b", 3.0, 1.0))
    found = recommendation_of(evaluation)
    assert found.policy == "b"
    assert "a has a larger estimate, but it is not supported: the model extrapolates" in answer_of(
        evaluation, found
    )
    none = made_up(folder, finding("a", 9.0, 1.0, FAR))
    found = recommendation_of(none)
    assert (found.policy, found.refusal) == (None, Refusal.NOT_SUPPORTED)
    assert "leverage 31.0" in answer_of(none, found)


def test_the_text_of_a_reason_does_not_affect_the_recommendation(folder: Path) -> None:
    words = SupportCheck(Support.SUPPORTED, "not supported: 'not supported' is only a word here")
    assert recommendation_of(made_up(folder, finding("a", 3.0, 1.0, words))).policy == "a"
    words = SupportCheck(Support.NOT_SUPPORTED, "supported")
    assert recommendation_of(made_up(folder, finding("a", 3.0, 1.0, words))).policy is None


def test_other_estimators_recommend_no_policy(folder: Path) -> None:
    found = made_up(folder, finding("a", 3.0, 1.0))
    asked = replace(found, config=replace(found.config, estimators=("request_sn",)))
    recommendation = recommendation_of(asked)
    assert (recommendation.policy, recommendation.refusal) == (None, Refusal.NO_ESTIMATOR)
    assert "Request one of composite, corrected, dm" in answer_of(asked, recommendation)


def test_results_are_not_written_among_other_files(
    evaluation: OfflineEvaluation, tmp_path: Path
) -> None:
    (tmp_path / "leaderboard.csv").write_text("other results")
    there = replace(evaluation, config=replace(evaluation.config, out=tmp_path))
    with pytest.raises(RunFolderError, match="holds other files; choose another --out"):
        report(there, Terminal())


def test_production_is_a_row_of_every_table(folder: Path, run: RunFolder, tmp_path: Path) -> None:
    """Its weights are given in task order or by name, and gains are also over production."""
    weights = "1,1,1,1,1,1,0,0.5"
    names = ("click", "long_view", "like", "follow", "comment", "forward", "hate", "watch")
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(dict(zip(names, map(float, weights.split(",")), strict=True))))
    config = replace(
        config_of(folder, run),
        estimators=("composite", "dm"),
        production=weights,
        out=tmp_path / "out",
    )
    found = evaluate(config, Terminal())
    assert (found.reference, found.has_production) == ("production", True)
    assert "production" not in found.candidates
    again = evaluate(replace(config, production=str(file)), Terminal())
    for name in (*found.candidates, "production"):
        for estimator in config.asked:
            one = found.of(name, estimator)
            assert again.of(name, estimator).value == one.value
            difference = one.value.value - found.of("production", estimator).value.value
            assert one.over_reference.value == pytest.approx(difference, abs=1e-6)
    table = pd.read_csv(report(found, Terminal()) / "evaluation.csv")
    assert (table.policy == "production").sum() == 2
    assert "over production" in (tmp_path / "out" / "evaluation.md").read_text()
    with pytest.raises(ConfigError, match="--production must have one weight for each of the 8"):
        evaluate(replace(config, production="1,2"), Terminal())


def test_policies_of_another_log_are_refused(folder: Path) -> None:
    batch = BatchDataset.load(folder / "log.parquet")
    policy = load_candidates([folder / "policies" / "watch"])["policies/watch"]
    setting = dict(batch.setting or {})
    tasks = setting["tasks"]
    swapped = replace(batch, setting={**setting, "tasks": [tasks[1], tasks[0], *tasks[2:]]})
    with pytest.raises(ConfigError, match=re.escape("policy w has tasks ['click', 'long_")):
        refuse_another_log("w", policy, swapped)
    other = replace(batch, setting={**setting, "formula": "weighted_sum"})
    with pytest.raises(ConfigError, match=r"has formula 'log_sum', the log has 'weighted_"):
        refuse_another_log("w", policy, other)
    rates = [2.0 * rate for rate in setting["base_rates"]]
    moved = replace(batch, setting={**setting, "base_rates": rates})
    with pytest.raises(ConfigError, match=r"policy w has base rate .* for "):
        refuse_another_log("w", policy, moved)
    refuse_another_log("w", policy, replace(batch, setting=None))


def test_invalid_logs_and_settings_are_refused(folder: Path, tmp_path: Path) -> None:
    batch = BatchDataset.load(folder / "log.parquet")
    unknown = np.full_like(batch.log_densities, np.nan)
    replace(batch, log_densities=unknown).save(tmp_path / "unknown.parquet")
    config = config_of(folder)
    with pytest.raises(DataError, match="log_densities must not be NaN"):
        evaluate(replace(config, data=tmp_path / "unknown.parquet"), Terminal())
    with pytest.raises(ArtifactError, match=re.escape("holds no policy: expected policy.json")):
        load_candidates([tmp_path])
    with pytest.raises(ConfigError, match="'corrected' needs a simulator"):
        replace(config, estimators=("corrected",))
    with pytest.raises(UnknownNameError, match="Did you mean 'sn_pdis'"):
        replace(config, estimators=("sn_pdi",))
    with pytest.raises(ConfigError, match=re.escape("model.gamma must be 1, because")):
        replace(config, model=ModelConfig(gamma=0.9))
    with pytest.raises(ConfigError, match="at least one policy"):
        replace(config, policies=())
    with pytest.raises(ConfigError, match=re.escape("bandwidth must be in (0, 2], got 3")):
        replace(config, bandwidth=3.0)
