"""BCQ: select the best action among proposals of a generative model of the dataset."""

from typing import Any, ClassVar

import torch
from gymnasium import spaces
from stable_baselines3 import TD3
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import (
    GymEnv,
    PyTorchObs,
    ReplayBufferSamples,
    Schedule,
)
from stable_baselines3.common.utils import update_learning_rate
from stable_baselines3.td3.policies import Actor, TD3Policy
from torch import Tensor, nn
from typing_extensions import Unpack, override

from mtf_rl.agents.offline.batch_learning import BatchArguments, BatchLearning
from mtf_rl.agents.offline.config import BatchConfig, BCQConfig
from mtf_rl.agents.offline.losses import (
    autoencoder_loss,
    critic_loss,
    soft_clipped_double_q,
    td_target,
)
from mtf_rl.agents.offline.networks import ObservationNetwork, add_optimizer, network_settings

__all__ = ["BCQ", "Autoencoder", "BCQPolicy", "Perturbation"]

_LATENT_BOUND = 0.5
_LOG_STD_BOUNDS = (-4.0, 15.0)
_LATENT_SEED = 0


class Perturbation(Actor):
    """Moves an action by at most `action_flexibility`, depending on s, and clips it to [-1, 1]."""

    action_flexibility: float

    @classmethod
    def with_action_flexibility(
        cls, action_flexibility: float, settings: dict[str, Any]
    ) -> "Perturbation":
        """Make a network of observation and action."""
        network = cls(**settings)
        width = get_action_dim(settings["action_space"])
        layers = create_mlp(
            settings["features_dim"] + width,
            width,
            settings["net_arch"],
            settings["activation_fn"],
            squash_output=True,
        )
        network.mu = nn.Sequential(*layers)
        network.action_flexibility = action_flexibility
        return network

    @override
    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:  # type: ignore[override]
        features = self.extract_features(obs, self.features_extractor)
        moved = self.action_flexibility * self.mu(torch.cat([features, actions], dim=1))
        perturbed: Tensor = (actions + moved).clamp(-1.0, 1.0)
        return perturbed


class Autoencoder(ObservationNetwork):
    """The conditional variational autoencoder of logged actions: E(s, a) and D(s, z)."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(**settings)
        width = get_action_dim(self.action_space)
        self.latent_dim = 2 * width
        inputs = self.features_dim
        encoder = create_mlp(inputs + width, 2 * self.latent_dim, self.net_arch, self.activation_fn)
        self.encoder = nn.Sequential(*encoder)
        decoder = create_mlp(
            inputs + self.latent_dim, width, self.net_arch, self.activation_fn, squash_output=True
        )
        self.decoder = nn.Sequential(*decoder)

    @override
    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded actions (batch, action_dim); mean and log std of latents, (batch, latent_dim)."""
        features = self.features(observations)
        encoded = self.encoder(torch.cat([features, actions], dim=1))
        mean, log_std = encoded.chunk(2, dim=1)
        log_std = log_std.clamp(*_LOG_STD_BOUNDS)
        latents = mean + log_std.exp() * torch.randn_like(mean)
        decoded = self.decoder(torch.cat([features, latents], dim=1))
        return decoded, mean, log_std

    def decode(self, observations: Tensor, latents: Tensor | None = None) -> Tensor:
        """Decode D(s, z); without latents, z is drawn from N(0, 1) and clipped to +-0.5."""
        if latents is None:
            shape = (len(observations), self.latent_dim)
            latents = torch.randn(shape, device=observations.device)
            latents = latents.clamp(-_LATENT_BOUND, _LATENT_BOUND)
        features = self.features(observations)
        decoded: Tensor = self.decoder(torch.cat([features, latents], dim=1))
        return decoded


