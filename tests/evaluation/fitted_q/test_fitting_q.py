"""Neural fitted Q evaluation: known values, the conservative penalty, reproducibility, refusals."""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, DataError, ShapeError
from mtf_rl.data import Transitions
from mtf_rl.evaluation import LeastSquaresConfig, end_at_cut, least_squares_q
from mtf_rl.evaluation.fitted_q import CONSERVATIVE_OPESTIMATOR, FittedQ, FQEConfig, fit_q
from tests.evaluation.decision_processes import (
    LinearPolicy,
    LinearQuadratic,
    chain,
    constant_policy,
    random_log,
)

pytestmark = pytest.mark.slow

SMALL = FQEConfig(hidden=(16,), batch_size=64, updates=60)
CHAIN = FQEConfig(gamma=0.9, hidden=(), learning_rate=3e-2, batch_size=64, updates=1500)


def test_linear_quadratic_system() -> None:
    """Errors of 0 to 4 % on seeds 0 to 3, as in docs/fitted_q_accuracy.md."""
    system = LinearQuadratic()
    q = fit_q(system.log(20_000, 0), system.policy, FQEConfig(gamma=0.8))
    start = np.linspace(-0.9, 0.9, 101)[:, None]
    truth = system.state_values(start, 0.8).mean()
    assert q.value(start, system.policy) == pytest.approx(truth, rel=0.06)
    assert not q.diagnostics.diverged
    assert abs(q.diagnostics.td_bias) < 0.002


def test_an_end_stops_the_bootstrap_and_a_cut_does_not() -> None:
    """Worked in `chain`: 1.85, and 1.85 / .19 = 9.737; a linear Q holds both."""
    policy = constant_policy(1, 0.5)
    left, cut = chain(400, left=True), chain(400, left=False)
    first = left.first_observations
    assert fit_q(left, policy, CHAIN).value(first, policy) == pytest.approx(1.85, abs=0.02)
    assert fit_q(cut, policy, CHAIN).value(first, policy) == pytest.approx(1.85 / 0.19, rel=0.01)
    ended = fit_q(end_at_cut(cut), policy, CHAIN)
    assert ended.value(first, policy) == pytest.approx(1.85, abs=0.02)


def test_a_hidden_layer_learns_the_chain_too() -> None:
    policy, log = constant_policy(1, 0.5), chain(400, left=True)
    config = replace(CHAIN, gamma=1.0, hidden=(32,), learning_rate=3e-3, updates=1500)
    q = fit_q(log, policy, config)
    assert q.value(log.first_observations, policy) == pytest.approx(2.0, abs=0.05)
    assert q.diagnostics.td_error < 0.1
    assert q.diagnostics.held_out_td_error is not None
    assert q.diagnostics.held_out_td_error < 0.1


def test_a_linear_network_agrees_with_least_squares() -> None:
    """Q linear in (1, s, a): least squares on the same features, its own fixed point by hand."""
    log = random_log(1000, obs_dim=2, action_dim=1, seed=0)
    policy = constant_policy(2, 0.4)
    now = np.column_stack([np.ones(1000), log.observations, log.actions])
    then = np.column_stack([np.ones(1000), log.next_observations, np.full(1000, 0.4)])
    then[log.terminated] = 0.0
    theta = np.linalg.solve(now.T @ (now - 0.8 * then), now.T @ log.rewards)
    start = np.column_stack([np.ones(200), log.first_observations, np.full(200, 0.4)])
    config = FQEConfig(
        gamma=0.8, hidden=(), learning_rate=3e-3, updates=3000, held_out_fraction=0.0, tau=0.02
    )
    value = fit_q(log, policy, config).value(log.first_observations, policy)
    assert value == pytest.approx(float((start @ theta).mean()), abs=0.02)


def bandit(reward: FloatArray, actions: FloatArray) -> Transitions:
    """One state; every request ends its session."""
    rows = len(actions)
    return Transitions(
        observations=np.zeros((rows, 1)),
        actions=actions[:, None],
        rewards=reward,
        next_observations=np.zeros((rows, 1)),
        terminated=np.ones(rows, dtype=np.bool_),
        sessions=np.arange(rows),
        requests=np.zeros(rows, dtype=np.int64),
    )


def penalised_values(alphas: tuple[float, ...], at: float) -> tuple[list[float], FittedQ]:
    """Estimates of the constant action `at` from actions uniform in [-.5, .5], r = 3 a."""
    actions = np.linspace(-0.5, 0.5, 201)
    log, policy = bandit(3.0 * actions, actions), constant_policy(1, at)
    fits = [
        fit_q(
            log,
            policy,
            FQEConfig(
                hidden=(), learning_rate=1e-2, updates=1500, alpha=alpha, held_out_fraction=0.0
            ),
        )
        for alpha in alphas
    ]
    return [fit.value(log.first_observations, policy) for fit in fits], fits[-1]


