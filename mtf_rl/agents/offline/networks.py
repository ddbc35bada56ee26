"""Features and optimizers of networks that SB3's policies do not have."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

__all__ = ["ObservationNetwork", "add_optimizer", "network_settings"]


class ObservationNetwork(BaseModel):
    """A network of observations with its own features extractor."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        *,
        net_arch: list[int],
        activation_fn: type[nn.Module],
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor=features_extractor)
        self.net_arch = net_arch
        self.activation_fn = activation_fn
        self.features_dim = features_dim

    def features(self, observations: PyTorchObs) -> Tensor:
        """Extract features, (batch, features)."""
        extractor: Any = self.features_extractor
        return self.extract_features(observations, extractor)


def network_settings(policy: TD3Policy) -> dict[str, Any]:
    """Constructor arguments for an `ObservationNetwork` of a policy."""
    settings = policy._update_features_extractor(policy.net_args, None)
    settings.pop("normalize_images")  # Observations are vectors.
    return settings


def add_optimizer(network: Any, policy: TD3Policy, lr_schedule: Schedule) -> None:
    """Set `network.optimizer` to an optimizer of the policy's class and arguments."""
    optimizer: Any = policy.optimizer_class
    rate = lr_schedule(1)
    network.optimizer = optimizer(network.parameters(), lr=rate, **policy.optimizer_kwargs)
