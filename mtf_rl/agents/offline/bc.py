"""Behaviour cloning, the baseline that batch RL has to beat."""

from typing import ClassVar

import torch.nn.functional as F
from stable_baselines3 import TD3
from typing_extensions import override

from mtf_rl.agents.offline.batch_learning import BatchLearning
from mtf_rl.agents.offline.config import BatchConfig, BCConfig

__all__ = ["BC"]


class BC(BatchLearning, TD3):
    """Least-squares regression of the logged action on the observation.

    It minimises mean (pi(s) - a)^2, so pi(s) estimates the mean logged action at s. It uses SB3's
    TD3, whose critics are not trained.
    """

    settings: ClassVar[type[BatchConfig]] = BCConfig

    @override
    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        self._begin_update([self.actor.optimizer])
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            loss = F.mse_loss(self.actor(batch.observations), batch.actions)
            self._step(self.actor.optimizer, loss)
            self.logger.record_mean("train/cloning_loss", loss.item())
