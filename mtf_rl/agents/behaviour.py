"""Behaviour policies: what chooses the actions of a batch dataset, with the density of each."""

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
    """Actions that a behaviour policy took, and how likely it was to take them."""

    actions: FloatArray  # (num_envs, action_dim) float32 in [-1, 1]
    log_densities: FloatArray  # (num_envs,) float64, over [-1, 1]^action_dim
    behaviours: IntArray  # (num_envs,), places in the policy's `names`


class BehaviourPolicy(Protocol):
    """A stochastic policy whose density is known for every action that it takes.

    A draw is addressed by episode and request, so a dataset does not depend on how many sessions
    are served at once.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each behaviour that may be followed."""
        ...

    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        """Actions for observations (num_envs, obs_dim)."""
        ...


@dataclass(frozen=True)
class UniformRandom(BehaviourPolicy):
    """Every action alike: density 2^-d.

    Raises:
        ConfigError: if there is no parameter.
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
    """Independent normals around a policy's action, cut to [-1, 1] and normalised there.

    p(a_j) = phi((a_j - m_j) / s) / (s (Phi((1 - m_j) / s) - Phi((-1 - m_j) / s))). Cutting draws
    of a plain normal instead would put points of positive mass on the borders, without a density.

    Raises:
        ConfigError: if the deviation is not positive.
    """

    policy: Policy
    std: float
    name: str = "truncated_gaussian"

    def __post_init__(self) -> None:
        if not 0.0 < self.std < np.inf:
            raise ConfigError(f"deviation must be positive, got {self.std}")

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
    """The log density of actions (num_envs, d) under `TruncatedGaussian`, (num_envs,)."""
    z, low, high = ((values - centre) / std for values in (actions, -1.0, 1.0))
    # log(Phi(high) - Phi(low)) by its larger term, which is exact far out in a tail.
    flip = low > 0.0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    mass = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
    each = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - np.log(std) - mass
    total: FloatArray = each.sum(axis=1)
    return total


@dataclass(frozen=True)
class BoundedUniform(BehaviourPolicy):
    """Uniform within a radius of a policy's action, as UnifiedRL explores (2404.17589): 0.15.

    Where the box would leave [-1, 1] it is cut there, and its density is higher.

    Raises:
        ConfigError: if the radius is not in (0, 2].
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
    """One of several behaviours for each session, drawn by share.

    The density of an action is that of the behaviour which the session follows: whoever knows
    the names may use it as it is; whoever does not needs the sum over behaviours.

    Raises:
        ConfigError: if there is no member, or shares are not positive, one for each.
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
                f"a mixture needs a positive share for each of its {len(self.members)} members,"
                f" got {self.fractions}"
            )

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return tuple(name for member in self.members for name in member.names)

    @override
    def choose(self, observation: FloatArray, rng: EpisodeRng) -> Choice:
        # A session keeps its behaviour: the draw is that of its first request.
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
    """The actions of a log's sessions, whatever is observed: each session repeats a drawn one.

    A session that outlasts the one it repeats starts it over. Where the log's actions depended on
    nothing that was observed, each is distributed as its behaviour policy's; densities are those
    that were logged.

    Raises:
        ConfigError: if there is no row.
    """

    actions: FloatArray  # (rows, action_dim) in [-1, 1]
    log_densities: FloatArray  # (rows,)
    starts: IntArray  # (sessions,), rows at which sessions start
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
    # Densities are those of the draws; float32 moves an action by 1e-7 of its range.
    behaviours = np.zeros(len(actions), dtype=np.int64)
    return Choice(actions.astype(np.float32), log_densities, behaviours)


def _actions_of(policy: Policy, observation: FloatArray) -> FloatArray:
    actions, _ = policy.predict(observation.astype(np.float32), deterministic=True)
    return np.clip(actions.astype(np.float64), -1.0, 1.0)
