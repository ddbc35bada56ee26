"""CQL(H): critics with a penalty on the values of actions outside the dataset."""

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from stable_baselines3 import SAC
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.type_aliases import GymEnv, ReplayBufferSamples
from stable_baselines3.common.utils import update_learning_rate
from torch import Tensor
from typing_extensions import Unpack, override

from mtf_rl.agents.offline.batch_learning import BatchArguments, BatchLearning
from mtf_rl.agents.offline.config import BatchConfig, CQLConfig
from mtf_rl.agents.offline.losses import conservative_gap, critic_loss, td_target

__all__ = ["CQL", "squashed_samples", "values_of_samples"]

_MAX_WEIGHT = 1e6


class CQL(BatchLearning, SAC):
    """Conservative Q-learning, CQL(H) (Kumar, Zhou, Tucker and Levine, NeurIPS 2020).

    The critics minimise

        sum_j [mean (Q_j - y)^2 + w (log integral exp Q_j(s, a) da - mean Q_j(s, a))].

    The integral is estimated by importance sampling with `n_action_samples` actions from each of
    three distributions: uniform, the actor at s and the actor at s' (appendix F). The target is
    y = r + gamma (1 - terminated) min_j Q'_j(s', a'), without entropy, with a' drawn from the
    actor. The actor is SAC's. With `alpha_threshold`, the weight w is a Lagrange multiplier that
    keeps each gap at the threshold (eq. 30).

    Unlike the paper, whose eq. 4 halves the squared error, we use the scale of the public
    implementations: our w is twice the paper's alpha. Their usual weight is 5; ours is 0.05 by
    default, for rewards divided by their standard deviation. Other defaults that differ: 4 samples
    (10 in the paper), gamma 0.95 (0.99) and hidden layers of 64 units (256).
    """

    settings: ClassVar[type[BatchConfig]] = CQLConfig

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        conservative_weight: float = CQLConfig.conservative_weight,
        alpha_threshold: float | None = CQLConfig.alpha_threshold,
        n_action_samples: int = CQLConfig.n_action_samples,
        actor_learning_rate: float = CQLConfig.actor_learning_rate,
        ent_coef: str | float = "auto",
        **common: Unpack[BatchArguments],
    ) -> None:
        self.conservative_weight = conservative_weight
        self.alpha_threshold = alpha_threshold
        self.n_action_samples = n_action_samples
        self.actor_learning_rate = actor_learning_rate
        super().__init__(policy, env, own={"ent_coef": ent_coef}, **common)

    @override
    def _setup_model(self) -> None:
        super()._setup_model()
        self.log_weight = torch.tensor(
            math.log(max(self.conservative_weight, 1e-8)), device=self.device, requires_grad=True
        )
        rate = self.lr_schedule(1)
        self.weight_optimizer = torch.optim.Adam([self.log_weight], lr=rate)

    @override
    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        self._begin_update([self.critic.optimizer, self.weight_optimizer])
        update_learning_rate(self.actor.optimizer, self.actor_learning_rate)
        if self.ent_coef_optimizer is not None:
            update_learning_rate(self.ent_coef_optimizer, self.actor_learning_rate)
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            self._update_critic(batch)
            self._update_actor(batch)
            self._follow(self.critic, self.critic_target)

    def _update_critic(self, batch: ReplayBufferSamples) -> None:
        with torch.no_grad():
            actor_now = self.actor.get_action_dist_params(batch.observations)[:2]
            actor_next = self.actor.get_action_dist_params(batch.next_observations)[:2]
            actions, log_densities = self._samples(actor_now, actor_next)
            next_actions = squashed_samples(*actor_next, 1)[0][:, 0]  # (batch, action_dim)
            next_values = torch.stack(self.critic_target(batch.next_observations, next_actions))
        target = td_target(batch.rewards, batch.dones, next_values.amin(dim=0), self.gamma)
        logged = self.critic(batch.observations, batch.actions)
        sampled = values_of_samples(self.critic, batch.observations, actions)
        gaps = [
            conservative_gap(values, log_densities, logged_values)
            for values, logged_values in zip(sampled, logged, strict=True)
        ]
        td = critic_loss(logged, target)
        gap = torch.stack(gaps).sum()
        self._step(self.critic.optimizer, td + self._penalty(gap, len(gaps)))
        self.logger.record_mean("train/critic_loss", td.item())
        self.logger.record_mean("train/conservative_gap", gap.item() / len(gaps))
        self.logger.record_mean("train/logged_value", logged[0].mean().item())

    def _samples(
        self, actor_now: tuple[Tensor, Tensor], actor_next: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Actions (batch, 3 * samples, action_dim), and their log densities."""
        batch, width = actor_now[0].shape
        uniform = torch.rand(batch, self.n_action_samples, width, device=self.device) * 2.0 - 1.0
        flat = torch.full(
            (batch, self.n_action_samples), -width * math.log(2.0), device=self.device
        )
        own, own_density = squashed_samples(*actor_now, self.n_action_samples)
        next_own, next_density = squashed_samples(*actor_next, self.n_action_samples)
        return (
            torch.cat([uniform, own, next_own], dim=1),
            torch.cat([flat, own_density, next_density], dim=1),
        )

    def _penalty(self, gap: Tensor, critics: int) -> Tensor:
        """The weighted gap; with a threshold, the weight first does a gradient step."""
        if self.alpha_threshold is None:
            return self.conservative_weight * gap
        excess = gap - critics * self.alpha_threshold
        weight = self.log_weight.exp().clamp(0.0, _MAX_WEIGHT)
        self._step(self.weight_optimizer, -weight * excess.detach())
        self.logger.record_mean("train/conservative_weight", weight.item())
        return weight.detach() * excess

    def _update_actor(self, batch: ReplayBufferSamples) -> None:
        actions, log_density = self.actor.action_log_prob(batch.observations)
        log_density = log_density.reshape(-1, 1)
        temperature = self._temperature(log_density)
        values = torch.stack(self.critic(batch.observations, actions)).amin(dim=0)
        loss = (temperature * log_density - values).mean()
        self._step(self.actor.optimizer, loss)
        self.logger.record_mean("train/actor_loss", loss.item())

    def _temperature(self, log_density: Tensor) -> Tensor:
        """SAC's temperature; if it is trained, it first does a step towards the target entropy."""
        if self.ent_coef_optimizer is None or self.log_ent_coef is None:
            return self.ent_coef_tensor
        temperature = self.log_ent_coef.detach().exp()
        excess = (log_density + float(self.target_entropy)).detach()
        self._step(self.ent_coef_optimizer, -(self.log_ent_coef * excess).mean())
        self.logger.record_mean("train/ent_coef", temperature.item())
        return temperature

    @override
    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return [*state_dicts, "weight_optimizer"], [*variables, "log_weight"]

    @override
    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "weight_optimizer", "log_weight"]