def test_the_penalty_lowers_actions_outside_the_data_as_it_should() -> None:
    """Q = b + w a minimises 1/2 mean (b + w a - r)^2 + alpha w (p - mean a).

    With mean a = 0 that gives w = 3 - alpha p / var a and Q(p) = 3 p - alpha p^2 / var a, alpha in
    reward units: alpha times the deviation of r, which is 3 sd a.
    """
    at, alphas = -0.8, (0.0, 0.02, 0.05)
    values, strictest = penalised_values(alphas, at)
    std = np.linspace(-0.5, 0.5, 201).std()
    assert strictest.alpha_in_reward_units == pytest.approx(0.05 * 3.0 * std)
    for alpha, value in zip(alphas, values, strict=True):
        lowered = 3.0 * std * alpha * at**2 / std**2
        assert value == pytest.approx(3.0 * at - lowered, abs=0.02)
    assert values[0] > values[1] > values[2]


def test_the_penalty_spares_the_mean_action() -> None:
    values, _ = penalised_values((0.0, 0.05), 0.0)
    assert values[1] == pytest.approx(values[0], abs=0.02)


def weights(q: FittedQ) -> FloatArray:
    return np.concatenate(
        [part.ravel() for layer in q.network.layers for part in (layer.weight, layer.bias)]
    )


def test_no_penalty_is_plain_fitted_q_evaluation_bit_for_bit() -> None:
    """A penalty too small for float32 goes the conservative way to the same bits."""
    log, policy = random_log(300, obs_dim=3, action_dim=2, seed=0), constant_policy(3, 0.1, 0.2)
    plain = fit_q(log, policy, SMALL)
    for alpha, equal in ((0.0, True), (1e-30, True), (1e-2, False)):
        config = replace(SMALL, alpha=alpha)
        assert np.array_equal(weights(fit_q(log, policy, config)), weights(plain)) is equal


