"""TD3+BC: TD3 with a penalty that keeps the actor near the logged actions."""

from typing import Any, ClassVar

import torch
from stable_baselines3 import TD3
from stable_baselines3.common.type_aliases import GymEnv, ReplayBufferSamples
from torch import Tensor
from typing_extensions import Unpack, override

from mtf_rl.agents.offline.batch_learning import BatchArguments, BatchLearning
from mtf_rl.agents.offline.config import BatchConfig, TD3BCConfig
from mtf_rl.agents.offline.losses import critic_loss, td3_bc_loss, td_target

__all__ = ["TD3BC"]


class TD3BC(BatchLearning, TD3):
    """TD3+BC (Fujimoto and Gu, "A Minimalist Approach to Offline RL", NeurIPS 2021).

    The critics' target is TD3's: y = r + gamma (1 - terminated) min_j Q'_j(s', clip(pi'(s') +
    noise)). The actor minimises -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2, with lambda =
    alpha / mean |Q_1|. If rewards have a large mean, |Q| mostly measures that mean and not the
    effect of actions, so alpha has to be larger than in the paper.

    Unlike the paper, we use by default alpha 10 (2.5 in the paper), gamma 0.95 (0.99), hidden
    layers of 64 units (256) and learning rate 1e-3 (3e-4), and we divide rewards by their standard
    deviation.
    """

    settings: ClassVar[type[BatchConfig]] = TD3BCConfig

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        alpha: float = TD3BCConfig.alpha,
        policy_delay: int = 2,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        **common: Unpack[BatchArguments],
    ) -> None:
        self.alpha = alpha
        own = {
            "policy_delay": policy_delay,
            "target_policy_noise": target_policy_noise,
            "target_noise_clip": target_noise_clip,
        }
        super().__init__(policy, env, own=own, **common)

    @override
    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        self._begin_update([self.actor.optimizer, self.critic.optimizer])
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            values = self.critic(batch.observations, batch.actions)
            loss = critic_loss(values, self._target(batch))
            self._step(self.critic.optimizer, loss)
            self.logger.record_mean("train/critic_loss", loss.item())
            if self._n_updates % self.policy_delay == 0:
                self._update_actor(batch)
                self._follow(self.critic, self.critic_target)
                self._follow(self.actor, self.actor_target)

    def _target(self, batch: ReplayBufferSamples) -> Tensor:
        with torch.no_grad():
            noise = torch.randn_like(batch.actions) * self.target_policy_noise
            noise = noise.clamp(-self.target_noise_clip, self.target_noise_clip)
            actions = (self.actor_target(batch.next_observations) + noise).clamp(-1.0, 1.0)
            next_values = torch.stack(self.critic_target(batch.next_observations, actions))
            return td_target(batch.rewards, batch.dones, next_values.amin(dim=0), self.gamma)

    def _update_actor(self, batch: ReplayBufferSamples) -> None:
        actions = self.actor(batch.observations)
        values = self.critic.q1_forward(batch.observations, actions)
        loss = td3_bc_loss(values, actions, batch.actions, alpha=self.alpha)
        self._step(self.actor.optimizer, loss.total)
        self.logger.record_mean("train/actor_loss", loss.total.item())
        self.logger.record_mean("train/cloning_loss", loss.cloning.item())
        self.logger.record_mean("train/value", loss.value.item())
