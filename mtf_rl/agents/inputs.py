"""Reduce a policy to the observed numbers that it depends on, and the inverse."""

from dataclasses import replace

import numpy as np

from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.policies import (
    ConstantPolicy,
    MlpPolicy,
    SavedPolicy,
    TablePolicy,
)
from mtf_rl.core.arrays import FloatArray, IntArray

__all__ = ["inputs_of", "on_inputs", "on_observation"]


def inputs_of(policy: SavedPolicy) -> IntArray:
    """Positions of the observed numbers that can change an action, ascending.

    A number whose first-layer weights are all 0 cannot change an action.
    """
    if isinstance(policy, ConstantPolicy):
        return np.zeros(0, dtype=np.int64)
    if isinstance(policy, TablePolicy):
        return np.array([policy.column])
    networks = (
        [policy.network]
        if isinstance(policy, MlpPolicy)
        else [policy.decoder, policy.perturbation, policy.critic]
    )
    observed = len(policy.mean)
    used = [(network.weights[0][:, :observed] != 0.0).any(axis=0) for network in networks]
    return np.flatnonzero(np.any(used, axis=0))


def on_inputs(policy: SavedPolicy, inputs: IntArray) -> SavedPolicy:
    """The same policy, which takes only these numbers of the observation: (num_envs, inputs)."""
    if isinstance(policy, ConstantPolicy):
        return policy
    if isinstance(policy, TablePolicy):
        return replace(policy, obs_dim=1, column=0)
    mean, scale = policy.mean[inputs], policy.scale[inputs]
    observed = len(policy.mean)

    def reduced(network: Mlp) -> Mlp:
        other_inputs = np.arange(observed, network.inputs)  # latents or an action
        columns = np.concatenate([inputs, other_inputs])
        return _with_first_layer(network, network.weights[0][:, columns])

    if isinstance(policy, MlpPolicy):
        return replace(policy, mean=mean, scale=scale, network=reduced(policy.network))
    return replace(
        policy,
        mean=mean,
        scale=scale,
        decoder=reduced(policy.decoder),
        perturbation=reduced(policy.perturbation),
        critic=reduced(policy.critic),
    )


def on_observation(policy: SavedPolicy, inputs: IntArray, obs_dim: int) -> SavedPolicy:
    """The same policy, which takes whole observations (num_envs, obs_dim): inverse of `on_inputs`.

    Args:
        policy: a policy of `inputs` alone.
        inputs: positions of its inputs in the observation.
        obs_dim: width of the observation.
    """
    if isinstance(policy, ConstantPolicy):
        return policy
    if isinstance(policy, TablePolicy):
        return replace(policy, obs_dim=obs_dim, column=int(inputs[0]))
    mean, scale = np.zeros(obs_dim, policy.mean.dtype), np.ones(obs_dim, policy.scale.dtype)
    mean[inputs], scale[inputs] = policy.mean, policy.scale

    def widened(network: Mlp) -> Mlp:
        first = network.weights[0]
        other_inputs = network.inputs - len(inputs)  # latents or an action
        wide = np.zeros((len(first), obs_dim + other_inputs), dtype=first.dtype)
        wide[:, inputs] = first[:, : len(inputs)]
        wide[:, obs_dim:] = first[:, len(inputs) :]
        return _with_first_layer(network, wide)

    if isinstance(policy, MlpPolicy):
        return replace(policy, mean=mean, scale=scale, network=widened(policy.network))
    return replace(
        policy,
        mean=mean,
        scale=scale,
        decoder=widened(policy.decoder),
        perturbation=widened(policy.perturbation),
        critic=widened(policy.critic),
    )


def _with_first_layer(network: Mlp, first: FloatArray) -> Mlp:
    return replace(network, weights=(first, *network.weights[1:]))
