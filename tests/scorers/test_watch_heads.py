"""Watch heads against numerical integrals, simulation and hand calculations."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import expit

from mtf_rl.core.arrays import FloatArray
from mtf_rl.scorers.watch_heads import WATCH_HEADS, LogNormalHead, SurvivalHead


def expected_fraction(head: str, parameters: list[float]) -> float:
    tensor = torch.tensor([parameters], dtype=torch.float64)
    return float(expit(WATCH_HEADS[head](120.0).logit(tensor).item()))


@pytest.mark.parametrize(("mu", "raw"), [(-3.0, 0.0), (0.0, 0.0), (2.5, -1.0), (4.0, 2.0)])
def test_log_normal_mean_equals_the_integral_of_the_capped_time(mu: float, raw: float) -> None:
    sigma = math.log1p(math.exp(raw + math.log(math.e - 1)))
    distribution = stats.lognorm(s=sigma, scale=10.0 * math.exp(mu))
    mean, _ = integrate.quad(distribution.sf, 0, 120, points=[0.1, 1, 10], limit=500)
    expected = expit(0.4) * mean / 120
    assert expected_fraction("log_normal", [0.4, mu, raw]) == pytest.approx(expected, rel=1e-4)


def test_log_normal_loss_equals_the_censored_likelihood() -> None:
    head = LogNormalHead(120.0)
    parameters = torch.tensor([[0.4, 0.5, 0.2]] * 3, dtype=torch.float64)
    losses = head.loss(parameters, torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64))
    sigma = math.log1p(math.exp(0.2 + math.log(math.e - 1)))
    distribution = stats.lognorm(s=sigma, scale=10.0 * math.exp(0.5))
    p = expit(0.4)
    expected = [
        -math.log(1 - p),
        -math.log(p * distribution.pdf(30.0)),
        -math.log(p * distribution.sf(120.0)),
    ]
    assert losses.numpy() == pytest.approx(np.array(expected))


def test_survival_mean_by_hand() -> None:
    # P(play > 0) = P(play > 3 s) = 0.5, P(play > 7 s) = 0: 3 x 0.5 + 4 x (0.5 + 0) / 2.
    head = SurvivalHead(120.0)
    parameters = torch.full((1, head.parameters), -60.0, dtype=torch.float64)
    parameters[0, :2] = torch.tensor([0.0, 60.0])
    fraction = torch.sigmoid(head.logit(parameters)).item()
    assert fraction * 120 == pytest.approx(2.5)


def test_survival_loss_uses_only_the_thresholds_that_a_row_reached() -> None:
    head = SurvivalHead(120.0)
    parameters = torch.zeros(3, head.parameters)
    # 0 s: not past the first threshold. 10 s: past 0, 3, 7, not past 12. 120 s: past all nine.
    losses = head.loss(parameters, torch.tensor([0.0, 10.0 / 120.0, 1.0]))
    assert losses.tolist() == pytest.approx([math.log(2) * count for count in (1, 4, 9)])


def test_heads_scale_with_the_cap() -> None:
    # With play times and cap ten times as large, the expected fraction of the cap is the same.
    parameters = torch.tensor([[0.4, 0.5, 0.2]], dtype=torch.float64)
    scaled = parameters + torch.tensor([0.0, math.log(10.0), 0.0])
    short, long = LogNormalHead(120.0), LogNormalHead(1200.0)
    assert long.logit(scaled).item() == pytest.approx(short.logit(parameters).item())
    narrow, wide = SurvivalHead(120.0), SurvivalHead(1200.0)
    conditional = torch.linspace(-1.0, 1.0, narrow.parameters, dtype=torch.float64)[None]
    assert wide.logit(conditional).item() == pytest.approx(narrow.logit(conditional).item())


@pytest.mark.parametrize("name", WATCH_HEADS)
def test_fitting_recovers_the_mean_of_the_capped_time(name: str) -> None:
    rng = np.random.default_rng(0)
    play: FloatArray = np.exp(rng.normal(2.5, 1.0, 4000)) * (rng.random(4000) < 0.7)
    fractions = torch.from_numpy(np.minimum(play, 120.0) / 120.0)
    head = WATCH_HEADS[name](120.0)
    parameters = torch.zeros(1, head.parameters, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = head.loss(parameters.expand(len(fractions), -1), fractions).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fraction = torch.sigmoid(head.logit(parameters)).item()
    # Linear interpolation slightly overestimates the area under a convex survival curve.
    assert fraction == pytest.approx(
        fractions.mean().item(), rel=0.06 if name == "survival" else 0.02
    )


@pytest.mark.parametrize("name", WATCH_HEADS)
def test_losses_and_gradients_are_finite_at_extreme_parameters(name: str) -> None:
    head = WATCH_HEADS[name](120.0)
    for value in (-40.0, 40.0):
        parameters = torch.full((3, head.parameters), value, requires_grad=True)
        losses = head.loss(parameters, torch.tensor([0.0, 0.3, 1.0]))
        logits = head.logit(parameters)
        (losses.sum() + logits.sum()).backward()  # type: ignore[no-untyped-call]
        assert torch.isfinite(losses).all()
        assert torch.isfinite(logits).all()
        assert parameters.grad is not None
        assert torch.isfinite(parameters.grad).all()