def test_same_seed_same_bits_and_no_global_randomness() -> None:
    log, policy = random_log(300, obs_dim=3, action_dim=2, seed=0), constant_policy(3, 0.1, 0.2)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = fit_q(log, policy, SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = fit_q(log, policy, SMALL), fit_q(log, policy, replace(SMALL, seed=1))
    np.testing.assert_array_equal(weights(first), weights(again))
    assert first.diagnostics == again.diagnostics
    assert not np.array_equal(weights(first), weights(other))


@settings(max_examples=5, deadline=None)
@given(power=st.integers(-8, 8), seed=st.integers(0, 100))
def test_scaled_rewards_scale_q(power: int, seed: int) -> None:
    """By a power of 2, which float32 scales exactly."""
    log, policy = random_log(200, obs_dim=2, action_dim=2, seed=seed), constant_policy(2, 0, 0)
    config = replace(SMALL, updates=10, alpha=1e-3)
    scaled = replace(log, rewards=log.rewards * 2.0**power)
    values = [fit_q(r, policy, config).q(log.observations, log.actions) for r in (log, scaled)]
    np.testing.assert_allclose(values[1], values[0] * 2.0**power, rtol=1e-12)


def test_q_is_the_network_that_torch_would_run() -> None:
    """Second implementation: the layers in torch, inputs standardised by hand."""
    log, policy = random_log(300, obs_dim=3, action_dim=2, seed=0), constant_policy(3, 0.1, 0.2)
    q = fit_q(log, policy, replace(SMALL, held_out_fraction=0.0))
    standard = (log.observations - log.observations.mean(axis=0)) / log.observations.std(axis=0)
    hidden, last = q.network.layers
    inputs = torch.from_numpy(np.column_stack([standard, log.actions]))
    outputs = torch.relu(inputs @ torch.from_numpy(hidden.weight) + torch.from_numpy(hidden.bias))
    outputs = outputs @ torch.from_numpy(last.weight) + torch.from_numpy(last.bias)
    expected = log.rewards.std() * outputs[:, 0].numpy()
    np.testing.assert_allclose(q.q(log.observations, log.actions), expected, rtol=1e-9)
    at_policy = q.q(log.observations, np.tile([0.1, 0.2], (300, 1)).astype(np.float32))
    np.testing.assert_array_equal(q.state_values(log.observations, policy), at_policy)
    assert q.value(log.observations, policy) == at_policy.mean()


def test_held_out_sessions_are_not_fitted() -> None:
    log, policy = random_log(300, obs_dim=3, action_dim=2, seed=0), constant_policy(3, 0.1, 0.2)
    kept, held_out = log.split(SMALL.held_out_fraction, np.random.default_rng(SMALL.seed))
    q, alone = fit_q(log, policy, SMALL), fit_q(kept, policy, replace(SMALL, held_out_fraction=0.0))
    np.testing.assert_array_equal(weights(q), weights(alone))
    onward = np.where(held_out.terminated, 0.0, q.state_values(held_out.next_observations, policy))
    errors = q.q(held_out.observations, held_out.actions) - held_out.rewards - 0.95 * onward
    assert q.diagnostics.held_out_td_error == pytest.approx(np.sqrt(np.mean(errors**2)))
    then = np.where(kept.terminated, 0.0, q.state_values(kept.next_observations, policy))
    bias = np.mean(kept.rewards + 0.95 * then - q.q(kept.observations, kept.actions))
    assert q.diagnostics.td_bias == pytest.approx(bias)
    assert alone.diagnostics.held_out_td_error is None


@dataclass
class Counting(LinearPolicy):
    """Counts the rows that it is asked about."""

    asked: int = 0

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        assert deterministic
        self.asked += len(observation)
        return super().predict(observation)


def test_the_policy_is_asked_once_a_row_and_never_after_the_end() -> None:
    log = random_log(300, obs_dim=3, action_dim=2, seed=0)
    assert log.terminated.any()
    alive = int((~log.terminated).sum())
    for alpha, asked in ((0.0, alive), (0.1, alive + 300)):
        policy = Counting(np.zeros((3, 2)), np.zeros(2))
        fit_q(log, policy, replace(SMALL, alpha=alpha, held_out_fraction=0.0))
        assert policy.asked == asked


def test_a_diverging_fit_is_reported() -> None:
    """The two states of Tsitsiklis and Van Roy: s' = 2 s, Q linear in s."""
    states = np.repeat([1.0, -1.0], 50)[:, None]
    log = Transitions(
        observations=states,
        actions=np.zeros((100, 1)),
        rewards=states[:, 0],
        next_observations=2.0 * states,
        terminated=np.zeros(100, dtype=np.bool_),
        sessions=np.arange(100),
        requests=np.zeros(100, dtype=np.int64),
    )
    config = FQEConfig(hidden=(), learning_rate=0.1, batch_size=32, updates=2000)
    q = fit_q(log, constant_policy(1, 0.0), config)
    assert q.diagnostics.largest_plausible_q == pytest.approx(20.0)
    assert q.diagnostics.diverged
    solved = least_squares_q(log, constant_policy(1, 0.0), LeastSquaresConfig(ridge=1e-3))
    assert solved.spectral_radius > 1.0


def test_progress_is_reported() -> None:
    log, fractions = random_log(50, obs_dim=1, action_dim=1, seed=0), list[float]()
    fit_q(log, constant_policy(1, 0.0), replace(SMALL, updates=250), on_progress=fractions.append)
    assert fractions == [0.0, 0.4, 0.8, 1.0]


def test_bad_policies_widths_and_logs_are_refused() -> None:
    log = random_log(40, obs_dim=2, action_dim=2, seed=0)
    for policy, error, message in (
        (constant_policy(2, 0.1), ShapeError, "the policy's actions must have shape"),
        (constant_policy(2, np.nan, 0.0), DataError, "the policy's actions must be finite"),
        (constant_policy(2, 0.0, -1.01), DataError, "the policy's actions must be in [-1, 1]"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            fit_q(log, policy, SMALL)
    good = constant_policy(2, 0.1, 0.2)
    q = fit_q(log, good, SMALL)
    with pytest.raises(ShapeError, match=re.escape("(rows, obs_dim) = (5, 2), got (5, 3)")):
        q.q(np.zeros((5, 3)), np.zeros((5, 2)))
    with pytest.raises(ShapeError, match=re.escape("(rows, action_dim) = (5, 2), got (5, 1)")):
        q.q(np.zeros((5, 2)), np.zeros((5, 1)))
    with pytest.raises(DataError, match="the first observation of at least one session, got none"):
        q.value(np.zeros((0, 2)), good)
    endless = random_log(40, obs_dim=2, action_dim=2, seed=0, leave=0.0)
    with pytest.raises(DataError, match="none of the 35 rows is terminated"):
        fit_q(endless, good, replace(SMALL, gamma=1.0))


def test_the_papers_settings() -> None:
    config = CONSERVATIVE_OPESTIMATOR
    assert (config.gamma, config.learning_rate, config.alpha) == (0.95, 1e-4, 5e-4)
    assert (config.batch_size, config.updates) == (512, 5000)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gamma", -0.1, "gamma must be in [0, 1], got -0.1"),
        ("hidden", (64, 0), "hidden units must be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be above 0, got 0.0"),
        ("batch_size", 0, "batch_size must be at least 1, got 0"),
        ("updates", 0, "updates must be at least 1, got 0"),
        ("tau", 0.0, "tau must be in (0, 1], got 0.0"),
        ("alpha", -1.0, "alpha must be at least 0, got -1.0"),
        ("held_out_fraction", 1.0, "held_out_fraction must be in [0, 1), got 1.0"),
        ("seed", -1, "seed must be in [0, 4294967295], got -1"),
    ],
)
def test_settings_out_of_range(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        replace(FQEConfig(), **{field: value})  # type: ignore[arg-type]
