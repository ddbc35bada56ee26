"""TD3+BC: TD3 whose actor is held near the logged actions."""

from typing import Any

import torch
from stable_baselines3 import TD3
from stable_baselines3.common.type_aliases import GymEnv, ReplayBufferSamples, Schedule
from torch import Tensor
from typing_extensions import override

from mtf_rl.agents.offline.batch_learning import BatchLearning, batch_policy_kwargs, spaces_of
from mtf_rl.agents.offline.losses import critic_loss, td3_bc_loss, td_target
from mtf_rl.data import Transitions

__all__ = ["TD3BC"]


class TD3BC(BatchLearning, TD3):
    """TD3+BC (Fujimoto and Gu, "A Minimalist Approach to Offline RL", NeurIPS 2021).

    The critics are TD3's: y = r + gamma (1 - terminated) min_j Q'_j(s', clip(pi'(s') + noise)).
    The actor minimises -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2, with lambda = alpha / mean
    |Q_1|. Where rewards have a large mean, |Q| measures that mean rather than what actions change,
    so that alpha has to be larger than the paper's 2.5.
    """

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        dataset: Transitions | None = None,
        alpha: float = 2.5,
        learning_rate: float | Schedule = 3e-4,
        batch_size: int = 256,
        gamma: float = 0.99,
        tau: float = 0.005,
        policy_delay: int = 2,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        reward_scale: float = 1.0,
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        self._dataset = dataset
        self.reward_scale = reward_scale
        self.alpha = alpha
        super().__init__(
            policy,
            spaces_of(env, dataset),  # type: ignore[arg-type]
            learning_rate,
            buffer_size=1,
            learning_starts=0,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            policy_delay=policy_delay,
            target_policy_noise=target_policy_noise,
            target_noise_clip=target_noise_clip,
            policy_kwargs=batch_policy_kwargs(policy_kwargs),
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

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
