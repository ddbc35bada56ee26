"""Losses of batch RL against known results and against loops over rows."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from mtf_rl.agents.offline.cql import squashed_samples
from mtf_rl.agents.offline.losses import (
    advantage_weights,
    autoencoder_loss,
    conservative_gap,
    critic_loss,
    expectile_loss,
    log_mean_exp_q,
    soft_clipped_double_q,
    softmax_weights,
    td3_bc_loss,
    td_target,
)


def minimised(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """The minimiser of a smooth loss of a few numbers."""
    point = start.clone().double().requires_grad_()
    optimizer = torch.optim.LBFGS([point], max_iter=500, tolerance_grad=1e-12)

    def closure() -> float:
        optimizer.zero_grad()
        value = loss(point)
        torch.autograd.backward(value)
        return float(value.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return point.detach()


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(("tau", "expected"), [(0.7, 0.3371), (0.9, 0.8616), (0.95, 1.1406)])
def test_expectiles_of_a_standard_normal(tau: float, expected: float) -> None:
    # Known values; a grid of quantiles approximates the normal.
    grid = torch.tensor(stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000))
    found = minimised(lambda value: expectile_loss(grid - value, tau), torch.zeros(1))
    assert float(found) == pytest.approx(expected, abs=5e-4)


def test_the_expectile_of_a_fair_coin_is_tau() -> None:
    coin = torch.tensor([0.0, 1.0], dtype=torch.float64)
    found = minimised(lambda value: expectile_loss(coin - value, 0.8), torch.zeros(1))
    assert float(found) == pytest.approx(0.8, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(0.05, 0.95))
def test_expectile_loss_by_a_loop(errors: list[float], tau: float) -> None:
    expected = sum(abs(tau - (u < 0)) * u**2 for u in errors) / len(errors)
    found = float(expectile_loss(torch.tensor(errors, dtype=torch.float64), tau))
    assert found == pytest.approx(expected, rel=1e-6)


def test_cql_on_a_state_with_three_actions() -> None:
    # 1/2 E_b (Q - r)^2 + alpha (LSE Q - E_b Q) is minimal where its gradient,
    # b (Q - r) + alpha (softmax Q - b), is 0.
    rewards, fractions, alpha = column(1, 0, -1)[:, 0], column(0.7, 0.2, 0.1)[:, 0], 0.5

    def loss(q: Tensor) -> Tensor:
        logged = (fractions * q).sum()
        gap = conservative_gap(q[None], torch.zeros(1, 3), logged)
        return 0.5 * (fractions * (q - rewards) ** 2).sum() + alpha * gap

    q = minimised(loss, torch.zeros(3))
    np.testing.assert_allclose(q, [1.0157, -0.0715, -0.9669], atol=1e-4)
    # Summed over actions, the penalty cancels: the value on the data is unbiased.
    assert float((fractions * q).sum()) == pytest.approx(
        float((fractions * rewards).sum()), abs=1e-4
    )


def test_the_integral_of_exp_q_for_a_linear_q() -> None:
    # log of the integral of exp(c a) over [-1, 1] is log(2 sinh(c) / c), for each entry.
    torch.manual_seed(0)
    slopes = torch.tensor([0.5, -1.5])
    expected = torch.log(2 * torch.sinh(slopes) / slopes).sum()
    actions = torch.rand(4, 20_000, 2) * 2 - 1
    density = torch.full((4, 20_000), -2 * math.log(2.0))
    found = log_mean_exp_q((actions * slopes).sum(2), density)
    np.testing.assert_allclose(found, expected.expand(4), atol=0.02)
    own, own_density = squashed_samples(torch.zeros(4, 2), torch.zeros(4, 2), 20_000)
    found = log_mean_exp_q((own * slopes).sum(2), own_density)
    np.testing.assert_allclose(found, expected.expand(4), atol=0.05)


def test_densities_of_squashed_samples_equal_torchs() -> None:
    torch.manual_seed(0)
    mean, log_std = torch.tensor([[0.3, -1.0]]), torch.tensor([[-0.5, 0.2]])
    actions, found = squashed_samples(mean, log_std, 50)
    normals = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform()])
    expected = normals.log_prob(actions[0].double()).sum(1)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(found[0], expected, atol=2e-3)


def test_the_density_of_a_squashed_normal_integrates_to_one() -> None:
    torch.manual_seed(0)
    actions, log_densities = squashed_samples(torch.zeros(1, 3), torch.zeros(1, 3), 200_000)
    # E_p [1 / p] over the samples is the volume of the box.
    assert float(torch.exp(-log_densities).mean()) == pytest.approx(8.0, rel=0.05)
    assert float(actions.abs().max()) <= 1.0


def test_td3_bc_moves_a_linear_q_by_lambda_d_c_over_2() -> None:
    logged = torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64)
    slope = torch.tensor([0.02, -0.01, 0.03], dtype=torch.float64)
    offset = 1.0  # keeps |Q| near 1

    def loss(action: Tensor) -> Tensor:
        values = (action * slope).sum(1, keepdim=True) + offset
        return td3_bc_loss(values, action, logged, alpha=2.5).total

    action = logged.clone().requires_grad_()
    for _ in range(300):
        (gradient,) = torch.autograd.grad(loss(action), action)
        action = (action - 0.5 * gradient).detach().requires_grad_()
    action = action.detach()
    weight = 2.5 / float((action * slope).sum() + offset)
    np.testing.assert_allclose((action - logged)[0], weight * 3 * slope / 2, rtol=1e-6)


def test_awac_and_iql_weights_give_the_weighted_mean() -> None:
    actions, advantages = column(-0.5, 0.1, 0.9), column(0.2, 1.0, -0.3)
    for weights in (softmax_weights(advantages, 0.5), advantage_weights(advantages, 2.0, 100.0)):
        found = minimised(
            lambda mean, w=weights: (w * (actions - mean) ** 2).sum(),  # type: ignore[misc]
            torch.zeros(1),
        )
        by_hand = np.exp(np.array([0.4, 2.0, -0.6]))
        expected = (by_hand * np.array([-0.5, 0.1, 0.9])).sum() / by_hand.sum()
        assert float(found) == pytest.approx(expected, abs=1e-6)
    assert float(softmax_weights(advantages, 0.5).mean()) == pytest.approx(1.0)


def test_weights_are_clipped_and_do_not_overflow() -> None:
    weights = advantage_weights(column(1e6, 0.0, -1e6), 3.0, 100.0)
    np.testing.assert_allclose(weights[:, 0], [100.0, 1.0, 0.0])


def test_targets_bootstrap_at_truncation_and_not_at_termination() -> None:
    target = td_target(column(1, 1), column(1, 0), column(10, 10), gamma=0.9)
    np.testing.assert_allclose(target[:, 0], [1.0, 10.0])


def test_soft_clipped_double_q_and_its_limits() -> None:
    values = torch.tensor([[[1.0], [4.0]], [[3.0], [2.0]]])  # (critics, rows, 1)
    # 0.75 * 1 + 0.25 * 3 = 1.5; 0.75 * 2 + 0.25 * 4 = 2.5
    np.testing.assert_allclose(soft_clipped_double_q(values, 0.75)[:, 0], [1.5, 2.5])
    np.testing.assert_allclose(soft_clipped_double_q(values, 1.0)[:, 0], [1.0, 2.0])


def test_autoencoder_loss_by_torchs_divergence() -> None:
    torch.manual_seed(0)
    mean, log_std = torch.randn(5, 4), torch.randn(5, 4) * 0.3
    decoded, actions = torch.randn(5, 2), torch.randn(5, 2)
    loss = autoencoder_loss(decoded, actions, mean, log_std)
    divergence = torch.distributions.kl_divergence(
        Normal(mean, log_std.exp()), Normal(0.0, 1.0)
    ).mean()
    np.testing.assert_allclose(loss.divergence, divergence, rtol=1e-5)
    expected = ((decoded - actions) ** 2).mean() + 0.5 * divergence
    np.testing.assert_allclose(loss.total, expected, rtol=1e-5)


def test_critic_loss_sums_over_critics() -> None:
    loss = critic_loss([column(1, 2), column(0, 0)], column(1, 0))
    assert float(loss) == pytest.approx((0 + 4) / 2 + (1 + 0) / 2)
