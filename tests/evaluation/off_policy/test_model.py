"""Q, V and visits that are fitted to logged sessions."""

from dataclasses import replace

import numpy as np
import pytest
from typing_extensions import override

from mtf_rl.agents import ConstantPolicy, UniformRandom, collect
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.data import BatchDataset
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation import roll_out
from mtf_rl.evaluation.off_policy import (
    ESTIMATORS,
    DensityTarget,
    LoggedSessions,
    ModelConfig,
    OPEInputs,
    ProductKernel,
    SmoothedTarget,
    estimate_sum,
    inputs_of,
    log_ratios,
    scott_bandwidth,
    slope_bandwidth,
    slope_choice,
    t_interval,
    view_of,
)

pytestmark = pytest.mark.slow


class UniformTarget(DensityTarget):
    """The behaviour of the toy's log."""

    @override
    def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        return np.full(len(actions), -actions.shape[1] * np.log(2.0))

    @override
    def draws(
        self, observations: FloatArray, rng: np.random.Generator, count: int
    ) -> list[FloatArray]:
        return [rng.uniform(-1.0, 1.0, (len(observations), 8)) for _ in range(count)]


@pytest.fixture(scope="module", name="batch")
def toy_batch() -> BatchDataset:
    return collect(toy_dynamics(), UniformRandom(8), requests=12_000, seed=2)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_behaviours_value_is_found_by_all(batch: BatchDataset, gamma: float) -> None:
    logged = LoggedSessions(batch)
    inputs = inputs_of(logged, UniformTarget(), ModelConfig(gamma=gamma), np.random.default_rng(0))
    discounts = gamma ** np.arange(logged.rewards.shape[1])
    mean = float((logged.rewards @ discounts).mean())
    assert np.abs(inputs.log_ratios).max() < 1e-9
    for name in ESTIMATORS:
        assert estimate_sum(name, inputs).value == pytest.approx(mean, rel=0.03), name


def test_a_better_policy_is_known_for_better(batch: BatchDataset) -> None:
    """Weight on the one task that counts against weight on another, in a log of random actions.

    A quadratic knows the direction, not how steep the way into a corner of the box becomes.
    """
    logged = LoggedSessions(batch)
    found, true = [], []
    for position in (2, 0):  # like, click
        action = np.array([-1, -1, -1, -1, -1, -1, 1, -1], dtype=np.float32)
        action[position] = 1.0
        policy = ConstantPolicy(action)
        target = SmoothedTarget(policy, ProductKernel(np.full(8, 0.5)))
        inputs = inputs_of(logged, target, ModelConfig(), np.random.default_rng(0))
        found.append(estimate_sum("dm", inputs).value)
        sessions = roll_out(toy_dynamics(), policy, seed=9, episodes=np.arange(2_000))
        true.append(float(sessions.reward.mean()))
    assert true[0] > 1.2 * true[1]
    assert found[0] > found[1]


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_direct_methods_interval_is_the_spread_of_repetitions(gamma: float) -> None:
    """The error of the fit is in it: V of fixed coefficients alone would spread far less."""
    target = SmoothedTarget(
        ConstantPolicy(np.linspace(-0.5, 0.5, 8, dtype=np.float32)),
        ProductKernel(np.full(8, 0.5)),
    )
    values, halves, bare = [], [], []
    for seed in range(40):
        batch = collect(toy_dynamics(), UniformRandom(8), requests=2_500, seed=100 + seed)
        inputs = inputs_of(
            LoggedSessions(batch),
            target,
            ModelConfig(gamma=gamma, ridge=1e-4),
            np.random.default_rng(0),
        )
        part = estimate_sum("dm", inputs)
        interval = t_interval(part)
        values.append(part.value)
        halves.append(interval.high - part.value)
        alone = t_interval(estimate_sum("dm", replace(inputs, model_state_action_ratios=None)))
        assert alone.mean == pytest.approx(part.value)
        bare.append(alone.high - alone.mean)
    ratio = np.mean(halves) / (1.96 * np.std(values, ddof=1))
    assert 0.7 < ratio < 1.15
    assert np.mean(bare) < 0.7 * np.mean(halves)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_a_static_policy_is_solved_as_any_other(batch: BatchDataset, gamma: float) -> None:
    """Its moments are the log's own, times a matrix; those of drawn actions are summed by rows."""

    class Twice(SmoothedTarget):
        @override
        def draws(
            self, observations: FloatArray, rng: np.random.Generator, count: int
        ) -> list[FloatArray]:
            return super().draws(observations, rng, count) * 2

    policy = ConstantPolicy(np.linspace(-0.4, 0.6, 8, dtype=np.float32))
    kernel = ProductKernel(np.full(8, 0.5))
    found, expected = (
        inputs_of(
            LoggedSessions(batch),
            target,
            ModelConfig(gamma=gamma, crossed=True),
            np.random.default_rng(0),
        )
        for target in (SmoothedTarget(policy, kernel), Twice(policy, kernel))
    )
    for name in ("q", "v", "state_action_ratios", "model_state_action_ratios"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-7, err_msg=name
        )
    assert found.leverage == pytest.approx(expected.leverage)


