"""The deterministic actor of a Stable-Baselines3 model as plain arrays."""

from typing import Any

from stable_baselines3 import SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn

from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.policies import MlpPolicy
from mtf_rl.agents.standardised import standardisation_of

__all__ = ["actor_policy"]


def actor_policy(model: BaseAlgorithm) -> MlpPolicy:
    """The actor of a TD3, DDPG or SAC model, or the mean action of a PPO or A2C model.

    Hidden layers must use ReLU; this is not checked.
    """
    mean, scale = standardisation_of(model)
    layers = _layers_of(model)
    network = Mlp(
        weights=tuple(layer.weight.detach().cpu().numpy().copy() for layer in layers),
        biases=tuple(layer.bias.detach().cpu().numpy().copy() for layer in layers),
        # PPO and A2C do not squash their Gaussian: actions outside the box are clipped.
        output="clip" if isinstance(model, OnPolicyAlgorithm) else "tanh",
    )
    return MlpPolicy(mean=mean, scale=scale, network=network)


def _layers_of(model: BaseAlgorithm) -> list[nn.Linear]:
    policy: Any = model.policy
    if isinstance(model, OnPolicyAlgorithm):
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    elif isinstance(model, SAC):
        modules = [*policy.actor.latent_pi, policy.actor.mu]
    else:
        modules = list(policy.actor.mu)
    return [module for module in modules if isinstance(module, nn.Linear)]
