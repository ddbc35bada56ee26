"""The loss of fitted Q evaluation as a pure function, with its arithmetic in view."""

import pytest
import torch
from torch import Tensor

from mtf_rl.evaluation.fitted_q import FQEBatch, fqe_loss


def q(inputs: Tensor) -> Tensor:
    """Q(s, a) = 2 s + a."""
    return inputs @ torch.tensor([[2.0], [1.0]])


def target_q(inputs: Tensor) -> Tensor:
    """Q'(s, a) = 10 s."""
    return inputs @ torch.tensor([[10.0], [0.0]])


def batch(policy_inputs: Tensor | None = None) -> FQEBatch:
    """Two rows; after the second all reward ends."""
    return FQEBatch(
        inputs=torch.tensor([[1.0, 0.5], [0.0, 1.0]]),  # Q = 2.5, 1
        rewards=torch.tensor([1.0, -1.0]),
        next_inputs=torch.tensor([[0.2, 0.0], [7.0, 7.0]]),  # Q' = 2, not read
        onward=torch.tensor([0.5, 0.0]),
        policy_inputs=policy_inputs,
    )


def test_plain_loss_worked() -> None:
    """y = (1 + .5 * 2, -1) = (2, -1); 1/2 mean (.5^2, 2^2) = 1.0625."""
    loss = fqe_loss(q, target_q, batch())
    assert float(loss.total) == float(loss.td) == pytest.approx(1.0625)
    assert float(loss.penalty) == 0.0


def test_conservative_loss_worked() -> None:
    """Q at the policy: 2 * 1 + 1 = 3 and 0; penalty = 1.5 - (2.5 + 1) / 2 = -.25."""
    at_policy = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    loss = fqe_loss(q, target_q, batch(at_policy), alpha=2.0)
    assert float(loss.penalty) == pytest.approx(-0.25)
    assert float(loss.td) == pytest.approx(1.0625)
    assert float(loss.total) == pytest.approx(1.0625 - 0.5)


def test_no_gradient_flows_through_the_target() -> None:
    weight = torch.tensor([[2.0], [1.0]], requires_grad=True)

    def learnt(inputs: Tensor) -> Tensor:
        return inputs @ weight

    fqe_loss(learnt, learnt, batch()).total.backward()  # type: ignore[no-untyped-call]
    # y = (1 + 0.5 * 0.4, -1); the mean of (2.5 - 1.2) (1, 0.5) and (1 + 1) (0, 1).
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([[0.65], [1.325]]))
