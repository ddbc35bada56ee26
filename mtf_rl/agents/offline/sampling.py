"""Minibatches of a fixed dataset, with the interface of SB3's replay buffer."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.data import Transitions

__all__ = ["TransitionSampler"]


class TransitionSampler:
    """Draws transitions uniformly with replacement, with its own generator.

    SB3's buffer draws from NumPy's global generator, which other parts of a program also use.

    Args:
        dataset: the transitions.
        reward_scale: factor on every reward, above 0.
        seed: seed of the draws.
        device: torch device of the tensors.
    """

    def __init__(
        self, dataset: Transitions, *, reward_scale: float, seed: int, device: torch.device
    ) -> None:
        def tensor(values: FloatArray | BoolArray) -> Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float32), device=device)

        self.generator = torch.Generator().manual_seed(seed)
        self.observations = tensor(dataset.observations)  # (rows, obs_dim)
        self._actions = tensor(dataset.actions)  # (rows, action_dim)
        self._next_observations = tensor(dataset.next_observations)  # (rows, obs_dim)
        # Only terminated sessions stop bootstrapping; truncated sessions bootstrap from their end.
        self._dones = tensor(dataset.terminated)[:, None]  # (rows, 1)
        self._rewards = tensor(dataset.rewards)[:, None] * reward_scale  # (rows, 1)

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """Draw `batch_size` transitions; `env`, SB3's normaliser, is not used."""
        rows = torch.randint(len(self._rewards), (batch_size,), generator=self.generator)
        rows = rows.to(self._rewards.device)
        return ReplayBufferSamples(
            observations=self.observations[rows],
            actions=self._actions[rows],
            next_observations=self._next_observations[rows],
            dones=self._dones[rows],
            rewards=self._rewards[rows],
        )