def test_leverage_is_one_for_the_log_and_grows_towards_the_corners(batch: BatchDataset) -> None:
    logged = LoggedSessions(batch)

    def leverage(target: DensityTarget) -> float:
        found = inputs_of(logged, target, ModelConfig(draws=1), np.random.default_rng(3))
        assert found.leverage is not None
        return found.leverage

    kernel = ProductKernel(np.full(8, 0.5))
    middle, corner = (
        leverage(SmoothedTarget(ConstantPolicy(np.full(8, at, dtype=np.float32)), kernel))
        for at in (0.0, 1.0)
    )
    assert leverage(UniformTarget()) == pytest.approx(1.0, abs=0.05)
    assert middle < 1.0 < corner


def test_pieces_are_whole_sessions_and_all_rows(
    batch: BatchDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = inputs_of(
        LoggedSessions(batch), UniformTarget(), ModelConfig(), np.random.default_rng(1)
    )
    monkeypatch.setattr("mtf_rl.evaluation.off_policy.logged._ROWS_AT_ONCE", 100)
    logged = LoggedSessions(batch)
    pieces = logged.pieces
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert (pieces[0].start, pieces[-1].stop) == (0, len(logged))
    assert all(batch.requests[piece.start] == 0 for piece in pieces)
    assert max(piece.stop - piece.start for piece in pieces) <= 100
    cut = inputs_of(logged, UniformTarget(), ModelConfig(), np.random.default_rng(1))
    assert whole.q is not None
    assert cut.q is not None
    for name in ("q", "v", "state_action_ratios", "model_state_action_ratios"):
        np.testing.assert_allclose(
            getattr(cut, name), getattr(whole, name), rtol=1e-6, atol=1e-8, err_msg=name
        )
    assert cut.leverage == pytest.approx(whole.leverage)
    # And where features are not kept, but made again for each pass.
    monkeypatch.setattr("mtf_rl.evaluation.off_policy.model._MAX_CACHED", 0)
    again = inputs_of(logged, UniformTarget(), ModelConfig(), np.random.default_rng(1))
    np.testing.assert_array_equal(again.q, cut.q)


def test_weights_of_one_direction_are_one_action_to_the_model(batch: BatchDataset) -> None:
    view = view_of(batch)
    rng = np.random.default_rng(4)
    magnitudes = rng.uniform(0.2, 0.5, (20, 8))
    signs = np.array([1, 1, 1, 1, 1, 1, -1, 1])
    actions = (2.0 * magnitudes - 1.0) * signs
    doubled = (4.0 * magnitudes - 1.0) * signs
    np.testing.assert_allclose(view(actions), view(doubled), atol=1e-6)
    expected = magnitudes * signs / np.linalg.norm(magnitudes, axis=1, keepdims=True)
    np.testing.assert_allclose(view(actions), expected, atol=1e-6)
    nothing = -signs[None, :].astype(np.float64)  # all weights 0
    np.testing.assert_allclose(view(nothing), 0.0, atol=1e-7)
    with pytest.raises(DataError, match="formula log_sum but lacks action_map, tasks"):
        view_of(replace(batch, setting={"formula": "log_sum"}))
    # Without `task_set`, as the last release wrote it, the tasks are KuaiRand's.
    former = {name: part for name, part in (batch.setting or {}).items() if name != "task_set"}
    assert len(former) == len(batch.setting or {}) - 1
    np.testing.assert_array_equal(view_of(replace(batch, setting=former))(actions), view(actions))
    for setting in (None, {**(batch.setting or {}), "formula": "click_gated"}):
        plain = view_of(replace(batch, setting=setting))
        np.testing.assert_array_equal(plain(actions), actions)


def test_slope_takes_a_wider_kernel_where_narrow_ones_are_thin(batch: BatchDataset) -> None:
    logged, policy = LoggedSessions(batch), ConstantPolicy(np.zeros(8, dtype=np.float32))
    start = scott_bandwidth(batch.actions)
    found = slope_bandwidth(logged, policy)
    kernels = [ProductKernel(np.minimum(scale * start, 2.0)) for scale in (0.5, 1.0, 2.0, 4.0)]
    intervals, kept = [], []
    for kernel in kernels:
        ratios = log_ratios(logged, SmoothedTarget(policy, kernel))
        inputs = OPEInputs(ratios, logged.rewards, logged.live)
        mean_weight = np.where(logged.live, np.exp(ratios), 0.0).sum(axis=1) / logged.lengths
        if mean_weight.sum() ** 2 / (mean_weight**2).sum() >= 100.0:
            kept.append(kernel)
            intervals.append(t_interval(estimate_sum("request_sn", inputs)))
    assert len(kept) >= 2
    expected = kept[slope_choice(intervals)].bandwidths
    np.testing.assert_array_equal(found.bandwidths, expected)
    few = np.flatnonzero(batch.requests == 0)[12]
    assert slope_bandwidth(cut_to(batch, int(few)), policy).bandwidths == pytest.approx(
        np.minimum(4.0 * scott_bandwidth(batch.actions[:few]), 2.0)
    )


def cut_to(batch: BatchDataset, rows: int) -> LoggedSessions:
    names = ["observations", "actions", "log_densities", "behaviours", "rewards", "terminated"]
    names += ["truncated", "sessions", "requests"]
    return LoggedSessions(
        replace(
            batch,
            **{name: getattr(batch, name)[:rows] for name in names},
            final_observations=batch.final_observations[: int(batch.truncated[:rows].sum())],
        )
    )


def test_sessions_of_any_length_are_padded(batch: BatchDataset) -> None:
    logged = LoggedSessions(batch)
    assert logged.count == len(np.unique(batch.sessions))
    assert logged.lengths.sum() == len(batch.rewards)
    assert logged.lengths.min() < logged.lengths.max() == logged.rewards.shape[1]
    expected = np.bincount(batch.sessions, weights=batch.rewards)
    np.testing.assert_allclose(logged.session_rewards, expected, rtol=1e-5)


def test_missing_or_invalid_densities_are_refused(batch: BatchDataset) -> None:
    logged = LoggedSessions(batch)
    unknown = batch.log_densities.copy()
    unknown[7] = np.nan
    with pytest.raises(DataError, match=r"log_densities must not be NaN.*; row 7 breaks this"):
        LoggedSessions(replace(batch, log_densities=unknown))

    class EachEntry(UniformTarget):
        """A regression: public code takes a joint density for one of each entry."""

        @override
        def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
            return np.zeros(actions.shape)

    with pytest.raises(DataError, match="the joint log density of each action"):
        log_ratios(logged, EachEntry())

    class Broken(UniformTarget):
        @override
        def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
            return np.where(np.arange(len(actions)) == 3, np.nan, 0.0)

    with pytest.raises(DataError, match="must be finite or -inf, got nan in row 3"):
        log_ratios(logged, Broken())
    with pytest.raises(ConfigError, match="ridge must be above 0, got 0"):
        ModelConfig(ridge=0.0)
