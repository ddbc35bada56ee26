"""AWAC: an actor that clones logged actions, weighted by their advantage over its own actions."""

from typing import Any, ClassVar

import torch
from stable_baselines3 import TD3
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, ReplayBufferSamples
from typing_extensions import Unpack, override

from mtf_rl.agents.offline.batch_learning import BatchArguments, BatchLearning
from mtf_rl.agents.offline.config import AWACConfig, BatchConfig
from mtf_rl.agents.offline.gaussian import GaussianPolicy
from mtf_rl.agents.offline.losses import critic_loss, softmax_weights, td_target

__all__ = ["AWAC"]


class AWAC(BatchLearning, TD3):
    """Advantage-weighted actor-critic (Nair, Gupta, Dalal and Levine, 2020).

    The critics' target is r + gamma (1 - terminated) min_j Q'_j(s', a'), with a' drawn from the
    actor. The actor maximises the log density of logged actions, weighted by exp(A / temperature),
    with A = min_j Q_j(s, a) - min_j Q_j(s, a_pi) and a_pi drawn from the actor (eq. 13). The
    weights are a softmax over the minibatch, which bounds them.

    Unlike the paper, we use by default a temperature of 0.1 standard deviations of the reward (1
    reward unit in the paper), gamma 0.95 (0.99) and hidden layers of 64 units (256).
    """

    settings: ClassVar[type[BatchConfig]] = AWACConfig

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": GaussianPolicy}

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        temperature: float = AWACConfig.temperature,
        **common: Unpack[BatchArguments],
    ) -> None:
        self.temperature = temperature
        stds = {"log_std_bounds": (-6.0, 0.0)}
        common["policy_kwargs"] = stds | (common.get("policy_kwargs") or {})
        super().__init__(policy, env, **common)

    @override
    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        self._begin_update([self.actor.optimizer, self.critic.optimizer])
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            self._update_critic(batch)
            self._update_actor(batch)
            self._follow(self.critic, self.critic_target)

    def _update_critic(self, batch: ReplayBufferSamples) -> None:
        actor: Any = self.actor
        with torch.no_grad():
            next_actions = actor.draw(batch.next_observations)
            next_values = torch.stack(self.critic_target(batch.next_observations, next_actions))
        target = td_target(batch.rewards, batch.dones, next_values.amin(dim=0), self.gamma)
        loss = critic_loss(self.critic(batch.observations, batch.actions), target)
        self._step(self.critic.optimizer, loss)
        self.logger.record_mean("train/critic_loss", loss.item())

    def _update_actor(self, batch: ReplayBufferSamples) -> None:
        actor: Any = self.actor
        with torch.no_grad():
            own = actor.draw(batch.observations)
            logged = torch.stack(self.critic(batch.observations, batch.actions)).amin(dim=0)
            baseline = torch.stack(self.critic(batch.observations, own)).amin(dim=0)
        weights = softmax_weights(logged - baseline, self.temperature)
        loss = -(weights * actor.log_density(batch.observations, batch.actions)).mean()
        self._step(self.actor.optimizer, loss)
        actor.keep_inside()
        self.logger.record_mean("train/actor_loss", loss.item())
        self.logger.record_mean("train/largest_weight", weights.max().item())
