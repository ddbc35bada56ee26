"""IQL: values of the dataset's better actions, without evaluating actions outside it."""

import math
from typing import Any, ClassVar

import torch
from stable_baselines3 import TD3
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, ReplayBufferSamples
from stable_baselines3.common.utils import update_learning_rate
from torch import Tensor
from typing_extensions import Unpack, override

from mtf_rl.agents.offline.batch_learning import BatchArguments, BatchLearning
from mtf_rl.agents.offline.config import BatchConfig, IQLConfig
from mtf_rl.agents.offline.gaussian import IQLPolicy
from mtf_rl.agents.offline.losses import (
    advantage_weights,
    critic_loss,
    expectile_loss,
    td_target,
)

__all__ = ["IQL"]


class IQL(BatchLearning, TD3):
    """Implicit Q-learning (Kostrikov, Nair and Levine, ICLR 2022).

    V is the tau-expectile of min_j Q'_j(s, a) over logged actions (eq. 5). The target of Q is
    r + gamma (1 - terminated) V(s') (eq. 6). The actor maximises the log density of logged actions,
    weighted by min(exp(beta (min_j Q'_j - V)), 100) (eq. 7). Updates are in the authors' order: V,
    actor, Q, targets. The actor's learning rate decays to 0 with a cosine schedule, as in the
    authors' code. `beta` is per standard deviation of the reward, unless `reward_scale` is given.

    Unlike the paper, we use by default beta 10 (3 in the paper, 10 on AntMaze), gamma 0.95 (0.99)
    and hidden layers of 64 units (256), and we divide rewards by their standard deviation.
    """

    settings: ClassVar[type[BatchConfig]] = IQLConfig

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": IQLPolicy}

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        expectile: float = IQLConfig.expectile,
        beta: float = IQLConfig.beta,
        max_weight: float = 100.0,
        cosine_actor: bool = True,
        **common: Unpack[BatchArguments],
    ) -> None:
        self.expectile = expectile
        self.beta = beta
        self.max_weight = max_weight
        self.cosine_actor = cosine_actor
        super().__init__(policy, env, **common)

    @override
    def _create_aliases(self) -> None:
        super()._create_aliases()
        self.value: Any = self.policy.value

    @override
    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        self._begin_update([self.actor.optimizer, self.critic.optimizer, self.value.optimizer])
        if self.cosine_actor:
            passed = 1.0 - self._current_progress_remaining
            rate = self.lr_schedule(self._current_progress_remaining)
            rate *= 0.5 * (1.0 + math.cos(math.pi * passed))
            update_learning_rate(self.actor.optimizer, rate)
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            with torch.no_grad():
                targets = torch.stack(self.critic_target(batch.observations, batch.actions))
                logged_values = targets.amin(dim=0)
            self._update_value(batch, logged_values)
            self._update_actor(batch, logged_values)
            self._update_critic(batch)
            self._follow(self.critic, self.critic_target)

    def _update_value(self, batch: ReplayBufferSamples, logged_values: Tensor) -> None:
        loss = expectile_loss(logged_values - self.value(batch.observations), self.expectile)
        self._step(self.value.optimizer, loss)
        self.logger.record_mean("train/value_loss", loss.item())

    def _update_actor(self, batch: ReplayBufferSamples, logged_values: Tensor) -> None:
        actor: Any = self.actor
        with torch.no_grad():
            advantages = logged_values - self.value(batch.observations)
        weights = advantage_weights(advantages, self.beta, self.max_weight)
        loss = -(weights * actor.log_density(batch.observations, batch.actions)).mean()
        self._step(self.actor.optimizer, loss)
        actor.keep_inside()
        self.logger.record_mean("train/actor_loss", loss.item())
        self.logger.record_mean("train/advantage_weight", weights.mean().item())

    def _update_critic(self, batch: ReplayBufferSamples) -> None:
        with torch.no_grad():
            next_values = self.value(batch.next_observations)
        target = td_target(batch.rewards, batch.dones, next_values, self.gamma)
        loss = critic_loss(self.critic(batch.observations, batch.actions), target)
        self._step(self.critic.optimizer, loss)
        self.logger.record_mean("train/critic_loss", loss.item())

    @override
    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "value"]

    @override
    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return [*state_dicts, "value.optimizer"], variables
