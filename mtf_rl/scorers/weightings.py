"""Loss weightings: combine the tasks' losses into one objective.

A weighting is a module that is called with the losses of a batch. Its own parameters, if any, are
fitted with the model. A gradient method (GradNorm, PCGrad, MGDA) can use the same interface: it
computes weights from the gradients of `per_task` at `shared` and treats them as constants.
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

MIN_DECAY = 1e-3
LOG_VARIANCE_RANGE = (-8.0, 8.0)


@dataclass(frozen=True)
class WeightedLoss:
    """The objective, and the weight of each task in it."""

    total: Tensor  # ()
    weights: Tensor  # (tasks,)


class Weighting(nn.Module, ABC):
    """Maps the tasks' losses to one objective."""

    @override
    @abstractmethod
    def forward(self, per_task: Tensor, epoch: float, shared: Tensor | None = None) -> WeightedLoss:
        """The objective and the weights for one batch.

        Args:
            per_task: (tasks,) losses with gradients.
            epoch: number of passes over the training rows so far, a real number from 0.
            shared: representation that all tasks share, for methods that use gradients.
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
    Unlike the paper, we measure t in epochs (a real number), keep gamma_k^t at or above 0.001, and
    keep the sum of the weights constant, so that decay does not lower the effective learning rate.
    """

    def __init__(self, weights: tuple[float, ...], decay: tuple[float, ...]) -> None:
        super().__init__()
        self.start: Tensor
        self.register_buffer("start", torch.tensor(weights, dtype=torch.float32))
        self.decay: Tensor
        self.register_buffer("decay", torch.tensor(decay, dtype=torch.float32))

    @override
    def forward(self, per_task: Tensor, epoch: float, shared: Tensor | None = None) -> WeightedLoss:
        decayed = self.start * (self.decay**epoch).clamp(min=MIN_DECAY)
        weights = decayed * self.start.sum() / decayed.sum()
        return WeightedLoss((weights * per_task).sum(), weights)


class UncertaintyWeights(Weighting):
    """L = sum_k omega_k e^(-s_k) L_k + s_k / 2 with trainable s_k = log sigma_k^2.

    Source: Kendall et al., "Multi-task learning using uncertainty to weigh losses", CVPR 2018,
    equation 10 for classification. At the optimum e^(-s_k) = 1 / (2 omega_k L_k), so rare tasks
    with small losses get large weights. Unlike the paper, we use prior weights omega_k and keep s
    in [-8, 8]. The parameter itself is clamped at each call: clamping inside the objective would
    set its gradient to 0. The bound matters where a loss can be negative, as the negative log
    likelihood of a density (`watch_head="log_normal"`) can.
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
