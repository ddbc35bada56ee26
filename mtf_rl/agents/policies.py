"""Policies made of plain arrays, which predict without an environment or torch."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.agents.networks import Mlp
from mtf_rl.core.arrays import FloatArray, check_shape, refuse_rows
from mtf_rl.core.errors import ConfigError, ShapeError
from mtf_rl.core.protocols import Policy
from mtf_rl.core.ranges import check_at_least

__all__ = ["ConstantPolicy", "GenerativePolicy", "MlpPolicy", "SavedPolicy", "TablePolicy"]

LATENT_BOUND = 0.5
_DECODED_AT_ONCE = 65_536  # actions that a generative policy decodes in one batch; bounds memory


@dataclass(frozen=True)
class ConstantPolicy(Policy):
    """The same action at every request: static fusion weights."""

    action: FloatArray  # (action_dim,) in [-1, 1]

    @property
    def action_dim(self) -> int:
        """Width of an action."""
        return len(self.action)

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        shape = (len(observation), len(self.action))
        return np.broadcast_to(np.asarray(self.action, dtype=np.float32), shape), state


@dataclass(frozen=True)
class TablePolicy(Policy):
    """One action for each interval of one observed number.

    The action is row k of the table, where k is the number of edges not above the observed number:
    static weights for each group of users, or for each part of a session.

    Raises:
        ShapeError: if the shapes do not fit each other.
        DataError: if the edges do not increase strictly.
        ConfigError: if the column is outside the observation.
    """

    obs_dim: int
    """Width of the observation."""
    column: int
    """Position of the observed number that is used, in [0, obs_dim)."""
    edges: FloatArray  # (rows - 1,), strictly increasing
    actions: FloatArray  # (rows, action_dim) in [-1, 1]

    def __post_init__(self) -> None:
        if not 0 <= self.column < self.obs_dim:
            raise ConfigError(
                f"column must be in [0, obs_dim) = [0, {self.obs_dim}), got {self.column}"
            )
        if self.actions.ndim != 2 or self.edges.shape != (len(self.actions) - 1,):
            raise ShapeError(
                "actions must have shape (rows, action_dim), and edges (rows - 1,), got "
                f"{self.actions.shape} and {self.edges.shape}"
            )
        refuse_rows(~(np.diff(self.edges) > 0.0), "edges must increase strictly")

    @property
    def action_dim(self) -> int:
        """Width of an action."""
        return int(self.actions.shape[1])

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        _check_observation(observation, self.obs_dim)
        rows = np.searchsorted(self.edges, observation[:, self.column], side="right")
        return self.actions[rows].astype(np.float32), state  # (num_envs, action_dim)


@dataclass(frozen=True)
class MlpPolicy(Policy):
    """A deterministic actor: standardisation, then a network with output in [-1, 1].

    Raises:
        ShapeError: if the shapes do not fit each other.
        DataError: if a scale is not above 0.
        ConfigError: if the network's output activation is not bounded, or `input_bound` is not
            above 0.
    """

    mean: FloatArray  # (obs_dim,), subtracted from the observation
    scale: FloatArray  # (obs_dim,), above 0; divides the centred observation
    network: Mlp  # obs_dim inputs, action_dim outputs; ends in tanh or clip
    input_bound: float = np.inf
    """Standardised observations are clipped to [-input_bound, input_bound]; above 0."""

    def __post_init__(self) -> None:
        _check_standardisation(self.mean, self.scale)
        _check_sizes("network", self.network, "obs_dim", (len(self.mean), self.action_dim))
        if not self.input_bound > 0.0:
            raise ConfigError(f"input_bound must be above 0, got {self.input_bound}")
        if self.network.output not in ("tanh", "clip"):
            raise ConfigError(
                "the output activation of a policy's network must be tanh or clip, which keep"
                f" actions in [-1, 1], got '{self.network.output}'"
            )

    @property
    def obs_dim(self) -> int:
        """Width of the observation."""
        return len(self.mean)

    @property
    def action_dim(self) -> int:
        """Width of an action."""
        return self.network.outputs

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        standardised = _standardised(observation, self.mean, self.scale)
        if self.input_bound < np.inf:
            standardised = np.clip(standardised, -self.input_bound, self.input_bound)
        return self.network(standardised).astype(np.float32), state


@dataclass(frozen=True)
class GenerativePolicy(Policy):
    """Select the action with the highest Q among perturbed proposals of a behaviour model.

    With decoder G, perturbation xi, critic Q, latents z_1 .. z_n and standardised observation s:

        a_i = clip(G(s, z_i) + action_flexibility xi(s, G(s, z_i)), -1, 1)
        action = a_k with k = argmax_i Q(s, a_i)

    The policy of BCQ (Fujimoto et al., ICML 2019) and of BatchRL-MTF (Zhang et al., KDD
    2022, eq. 4). Of tied values the first is selected. Unlike the papers, we draw the latents once,
    when the policy is made, and not at every request: an action then depends only on its
    observation.

    Raises:
        ShapeError: if the shapes do not fit each other.
        DataError: if a scale is not above 0, or a latent is outside [-0.5, 0.5].
        ConfigError: if `action_flexibility` is below 0, or an output activation is wrong.
    """

    mean: FloatArray  # (obs_dim,), subtracted from the observation
    scale: FloatArray  # (obs_dim,), above 0; divides the centred observation
    decoder: Mlp  # G: obs_dim + latent_dim inputs, action_dim outputs; ends in tanh
    perturbation: Mlp  # xi: obs_dim + action_dim inputs, action_dim outputs; ends in tanh
    critic: Mlp  # Q: obs_dim + action_dim inputs, 1 output; ends in identity
    action_flexibility: float
    """Maximum perturbation (Phi) of an action entry, in units of the action, at least 0."""
    latents: FloatArray  # (samples, latent_dim), clipped standard normal draws in [-0.5, 0.5]

    def __post_init__(self) -> None:
        _check_standardisation(self.mean, self.scale)
        check_at_least("action_flexibility", self.action_flexibility, 0.0)
        if self.latents.ndim != 2 or len(self.latents) == 0:
            raise ShapeError(
                "latents must have shape (samples, latent_dim) with at least one sample, got "
                f"{self.latents.shape}"
            )
        refuse_rows(~(np.abs(self.latents) <= LATENT_BOUND), "latents must be in [-0.5, 0.5]")
        observed, width = len(self.mean), self.action_dim
        sizes = {
            "decoder": ("obs_dim + latent_dim", observed + self.latents.shape[1], width, "tanh"),
            "perturbation": ("obs_dim + action_dim", observed + width, width, "tanh"),
            "critic": ("obs_dim + action_dim", observed + width, 1, "identity"),
        }
        for name, (axes, inputs, outputs, output) in sizes.items():
            network = getattr(self, name)
            _check_sizes(name, network, axes, (inputs, outputs))
            if network.output != output:
                raise ConfigError(f"{name} must end in {output}, got '{network.output}'")

    @property
    def obs_dim(self) -> int:
        """Width of the observation."""
        return len(self.mean)

    @property
    def action_dim(self) -> int:
        """Width of an action."""
        return self.decoder.outputs

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        standardised = _standardised(observation, self.mean, self.scale)
        actions = np.empty((len(standardised), self.action_dim), dtype=np.float32)
        step = max(1, _DECODED_AT_ONCE // len(self.latents))
        for start in range(0, len(standardised), step):
            actions[start : start + step] = self._best(standardised[start : start + step])
        return actions, state

    def _best(self, standardised: FloatArray) -> FloatArray:
        """The action with the highest Q for each standardised observation (rows, obs_dim)."""
        samples = len(self.latents)
        repeated = np.repeat(standardised, samples, axis=0)  # (rows * samples, obs_dim)
        latents = np.tile(self.latents, (len(standardised), 1))  # (rows * samples, latent_dim)
        decoded = self.decoder(np.concatenate([repeated, latents], axis=1))
        moves = self.action_flexibility * self.perturbation(
            np.concatenate([repeated, decoded], axis=1)
        )
        moved = np.clip(decoded + moves, -1.0, 1.0)  # (rows * samples, action_dim)
        values = self.critic(np.concatenate([repeated, moved], axis=1))
        best = values.reshape(len(standardised), samples).argmax(axis=1)  # (rows,)
        chosen: FloatArray = moved.reshape(len(standardised), samples, -1)[
            np.arange(len(standardised)), best
        ]
        return chosen


SavedPolicy: TypeAlias = ConstantPolicy | TablePolicy | MlpPolicy | GenerativePolicy
"""Policies that can be saved and served."""


def _check_standardisation(mean: FloatArray, scale: FloatArray) -> None:
    if mean.ndim != 1:
        raise ShapeError(f"mean must have shape (obs_dim,), got {mean.shape}")
    check_shape("scale", scale, "obs_dim", mean.shape)
    refuse_rows(~(scale > 0.0), "scale must be above 0")


def _check_sizes(name: str, network: Mlp, inputs: str, expected: tuple[int, int]) -> None:
    if (network.inputs, network.outputs) != expected:
        raise ShapeError(
            f"{name} must have {inputs} = {expected[0]} inputs and {expected[1]} outputs, got "
            f"{network.inputs} and {network.outputs}"
        )


def _standardised(observation: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """(observation - mean) / scale, (num_envs, obs_dim) float64.

    Raises:
        ShapeError: if the observation has the wrong shape.
    """
    _check_observation(observation, len(mean))
    standardised: FloatArray = (observation.astype(np.float64) - mean) / scale
    return standardised


def _check_observation(observation: FloatArray, obs_dim: int) -> None:
    """Raise a ShapeError unless the observation has shape (num_envs, obs_dim)."""
    if observation.ndim != 2 or observation.shape[1] != obs_dim:
        raise ShapeError(
            f"observation must have shape (num_envs, obs_dim) = (any, {obs_dim}), "
            f"got {observation.shape}"
        )