def squashed_samples(mean: Tensor, log_std: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Draw actions tanh(x), x ~ N(mean, std^2), with their log densities.

    log p(tanh x) = log N(x) - sum log(1 - tanh(x)^2). The last logarithm is computed as
    2 (log 2 - x - softplus(-2 x)), which stays accurate where 1 - tanh^2 is 0 in float32.

    Args:
        mean: mean of x, (batch, action_dim).
        log_std: log standard deviation of x, (batch, action_dim).
        samples: draws per row, at least 1.

    Returns:
        Actions (batch, samples, action_dim) and log densities (batch, samples).
    """
    noise = torch.randn(len(mean), samples, mean.shape[1], device=mean.device)
    inputs = mean[:, None] + log_std.exp()[:, None] * noise
    normal = -0.5 * noise**2 - log_std[:, None] - 0.5 * math.log(2.0 * math.pi)
    squash = 2.0 * (math.log(2.0) - inputs - F.softplus(-2.0 * inputs))
    return torch.tanh(inputs), (normal - squash).sum(dim=2)


def values_of_samples(
    critic: ContinuousCritic, observations: Tensor, actions: Tensor
) -> list[Tensor]:
    """Q values (batch, samples) of each critic for actions (batch, samples, action_dim).

    The first layer's product with the observation is computed once for all actions of a row.
    """
    features = critic.extract_features(observations, critic.features_extractor)
    return [_values(network, features, actions) for network in critic.q_networks]


def _values(network: Any, features: Tensor, actions: Tensor) -> Tensor:
    first, rest = network[0], network[1:]
    of_features, of_actions = first.weight.split([features.shape[1], actions.shape[2]], dim=1)
    hidden = F.linear(features, of_features, first.bias)[:, None] + F.linear(actions, of_actions)
    values: Tensor = rest(hidden)  # (batch, samples, 1)
    return values[:, :, 0]
