"""Gaussian actors of IQL and AWAC: a normal around a squashed mean.

Logs contain many actions on the bounds of the box, where the density of SB3's squashed Gaussian
overflows. A normal that is not squashed has a finite density there; IQL's authors use it too.
"""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.td3.policies import Actor, TD3Policy
from torch import Tensor, nn
from torch.distributions import Normal
from typing_extensions import override

from mtf_rl.agents.offline.networks import ObservationNetwork, add_optimizer, network_settings

__all__ = ["GaussianActor", "GaussianPolicy", "IQLPolicy", "Value"]


class GaussianActor(Actor):
    """N(tanh(mu(s)), std^2), with one trainable std for each action entry."""

    log_std: nn.Parameter
    bounds: tuple[float, float]

    @classmethod
    def with_bounds(cls, bounds: tuple[float, float], settings: dict[str, Any]) -> "GaussianActor":
        """Make an actor whose log std stays within `bounds`.

        It starts at 0, or at the upper bound minus 0.5 if that is lower: beyond a bound it would
        have no gradient.
        """
        actor = cls(**settings)
        width = get_action_dim(settings["action_space"])
        actor.log_std = nn.Parameter(torch.full((width,), min(0.0, bounds[1] - 0.5)))
        actor.bounds = bounds
        return actor

    def distribution(self, observations: Tensor) -> Normal:
        """Independent normals of the action entries, (batch, action_dim)."""
        std = self.log_std.clamp(*self.bounds).exp()
        return Normal(self(observations), std)

    def log_density(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Log density of logged actions, (batch, 1)."""
        normals: Any = self.distribution(observations)
        density: Tensor = normals.log_prob(actions).sum(dim=1, keepdim=True)
        return density

    def keep_inside(self) -> None:
        """Clip the log std to its bounds after a step; beyond them its gradient is 0."""
        with torch.no_grad():
            self.log_std.clamp_(*self.bounds)

    def draw(self, observations: Tensor) -> Tensor:
        """Random actions, clipped to [-1, 1], (batch, action_dim)."""
        normals: Any = self.distribution(observations)
        drawn: Tensor = normals.sample().clamp(-1.0, 1.0)
        return drawn


class GaussianPolicy(TD3Policy):
    """TD3's actor and critics, with a normal around the actor's action."""

    actor: GaussianActor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule,
        log_std_bounds: tuple[float, float] = (-5.0, 2.0),
        **kwargs: Any,
    ) -> None:
        self.log_std_bounds = log_std_bounds
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    @override
    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        settings = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return GaussianActor.with_bounds(self.log_std_bounds, settings).to(self.device)

    @override
    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        observations: Any = observation
        return self.actor(observations) if deterministic else self.actor.draw(observations)

    @override
    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"log_std_bounds": self.log_std_bounds}
        return super()._get_constructor_parameters() | own


class Value(ObservationNetwork):
    """A network of the state value V(s), (batch, 1)."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(**settings)
        layers = create_mlp(self.features_dim, 1, self.net_arch, self.activation_fn)
        self.layers = nn.Sequential(*layers)

    @override
    def forward(self, observations: Tensor) -> Tensor:
        values: Tensor = self.layers(self.features(observations))
        return values


class IQLPolicy(GaussianPolicy):
    """A Gaussian policy and a network of state values."""

    value: Value

    @override
    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.value = Value(network_settings(self)).to(self.device)
        add_optimizer(self.value, self, lr_schedule)
