"""The loss of fitted Q evaluation, plain and conservative."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["FQEBatch", "FQELoss", "QFunction", "fqe_loss"]

QFunction: TypeAlias = Callable[[Tensor], Tensor]
"""Q (batch, 1) of inputs (batch, obs_dim + action_dim): an observation beside an action."""


@dataclass(frozen=True)
class FQEBatch:
    """Transitions with the actions that the policy would take."""

    inputs: Tensor  # (batch, obs_dim + action_dim), s beside the logged a
    rewards: Tensor  # (batch,)
    next_inputs: Tensor  # (batch, obs_dim + action_dim), s' beside policy(s')
    onward: Tensor  # (batch,), gamma (1 - terminated)
    policy_inputs: Tensor | None = None  # (batch, ...), s beside policy(s); of the penalty alone


@dataclass(frozen=True)
class FQELoss:
    """Named parts; total = td + alpha * penalty."""

    total: Tensor
    td: Tensor
    penalty: Tensor  # mean Q(s, policy(s)) - mean Q(s, a); 0 where it is not asked for


def fqe_loss(q: QFunction, target_q: QFunction, batch: FQEBatch, *, alpha: float = 0.0) -> FQELoss:
    """1/2 mean (Q(s, a) - y)^2 + alpha (mean Q(s, policy(s)) - mean Q(s, a)).

    y = r + gamma (1 - terminated) Q'(s', policy(s')), through which no gradient flows.

    Source: fitted Q evaluation, Le, Voloshin and Yue, "Batch policy learning under constraints",
    ICML 2019, Algorithm 3; the penalty: BatchRL-MTF, Algorithm 2 (see `CONSERVATIVE_OPESTIMATOR`).
    Differs from the paper: the image of the penalty is lost in the copy that was read. The words
    around it give its ingredients, Q at the policy's and at the logged action, and its weight
    alpha; the form is the penalty of conservative Q-learning (Kumar et al., NeurIPS 2020) with
    the evaluated policy as the one whose Q is held down.
    """
    with torch.no_grad():
        target = batch.rewards + batch.onward * target_q(batch.next_inputs).squeeze(1)  # (batch,)
    values = q(batch.inputs).squeeze(1)  # (batch,)
    td = 0.5 * (values - target).square().mean()
    if batch.policy_inputs is None or alpha == 0.0:
        return FQELoss(total=td, td=td, penalty=torch.zeros(()))
    penalty = q(batch.policy_inputs).mean() - values.mean()
    return FQELoss(total=td + alpha * penalty, td=td, penalty=penalty)
