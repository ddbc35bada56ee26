"""The multi-task loss: one cross-entropy per task, each over that task's sample space."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from typing_extensions import override

__all__ = ["FixedWeights", "TaskLosses", "multi_task_loss"]


@dataclass(frozen=True)
class TaskLosses:
    """The total that is minimised, and its parts before they are weighted."""

    total: Tensor  # ()
    per_task: Tensor  # (tasks,), nats a row


def multi_task_loss(
    logits: Tensor, targets: Tensor, mask: Tensor, task_weights: Tensor
) -> TaskLosses:
    """L = sum_k omega_k L_k with L_k = sum_n m_nk l(z_nk, y_nk) / max(1, sum_n m_nk).

    l is the cross-entropy on logits, for 0/1 labels and for shares in [0, 1] alike.

    Args:
        logits: (batch, tasks).
        targets: (batch, tasks) in [0, 1].
        mask: (batch, tasks), bool or the weight of the row for the task; 0 leaves a row out, for
            a row outside a task's sample space must not pass as a negative one.
        task_weights: (tasks,) omega.
    """
    weights = mask.to(logits.dtype)  # (batch, tasks)
    # A weight of 0 times a NaN target is NaN, so a row left out must not carry its target along.
    targets = torch.where(weights > 0.0, targets, 0.0)
    losses = binary_cross_entropy_with_logits(logits, targets, reduction="none")
    per_task = (weights * losses).sum(dim=0) / weights.sum(dim=0).clamp(min=1.0)  # (tasks,)
    return TaskLosses(total=(task_weights * per_task).sum(), per_task=per_task)


class FixedWeights(nn.Module):
    """Task weights that never change.

    A weighting is a module called with the progress of fitting in [0, 1], so that others can decay
    with it or learn parameters.
    """

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    @override
    def forward(self, progress: float) -> Tensor:
        """The task weights (tasks,) at `progress` in [0, 1]."""
        return self.weights
