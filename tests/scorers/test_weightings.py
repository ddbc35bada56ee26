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


def test_fixed_weights_do_not_change() -> None:
    weighting = FixedWeights((1.0, 0.25))
    losses = torch.tensor([2.0, 4.0])
    assert weighting(losses, 0.0).total.item() == weighting(losses, 9.0).total.item() == 3.0


def test_decaying_weights_by_hand() -> None:
    # After 2 epochs: 2 x 1 and 2 x .5^2 = .5, scaled from 2.5 back to their sum of 4.
    weighting = DecayingWeights((2.0, 2.0), (1.0, 0.5))
    weighted = weighting(torch.tensor([1.0, 1.0]), 2.0)
    assert weighted.weights.tolist() == pytest.approx([2.0 * 1.6, 0.5 * 1.6])
    assert weighted.total.item() == pytest.approx(4.0)
    assert weighting(torch.ones(2), 0.0).weights.tolist() == [2.0, 2.0]


def test_decaying_weights_have_a_floor() -> None:
    weights = DecayingWeights((1.0, 1.0), (1.0, 0.01))(torch.ones(2), 50.0).weights
    assert (weights[1] / weights[0]).item() == pytest.approx(1e-3)


def test_uncertainty_weights_reach_one_over_twice_the_loss_of_a_rare_task() -> None:
    # Public code that clamps s at 0 or above can never weigh the rare task (1 / (2 x .01)) up.
    losses = torch.tensor([0.67, 0.01])
    weighting = UncertaintyWeights((1.0, 1.0))
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.05)
    for _ in range(2000):
        optimizer.zero_grad()
        weighting(losses, 0.0).total.backward()
        optimizer.step()
    weights = weighting(losses, 0.0).weights
    assert weights.numpy() == pytest.approx(1.0 / (2.0 * losses.numpy()), rel=1e-3)


def test_an_uncertainty_at_the_end_of_its_range_can_come_back() -> None:
    weighting = UncertaintyWeights((1.0,))
    with torch.no_grad():
        weighting.log_variances.fill_(100.0)
    weighting(torch.tensor([0.5]), 0.0).total.backward()
    assert weighting.log_variances.item() == 8.0
    assert weighting.log_variances.grad is not None
    assert weighting.log_variances.grad.item() > 0.1


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_the_total_falls_with_each_loss_and_passes_its_weight_as_gradient(name: str) -> None:
    weighting: Weighting = WEIGHTINGS[name]((1.0, 2.0, 0.0), (1.0, 0.9, 0.8))
    losses = torch.tensor([0.5, 0.2, 0.1], requires_grad=True)
    weighted = weighting(losses, 1.5)
    weighted.total.backward()
    assert losses.grad is not None
    assert np.array_equal(losses.grad.numpy(), weighted.weights.numpy())
    assert weighted.weights[2].item() == 0.0
