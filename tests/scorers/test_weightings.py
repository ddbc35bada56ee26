"""Loss weightings against their equations and optima."""

import numpy as np
import pytest
import torch

from mtf_rl.scorers import (
    WEIGHTINGS,
    DecayingWeights,
    FixedWeights,
    UncertaintyWeights,
    Weighting,
)


def test_fixed_weights_stay_constant() -> None:
    weighting = FixedWeights((1.0, 0.25))
    losses = torch.tensor([2.0, 4.0])
    assert weighting(losses, 0.0).total.item() == weighting(losses, 9.0).total.item() == 3.0


def test_decaying_weights_by_hand() -> None:
    # After 2 epochs: 2 x 1 and 2 x 0.5^2 = 0.5, rescaled from 2.5 to their initial sum of 4.
    weighting = DecayingWeights((2.0, 2.0), (1.0, 0.5))
    weighted = weighting(torch.tensor([1.0, 1.0]), 2.0)
    assert weighted.weights.tolist() == pytest.approx([2.0 * 1.6, 0.5 * 1.6])
    assert weighted.total.item() == pytest.approx(4.0)
    assert weighting(torch.ones(2), 0.0).weights.tolist() == [2.0, 2.0]


def test_decaying_weights_have_a_floor() -> None:
    weights = DecayingWeights((1.0, 1.0), (1.0, 0.01))(torch.ones(2), 50.0).weights
    assert (weights[1] / weights[0]).item() == pytest.approx(1e-3)


def test_uncertainty_weights_reach_one_over_twice_the_loss_of_a_rare_task() -> None:
    # Clamping s at 0 or above, as in some public code, would prevent the weight 1 / (2 x 0.01).
    losses = torch.tensor([0.67, 0.01])
    weighting = UncertaintyWeights((1.0, 1.0))
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(2000):
        optimizer.zero_grad()
        weighting(losses, 0.0).total.backward()
        optimizer.step()
    weights = weighting(losses, 0.0).weights
    assert weights.numpy() == pytest.approx(1.0 / (2.0 * losses.numpy()), rel=1e-3)


def test_an_uncertainty_at_its_bound_still_has_a_gradient() -> None:
    weighting = UncertaintyWeights((1.0,))
    with torch.no_grad():
        weighting.log_variances.fill_(100.0)
    weighting(torch.tensor([0.5]), 0.0).total.backward()
    assert weighting.log_variances.item() == 8.0
    assert weighting.log_variances.grad is not None
    assert weighting.log_variances.grad.item() > 0.1


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_the_gradient_of_the_total_is_each_loss_weight(name: str) -> None:
    weighting: Weighting = WEIGHTINGS[name]((1.0, 2.0, 0.0), (1.0, 0.9, 0.8))
    losses = torch.tensor([0.5, 0.2, 0.1], requires_grad=True)
    weighted = weighting(losses, 1.5)
    weighted.total.backward()
    assert losses.grad is not None
    assert np.array_equal(losses.grad.numpy(), weighted.weights.numpy())
    assert weighted.weights[2].item() == 0.0
