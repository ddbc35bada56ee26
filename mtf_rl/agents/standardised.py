"""A features extractor that standardises observations with statistics frozen after warm-up."""

import numpy as np
import torch
from gymnasium import Space
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.standardisation import Standardisation

__all__ = ["StandardisedObservation", "freeze_statistics", "standardisation_of"]


class StandardisedObservation(BaseFeaturesExtractor):
    """(observation - mean) / scale; both are buffers of the policy and are saved with it.

    They start as 0 and 1 and are set once, from the observations of the warm-up. Moving statistics
    would change the meaning of stored transitions.
    """

    def __init__(self, observation_space: Space[FloatArray]) -> None:
        width = int(np.prod(observation_space.shape or ()))
        super().__init__(observation_space, features_dim=width)
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @override
    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return (observations - self.mean) / self.scale  # (batch, obs_dim)


def freeze_statistics(model: BaseAlgorithm, observations: FloatArray) -> None:
    """Set mean and scale of every extractor of `model` from observations (rows, obs_dim)."""
    standard = Standardisation.of(observations)
    for module in model.policy.modules():
        if isinstance(module, StandardisedObservation):
            module.mean.copy_(torch.from_numpy(standard.mean))
            module.scale.copy_(torch.from_numpy(standard.scale))


def standardisation_of(model: BaseAlgorithm) -> tuple[FloatArray, FloatArray]:
    """Mean and scale, each (obs_dim,), of the model's extractors."""
    extractors = [m for m in model.policy.modules() if isinstance(m, StandardisedObservation)]
    return extractors[0].mean.cpu().numpy().copy(), extractors[0].scale.cpu().numpy().copy()
