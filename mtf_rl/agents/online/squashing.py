"""A penalty that keeps an actor's tanh from saturating."""

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

__all__ = ["SquashingPenalty"]


class SquashingPenalty(nn.Module):
    """The identity, with the gradient of a penalty on its inputs.

    Before an actor's tanh it adds strength / 2 * mean over the batch of sum x^2 to the actor's
    loss, where x is the pre-activation. If |x| is large, the derivative of tanh is about 0, and the
    critic's gradient cannot move the actor. Fusion weights have their optimum near corners of the
    box, where the order of candidates depends on the ratio of small weights. Unlike the TD3 paper,
    we add this term.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        penalised: Tensor = _Penalised.apply(inputs, self.strength)  # type: ignore[no-untyped-call]
        return penalised  # (batch, action_dim)


class _Penalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, strength: float) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.strength = strength
        return inputs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inputs,) = ctx.saved_tensors
        return gradients[0] + ctx.strength * inputs / len(inputs), None
