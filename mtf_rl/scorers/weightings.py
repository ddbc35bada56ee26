"""How the losses of tasks become the one number that is minimised.

A weighting is a module that is called with the losses of a batch. It may hold parameters of its
own, which are fitted with the model. A gradient method (GradNorm, PCGrad, MGDA) fits the same
call: it finds its weights from the gradients of `per_task` at `shared` and holds them constant.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from mtf_rl.core.registry import Registry

__all__ = [
    "WEIGHTINGS",
    "DecayingWeights",
    "FixedWeights",
    "UncertaintyWeights",
    "WeightedLoss",
    "Weighting",
]

LEAST_WEIGHT = 1e-3
LOG_VARIANCE_RANGE = (-8.0, 8.0)


@dataclass(frozen=True)
class WeightedLoss:
    """The objective, and the weights by which it adds up the tasks."""

    total: Tensor  # ()
    weights: Tensor  # (tasks,)


class Weighting(nn.Module, ABC):
    """Losses per task in, one objective out."""

    @override
    @abstractmethod
    def forward(self, per_task: Tensor, epoch: float, shared: Tensor | None = None) -> WeightedLoss:
        """The objective of losses `per_task` (tasks,).

        Args:
            per_task: (tasks,) with gradients.
            epoch: passes over the training rows so far, a real number from 0.
            shared: what all tasks read, for methods that look at gradients.
        """


class FixedWeights(Weighting):
    """L = sum_k omega_k L_k."""

    def __init__(self, weights: tuple[float, ...], decay: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

    @override
    def forward(self, per_task: Tensor, epoch: float, shared: Tensor | None = None) -> WeightedLoss:
        return WeightedLoss((self.weights * per_task).sum(), self.weights)


class DecayingWeights(Weighting):
    """L = sum_k omega_k(t) L_k with omega_k(t) proportional to omega_k0 gamma_k^t.

    Source: Tang et al. 2020 (PLE), equation 10; equation 2 of Wang et al., "Multi-task deep
    recommender systems: a survey", 2023 (arXiv 2302.03525).
    Differs from the paper: t is in epochs, a real number, weights are kept above 0.001 of their
    start, and their sum stays what it was, so that decay shifts attention without slowing down.
    """

    def __init__(self, weights: tuple[float, ...], decay: tuple[float, ...]) -> None:
        super().__init__()
        self.start: Tensor
        self.register_buffer("start", torch.tensor(weights, dtype=torch.float32))
        self.decay: Tensor
        self.register_buffer("decay", torch.tensor(decay, dtype=torch.float32))

    @override
    def forward(self, per_task: Tensor, epoch: float, shared: Tensor | None = None) -> WeightedLoss:
        decayed = self.start * (self.decay**epoch).clamp(min=LEAST_WEIGHT)
        weights = decayed * self.start.sum() / decayed.sum()
        return WeightedLoss((weights * per_task).sum(), weights)


class UncertaintyWeights(Weighting):
    """L = sum_k omega_k e^(-s_k) L_k + s_k / 2 with s_k = log sigma_k^2 learnt.

    Source: Kendall et al., "Multi-task learning using uncertainty to weigh losses", CVPR 2018,
    equation 10 for classification. At the optimum e^(-s_k) = 1 / (2 omega_k L_k), however small the
    loss of a rare task is. Differs from the paper: omega_k are prior weights, and s is kept in
    [-8, 8] by clamping it after each step, not inside the objective, where its gradient would die.
    A density's negative log likelihood (`watch_head` other than `fraction`) may fall below 0, where
    that bound is all that holds s.
    """

    def __init__(self, weights: tuple[float, ...], decay: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.start: Tensor
        self.register_buffer("start", torch.tensor(weights, dtype=torch.float32))
        self.log_variances = nn.Parameter(torch.zeros(len(weights)))

    @override
    def forward(self, per_task: Tensor, epoch: float, shared: Tensor | None = None) -> WeightedLoss:
        with torch.no_grad():
            self.log_variances.clamp_(*LOG_VARIANCE_RANGE)
        weights = self.start * torch.exp(-self.log_variances)
        total = (weights * per_task).sum() + 0.5 * self.log_variances.sum()
        return WeightedLoss(total, weights.detach())


WEIGHTINGS: Registry[Callable[[tuple[float, ...], tuple[float, ...]], Weighting]] = Registry(
    "weighting",
    {"fixed": FixedWeights, "decaying": DecayingWeights, "uncertainty": UncertaintyWeights},
)
