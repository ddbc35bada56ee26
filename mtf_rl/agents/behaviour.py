"""Behaviour policies: they draw the actions of batch datasets and return their densities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.protocols import Policy
from mtf_rl.core.randomness import EpisodeRng, Purpose

__all__ = [
    "BehaviourPolicy",
    "BoundedUniform",
    "Choice",
    "LoggedActions",
    "Mixture",
    "TruncatedGaussian",
    "UniformRandom",
]


@dataclass(frozen=True)
class Choice:
    """Actions drawn by a behaviour policy, with their log densities."""

    actions: FloatArray  # (num_envs, action_dim) float32 in [-1, 1]
    log_densities: FloatArray  # (num_envs,) float64, over [-1, 1]^action_dim
    behaviours: IntArray  # (num_envs,), indices into the policy's `names`


class BehaviourPolicy(Protocol):
    """A stochastic policy that returns the density of every action that it draws.

    A draw depends only on seed, episode and request, so a dataset does not depend on the number of
    sessions served at once.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each component of the behaviour policy."""
        ...

    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        """Draw actions for observations (num_envs, obs_dim)."""
        ...


@dataclass(frozen=True)
class UniformRandom(BehaviourPolicy):
    """Uniform on [-1, 1]^d: density 2^-d.

    Raises:
        ConfigError: if `action_dim` is below 1.
    """

    action_dim: int

    def __post_init__(self) -> None:
        if self.action_dim < 1:
            raise ConfigError(f"action_dim must be at least 1, got {self.action_dim}")

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return ("uniform_random",)

    @override
    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        draws = rng.uniforms(Purpose.BEHAVIOUR_ACTION, self.action_dim)
        density = np.full(len(draws), -self.action_dim * np.log(2.0))
        return _choice(2.0 * draws - 1.0, density)


@dataclass(frozen=True)
class TruncatedGaussian(BehaviourPolicy):
    """Independent normals around a policy's action, truncated to [-1, 1].

    p(a_j) = phi((a_j - m_j) / s) / (s (Phi((1 - m_j) / s) - Phi((-1 - m_j) / s))). Clipping draws
    of a plain normal would instead put point masses, without a density, on the bounds.

    Raises:
        ConfigError: if `std` is not positive.
    """

    policy: Policy
    std: float
    name: str = "truncated_gaussian"

    def __post_init__(self) -> None:
        if not 0.0 < self.std < np.inf:
            raise ConfigError(f"std must be positive, got {self.std}")

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @override
    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        centre = _actions_of(self.policy, observation)
        low, high = ((bound - centre) / self.std for bound in (-1.0, 1.0))
        draws = rng.uniforms(Purpose.BEHAVIOUR_ACTION, centre.shape[1])
        below, above = ndtr(low), ndtr(high)
        standard = ndtri(below + draws * (above - below))
        actions = np.clip(centre + self.std * standard, -1.0, 1.0)
        return _choice(actions, truncated_log_density(actions, centre, self.std))


def truncated_log_density(actions: FloatArray, centre: FloatArray, std: float) -> FloatArray:
    """Log density of actions (num_envs, action_dim) under `TruncatedGaussian`, (num_envs,)."""
    z, low, high = ((values - centre) / std for values in (actions, -1.0, 1.0))
    # log(Phi(high) - Phi(low)) relative to its larger term, which stays accurate in the tails.
    flip = low > 0.0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    mass = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
    each = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - np.log(std) - mass
    total: FloatArray = each.sum(axis=1)
    return total


@dataclass(frozen=True)
class BoundedUniform(BehaviourPolicy):
    """Uniform in a box around a policy's action; UnifiedRL (2404.17589) uses radius 0.15.

    Where the box would leave [-1, 1] it is truncated, which raises its density.

    Raises:
        ConfigError: if `radius` is not in (0, 2].
    """

    policy: Policy
    radius: float = 0.15
    name: str = "bounded_uniform"

    def __post_init__(self) -> None:
        if not 0.0 < self.radius <= 2.0:
            raise ConfigError(f"radius must be in (0, 2], got {self.radius}")

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @override
    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        centre = _actions_of(self.policy, observation)
        low = np.maximum(centre - self.radius, -1.0)
        high = np.minimum(centre + self.radius, 1.0)
        draws = rng.uniforms(Purpose.BEHAVIOUR_ACTION, centre.shape[1])
        return _choice(low + draws * (high - low), -np.log(high - low).sum(axis=1))


@dataclass(frozen=True)
class Mixture(BehaviourPolicy):
    """A mixture of behaviours: each session follows one, drawn with the given fractions.

    The returned density is that of the component which the session follows. Condition on the
    component's name, or use the mixture density.

    Raises:
        ConfigError: if there is no member, or not one positive fraction for each member.
    """

    members: tuple[BehaviourPolicy, ...]
    fractions: tuple[float, ...]

    def __post_init__(self) -> None:
        if (
            not self.members
            or len(self.members) != len(self.fractions)
            or min(self.fractions) <= 0.0
        ):
            raise ConfigError(
                f"a mixture needs a positive fraction for each of its {len(self.members)} members,"
                f" got {self.fractions}"
            )

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return tuple(name for member in self.members for name in member.names)

    @override
    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        # The draw of the first request selects the behaviour of the whole session.
        first = EpisodeRng(rng.seed, rng.episodes, np.zeros_like(rng.requests))
        draws = first.uniforms(Purpose.BEHAVIOUR, 1)[:, 0]
        edges = np.cumsum(self.fractions) / sum(self.fractions)
        followed = np.minimum(np.searchsorted(edges, draws, side="right"), len(edges) - 1)
        choices = [member.choose(observation, rng) for member in self.members]
        offsets = np.cumsum([0, *(len(member.names) for member in self.members[:-1])])
        rows = np.arange(len(followed))
        return Choice(
            actions=_followed([choice.actions for choice in choices], followed, rows),
            log_densities=_followed([choice.log_densities for choice in choices], followed, rows),
            behaviours=offsets[followed]
            + _followed([choice.behaviours for choice in choices], followed, rows),
        )


@dataclass(frozen=True)
class LoggedActions(BehaviourPolicy):
    """Replays logged actions regardless of the observation.

    Each session repeats the actions of one logged session, drawn at random, and starts over at its
    end. Densities are the logged ones; they are correct if the logged actions did not depend on
    observations.

    Raises:
        ConfigError: if there is no row or no session.
    """

    actions: FloatArray  # (rows, action_dim) in [-1, 1]
    log_densities: FloatArray  # (rows,)
    starts: IntArray  # (sessions,), first row of each session
    name: str = "logged_actions"

    def __post_init__(self) -> None:
        if len(self.actions) == 0 or len(self.starts) == 0:
            raise ConfigError("logged actions need at least one session, got none")

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @override
    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        first = EpisodeRng(rng.seed, rng.episodes, np.zeros_like(rng.requests))
        draws = first.uniforms(Purpose.BEHAVIOUR, 1)[:, 0]
        followed = np.minimum((draws * len(self.starts)).astype(np.int64), len(self.starts) - 1)
        lengths = np.diff(np.append(self.starts, len(self.actions)))
        rows = self.starts[followed] + rng.requests % lengths[followed]
        return _choice(self.actions[rows], self.log_densities[rows])


def _followed(parts: Sequence[NDArray[Any]], followed: IntArray, rows: IntArray) -> NDArray[Any]:
    return np.asarray(np.stack(parts)[followed, rows])


def _choice(actions: FloatArray, log_densities: FloatArray) -> Choice:
    # Densities are those of the float64 draws; rounding to float32 moves an action by about 1e-7.
    behaviours = np.zeros(len(actions), dtype=np.int64)
    return Choice(actions.astype(np.float32), log_densities, behaviours)


def _actions_of(policy: Policy, observation: FloatArray) -> FloatArray:
    actions, _ = policy.predict(observation.astype(np.float32), deterministic=True)
    return np.clip(actions.astype(np.float64), -1.0, 1.0)
