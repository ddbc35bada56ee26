"""Which observed numbers a policy depends on, and the same policy of these numbers alone."""

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
    """Positions in the observation of the numbers that can change an action, ascending.

    A number that a network's first layer multiplies by 0 alone changes nothing.
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
    """The policy that takes these numbers of the observation alone, (num_envs, inputs)."""
    if isinstance(policy, ConstantPolicy):
        return policy
    if isinstance(policy, TablePolicy):
        return replace(policy, obs_dim=1, column=0)
    mean, scale = policy.mean[inputs], policy.scale[inputs]
    observed = len(policy.mean)

    def of(network: Mlp) -> Mlp:
        further = np.arange(observed, network.inputs)  # latents or an action
        columns = np.concatenate([inputs, further])
        return _with_first_layer(network, network.weights[0][:, columns])

    if isinstance(policy, MlpPolicy):
        return MlpPolicy(mean, scale, of(policy.network))
    return replace(
        policy,
        mean=mean,
        scale=scale,
        decoder=of(policy.decoder),
        perturbation=of(policy.perturbation),
        critic=of(policy.critic),
    )


def on_observation(policy: SavedPolicy, inputs: IntArray, obs_dim: int) -> SavedPolicy:
    """The policy that takes whole observations (num_envs, obs_dim): the inverse of `on_inputs`."""
    if isinstance(policy, ConstantPolicy):
        return policy
    if isinstance(policy, TablePolicy):
        return replace(policy, obs_dim=obs_dim, column=int(inputs[0]))
    mean, scale = np.zeros(obs_dim, policy.mean.dtype), np.ones(obs_dim, policy.scale.dtype)
    mean[inputs], scale[inputs] = policy.mean, policy.scale

    def of(network: Mlp) -> Mlp:
        first = network.weights[0]
        further = network.inputs - len(inputs)
        wide = np.zeros((len(first), obs_dim + further), dtype=first.dtype)
        wide[:, inputs] = first[:, : len(inputs)]
        wide[:, obs_dim:] = first[:, len(inputs) :]
        return _with_first_layer(network, wide)

    if isinstance(policy, MlpPolicy):
        return MlpPolicy(mean, scale, of(policy.network))
    return replace(
        policy,
        mean=mean,
        scale=scale,
        decoder=of(policy.decoder),
        perturbation=of(policy.perturbation),
        critic=of(policy.critic),
    )


def _with_first_layer(network: Mlp, first: FloatArray) -> Mlp:
    return replace(network, weights=(first, *network.weights[1:]))
