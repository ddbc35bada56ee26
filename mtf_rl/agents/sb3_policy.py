"""Save a model from your own Stable-Baselines3 training loop as a policy folder."""

from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from mtf_rl.agents.artifact import save_policy
from mtf_rl.agents.fusion_policy import FusionPolicy, FusionSetting
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.policies import MlpPolicy
from mtf_rl.agents.standardised import StandardisedObservation, standardisation_of
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import FusionDynamics

__all__ = ["save_sb3_policy", "sb3_policy"]

_ACTIVATIONS = {nn.ReLU: "relu", nn.Tanh: "tanh"}
_TOLERANCE = 1e-3  # maximum difference of an action entry


def save_sb3_policy(
    model: BaseAlgorithm, folder: str | Path, *, dynamics: FusionDynamics[Any] | None = None
) -> FusionPolicy:
    """Save the deterministic actor of an SB3 model as a policy folder.

    `rank`, `evaluate`, `ope` and `evaluate_policy` accept the folder like any other policy folder.

    Args:
        model: PPO, A2C, SAC, TD3 or DDPG with an `MlpPolicy` of ReLU or tanh layers, trained on a
            session environment of mtf_rl. Its `VecNormalize`, if any, becomes part of the policy,
            with its `clip_obs`.
        folder: the policy folder; an existing policy in it is replaced.
        dynamics: dynamics of the training environment; by default the model's own.

    Returns:
        The saved policy.

    Raises:
        ConfigError: if the model cannot be converted to plain arrays, or its environment is not one
            of mtf_rl.
    """
    policy = FusionPolicy(sb3_policy(model), FusionSetting.of(dynamics or _dynamics_of(model)))
    save_policy(folder, policy)
    return policy


def sb3_policy(model: BaseAlgorithm) -> MlpPolicy:
    """Convert the deterministic actor of an SB3 model to plain arrays.

    Raises:
        ConfigError: if the algorithm or network is not supported, or the converted policy gives
            different actions.
    """
    modules = _actor_of(model)
    kinds = {type(module) for module in modules if type(module) in _ACTIVATIONS}
    linear = [module for module in modules if isinstance(module, nn.Linear)]
    others = {
        type(module).__name__
        for module in modules
        if not isinstance(module, nn.Linear | nn.Tanh) and type(module) not in _ACTIVATIONS
    }
    on_policy = isinstance(model, OnPolicyAlgorithm)
    # TD3's last module is the tanh that squashes the action.
    hidden = kinds - {nn.Tanh} if nn.ReLU in kinds and not on_policy else kinds
    if others or len(hidden) > 1:
        names = ", ".join(sorted(others) or sorted(kind.__name__ for kind in hidden))
        raise ConfigError(
            f"the actor must consist of linear layers with either ReLU or tanh, got {names}"
        )
    mean, scale, bound = _standardisation_of(model)
    activation = _ACTIVATIONS[next(iter(hidden))] if hidden else "relu"
    network = Mlp(
        weights=tuple(layer.weight.detach().cpu().numpy().copy() for layer in linear),
        biases=tuple(layer.bias.detach().cpu().numpy().copy() for layer in linear),
        hidden=activation,
        output="clip" if on_policy and not model.policy.squash_output else "tanh",
    )
    policy = MlpPolicy(mean=mean, scale=scale, network=network, input_bound=bound)
    _check_same_actions(model, policy)
    return policy


def _actor_of(model: BaseAlgorithm) -> list[nn.Module]:
    policy: Any = model.policy
    if isinstance(model, OnPolicyAlgorithm) and hasattr(policy, "mlp_extractor"):
        return [*policy.mlp_extractor.policy_net, policy.action_net]
    if isinstance(model, SAC):
        return [*policy.actor.latent_pi, policy.actor.mu]
    if isinstance(model, TD3):
        return list(policy.actor.mu)
    raise ConfigError(
        "the model must be a PPO, A2C, SAC, TD3 or DDPG of stable_baselines3, got"
        f" {type(model).__name__}"
    )


def _standardisation_of(model: BaseAlgorithm) -> tuple[FloatArray, FloatArray, float]:
    """Standardisation by a `StandardisedObservation` or a `VecNormalize`.

    Returns:
        Mean, scale, each (obs_dim,), and the bound of standardised values, infinity if they are not
        clipped.
    """
    extractors = [
        module
        for name, module in model.policy.named_modules()
        if name.endswith("features_extractor")
    ]
    if any(isinstance(extractor, StandardisedObservation) for extractor in extractors):
        return *standardisation_of(model), np.inf
    if not all(isinstance(extractor, FlattenExtractor) for extractor in extractors):
        names = ", ".join(sorted({type(extractor).__name__ for extractor in extractors}))
        raise ConfigError(f"the features extractor must be FlattenExtractor, got {names}")
    width = int(np.prod(model.observation_space.shape or ()))
    normalised: Any = model.get_vec_normalize_env()
    if normalised is None or not normalised.norm_obs:
        return np.zeros(width, dtype=np.float32), np.ones(width, dtype=np.float32), np.inf
    scale = np.sqrt(normalised.obs_rms.var + normalised.epsilon)
    mean = normalised.obs_rms.mean.astype(np.float32)
    return mean, scale.astype(np.float32), float(normalised.clip_obs)


def _check_same_actions(model: BaseAlgorithm, policy: MlpPolicy) -> None:
    """Raise a ConfigError if the converted policy and the model give different actions."""
    rows = policy.mean + policy.scale * np.random.default_rng(0).normal(size=(64, policy.obs_dim))
    observations = np.clip(
        rows,
        getattr(model.observation_space, "low", -np.inf),
        getattr(model.observation_space, "high", np.inf),
    ).astype(np.float32)
    normalised = model.get_vec_normalize_env()
    inputs = observations if normalised is None else normalised.normalize_obs(observations)
    expected, _ = model.predict(np.asarray(inputs, dtype=np.float32), deterministic=True)
    difference = float(np.abs(policy.predict(observations)[0] - expected).max())
    if difference > _TOLERANCE:
        raise ConfigError(
            f"the model cannot be converted to plain arrays: actions computed from its layers"
            f" differ by up to {difference:.3g} from the model's actions"
        )


def _dynamics_of(model: BaseAlgorithm) -> FusionDynamics[Any]:
    env = model.get_env()
    try:
        dynamics: FusionDynamics[Any] = (env.get_attr("dynamics") if env is not None else [])[0]
    except (AttributeError, IndexError) as error:
        raise ConfigError(
            "the model has no session environment of mtf_rl, which defines the meaning of its"
            " actions: give dynamics=, such as gymnasium.make(...).unwrapped.dynamics"
        ) from error
    return dynamics