class BCQPolicy(TD3Policy):
    """Selects the proposal with the highest Q_1 (BCQ, Algorithm 1).

    Deterministic predictions decode a fixed set of latents, so the same observation always gives
    the same action; other predictions draw new latents.
    """

    vae: Autoencoder
    latents: Tensor  # (proposals, latent_dim)

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule,
        action_flexibility: float = BCQConfig.action_flexibility,
        proposals: int = BCQConfig.proposals,
        vae_arch: list[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.action_flexibility = action_flexibility
        self.proposals = proposals
        self.vae_arch = vae_arch
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    @override
    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        settings = network_settings(self)
        if self.vae_arch is not None:
            settings["net_arch"] = self.vae_arch
        self.vae = Autoencoder(settings).to(self.device)
        add_optimizer(self.vae, self, lr_schedule)
        draws = torch.randn(
            self.proposals,
            self.vae.latent_dim,
            generator=torch.Generator().manual_seed(_LATENT_SEED),
        )
        self.register_buffer("latents", draws.clamp(-_LATENT_BOUND, _LATENT_BOUND))

    @override
    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        settings = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return Perturbation.with_action_flexibility(self.action_flexibility, settings).to(
            self.device
        )

    @override
    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        observations: Any = observation
        rows, count = len(observations), len(self.latents)
        repeated = observations.repeat_interleave(count, dim=0)  # (rows * proposals, obs_dim)
        latents = self.latents.repeat(rows, 1) if deterministic else None
        actor: Any = self.actor
        actions = actor(repeated, self.vae.decode(repeated, latents))
        values = self.critic.q1_forward(repeated, actions).view(rows, count)
        chosen = values.argmax(dim=1) + torch.arange(rows, device=values.device) * count
        best: Tensor = actions[chosen]
        return best

    @override
    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {
            "action_flexibility": self.action_flexibility,
            "proposals": self.proposals,
            "vae_arch": self.vae_arch,
        }
        return super()._get_constructor_parameters() | own


class BCQ(BatchLearning, TD3):
    """Batch-constrained deep Q-learning (Fujimoto, Meger and Precup, ICML 2019).

    A conditional autoencoder proposes actions like those of the dataset, and a perturbation network
    moves each by at most `action_flexibility`. The critics' target is r + gamma (1 - terminated)
    max lambda min_j Q'_j + (1 - lambda) max_j Q'_j (eq. 13), with the first maximum over
    `n_action_samples` proposals and lambda = `min_fraction`. The policy holds `action_flexibility`
    and the number of proposals for acting: `policy_kwargs={"action_flexibility": ..., "proposals":
    ...}`.

    BatchRL-MTF (Zhang et al., KDD 2022, arXiv 2208.04560) learns fusion weights with BCQ, with
    `min_fraction` 1, `action_flexibility` 0.15, tau 0.05 every 10 updates, and a learning rate for
    each network.

    Unlike the paper, we use by default 20 proposals for acting (100 in the paper), gamma 0.95
    (0.99), hidden layers of 64 units (400 and 300) and batches of 256 (100), and we divide rewards
    by their standard deviation.
    """

    settings: ClassVar[type[BatchConfig]] = BCQConfig

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": BCQPolicy}

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        min_fraction: float = BCQConfig.min_fraction,
        n_action_samples: int = BCQConfig.n_action_samples,
        target_interval: int = BCQConfig.target_interval,
        actor_learning_rate: float = BCQConfig.actor_learning_rate,
        vae_learning_rate: float = BCQConfig.vae_learning_rate,
        **common: Unpack[BatchArguments],
    ) -> None:
        self.min_fraction = min_fraction
        self.n_action_samples = n_action_samples
        self.target_interval = target_interval
        self.actor_learning_rate = actor_learning_rate
        self.vae_learning_rate = vae_learning_rate
        super().__init__(policy, env, **common)

    @override
    def _create_aliases(self) -> None:
        super()._create_aliases()
        self.vae: Any = self.policy.vae

    @override
    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        self._begin_update([self.critic.optimizer])
        update_learning_rate(self.actor.optimizer, self.actor_learning_rate)
        update_learning_rate(self.vae.optimizer, self.vae_learning_rate)
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            self._update_vae(batch)
            self._update_critic(batch)
            self._update_actor(batch)
            if self._n_updates % self.target_interval == 0:
                self._follow(self.critic, self.critic_target)
                self._follow(self.actor, self.actor_target)

    def _update_vae(self, batch: ReplayBufferSamples) -> None:
        decoded, mean, log_std = self.vae(batch.observations, batch.actions)
        loss = autoencoder_loss(decoded, batch.actions, mean, log_std)
        self._step(self.vae.optimizer, loss.total)
        self.logger.record_mean("train/reconstruction_loss", loss.reconstruction.item())
        self.logger.record_mean("train/latent_divergence", loss.divergence.item())

    def _update_critic(self, batch: ReplayBufferSamples) -> None:
        with torch.no_grad():
            following = batch.next_observations.repeat_interleave(self.n_action_samples, dim=0)
            proposals = self.actor_target(following, self.vae.decode(following))
            values = torch.stack(self.critic_target(following, proposals))  # (critics, rows, 1)
            mixed = soft_clipped_double_q(values, self.min_fraction).view(-1, self.n_action_samples)
            best = mixed.amax(dim=1, keepdim=True)  # (batch, 1)
        target = td_target(batch.rewards, batch.dones, best, self.gamma)
        loss = critic_loss(self.critic(batch.observations, batch.actions), target)
        self._step(self.critic.optimizer, loss)
        self.logger.record_mean("train/critic_loss", loss.item())

    def _update_actor(self, batch: ReplayBufferSamples) -> None:
        with torch.no_grad():
            proposals = self.vae.decode(batch.observations)
        actions = self.actor(batch.observations, proposals)
        loss = -self.critic.q1_forward(batch.observations, actions).mean()
        self._step(self.actor.optimizer, loss)
        self.logger.record_mean("train/actor_loss", loss.item())

    @override
    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "vae"]

    @override
    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, variables = super()._get_torch_save_params()
        return [*state_dicts, "vae.optimizer"], variables
