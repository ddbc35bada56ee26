"""The loss of fitted Q evaluation, plain and conservative."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["FQEBatch", "FQELoss", "QFunction", "fqe_loss"]

QFunction: TypeAlias = Callable[[Tensor], Tensor]
"""Q (batch, 1) of inputs (batch, obs_dim + action_dim), an observation joined with an action."""


@dataclass(frozen=True)
class FQEBatch:
    """Transitions with the actions that the policy would take."""

    inputs: Tensor  # (batch, obs_dim + action_dim), s and the logged a
    rewards: Tensor  # (batch,)
    next_inputs: Tensor  # (batch, obs_dim + action_dim), s' and policy(s')
    onward: Tensor  # (batch,), gamma (1 - terminated)
    policy_inputs: Tensor | None = None  # (batch, ...), s and policy(s); only for the penalty


@dataclass(frozen=True)
class FQELoss:
    """Parts of the loss; total = td + alpha * penalty."""

    total: Tensor
    td: Tensor
    penalty: Tensor  # mean Q(s, policy(s)) - mean Q(s, a); 0 if alpha is 0


def fqe_loss(q: QFunction, target_q: QFunction, batch: FQEBatch, *, alpha: float = 0.0) -> FQELoss:
    """1/2 mean (Q(s, a) - y)^2 + alpha (mean Q(s, policy(s)) - mean Q(s, a)).

    The target y = r + gamma (1 - terminated) Q'(s', policy(s')) has no gradient.

    Source: fitted Q evaluation, Le, Voloshin and Yue, "Batch policy learning under constraints",
    ICML 2019, Algorithm 3; the penalty: BatchRL-MTF, Algorithm 2 (see `CONSERVATIVE_OPESTIMATOR`).
    The penalty's formula is missing in the copy of the paper that we read; its text names Q at the
    policy's action, Q at the logged action, and the weight alpha. We use the penalty of
    conservative Q-learning (Kumar et al., NeurIPS 2020), applied to the evaluated policy.
    """
    with torch.no_grad():
        target = batch.rewards + batch.onward * target_q(batch.next_inputs).squeeze(1)  # (batch,)
    values = q(batch.inputs).squeeze(1)  # (batch,)
    td = 0.5 * (values - target).square().mean()
    if batch.policy_inputs is None or alpha == 0.0:
        return FQELoss(total=td, td=td, penalty=torch.zeros(()))
    penalty = q(batch.policy_inputs).mean() - values.mean()
    return FQELoss(total=td + alpha * penalty, td=td, penalty=penalty)
