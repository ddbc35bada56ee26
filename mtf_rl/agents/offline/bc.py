"""Behaviour cloning: the floor that batch RL has to beat."""

from typing import Any

import torch.nn.functional as F
from stable_baselines3 import TD3
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from typing_extensions import override

from mtf_rl.agents.offline.batch_learning import BatchLearning, batch_policy_kwargs, spaces_of
from mtf_rl.data import Transitions

__all__ = ["BC"]


class BC(BatchLearning, TD3):
    """The logged action as a function of the observation, by least squares.

    mean (pi(s) - a)^2: pi(s) learns the mean of the actions logged at s. It stands on SB3's TD3,
    whose critics stay as they were drawn.
    """

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        dataset: Transitions | None = None,
        learning_rate: float | Schedule = 3e-4,
        batch_size: int = 256,
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        self._dataset = dataset
        self.reward_scale = 1.0
        super().__init__(
            policy,
            spaces_of(env, dataset),  # type: ignore[arg-type]
            learning_rate,
            buffer_size=1,
            learning_starts=0,
            batch_size=batch_size,
            policy_kwargs=batch_policy_kwargs(policy_kwargs),
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    @override
    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        self._begin_update([self.actor.optimizer])
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            loss = F.mse_loss(self.actor(batch.observations), batch.actions)
            self._step(self.actor.optimizer, loss)
            self.logger.record_mean("train/cloning_loss", loss.item())
