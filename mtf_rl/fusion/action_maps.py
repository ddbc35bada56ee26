"""Maps from an agent's action in [-1, 1] to fusion parameters."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.fusion.formulas import FusionFormula, formula_named

__all__ = [
    "ACTION_MAPS",
    "ActionMap",
    "Box",
    "PowerBias",
    "Residual",
    "Simplex",
    "check_pair",
    "make_action_map",
    "maps_that_fit",
]

SIMPLEX_SHARPNESS = 3.0
BIAS_RANGE = 4.0


class ActionMap(Protocol):
    """A map of actions (num_envs, action_dim) in [-1, 1] onto fusion parameters."""

    makes: ClassVar[tuple[str, ...]]
    """The `blocks` of the formulas whose parameters it makes; empty for those of another map."""

    def to_parameters(self, action: FloatArray) -> FloatArray:
        """Fusion parameters, (num_envs, action_dim) float32."""
        ...

    def to_action(self, parameters: FloatArray) -> FloatArray:
        """The action that makes these parameters, or the nearest that can: (..., action_dim).

        What the map cannot tell apart comes back as one action.
        """
        ...


@dataclass(frozen=True)
class Box(ActionMap):
    """Weights in [0, 1] for a task of which more is better, in [-1, 0] for hate.

    Weights of zero for every task leave the order to the position in the pool; where a positive
    rescaling leaves the order unchanged, one direction of the action is redundant.
    """

    makes = ("weight",)
    signs: FloatArray  # (tasks,)

    @override
    def to_parameters(self, action: FloatArray) -> FloatArray:
        magnitudes = (action.astype(np.float32) * self.signs + 1.0) * 0.5
        weights: FloatArray = magnitudes * self.signs
        return weights

    @override
    def to_action(self, parameters: FloatArray) -> FloatArray:
        magnitudes = np.clip(parameters.astype(np.float32) * self.signs, 0.0, 1.0)
        action: FloatArray = (2.0 * magnitudes - 1.0) * self.signs
        return action


@dataclass(frozen=True)
class Simplex(ActionMap):
    """w_k = sign_k softmax_k(3 a): weights whose magnitudes sum to 1.

    No direction is spent on the scale, which most formulas ignore; only a shift of the whole
    action is, and `to_action` returns the one whose mean is 0, cut to the bounds. Two weights
    differ by a factor of e^6 at most.
    """

    makes = ("weight",)
    signs: FloatArray  # (tasks,)

    @override
    def to_parameters(self, action: FloatArray) -> FloatArray:
        powers = np.exp(np.float32(SIMPLEX_SHARPNESS) * action.astype(np.float32))
        total = powers[..., 0].copy()
        for task in range(1, powers.shape[-1]):  # a fixed order, as in the formulas
            total += powers[..., task]
        weights: FloatArray = powers / total[..., None] * self.signs
        return weights

    @override
    def to_action(self, parameters: FloatArray) -> FloatArray:
        magnitudes = np.maximum(parameters.astype(np.float64) * self.signs, 1e-6)
        logs = np.log(magnitudes) / SIMPLEX_SHARPNESS
        centred = logs - logs.mean(axis=-1, keepdims=True)
        action: FloatArray = np.clip(centred, -1.0, 1.0).astype(np.float32)
        return action


@dataclass(frozen=True)
class PowerBias(ActionMap):
    """Powers as `Box` makes weights, and biases beta_k 4^a_k: within a factor of 4 of usual."""

    makes = ("power", "bias")
    signs: FloatArray  # (tasks,)
    betas: FloatArray  # (tasks,), the usual biases

    @override
    def to_parameters(self, action: FloatArray) -> FloatArray:
        width = len(self.signs)
        powers = Box(self.signs).to_parameters(action[..., :width])
        exponents = action[..., width:].astype(np.float32)
        biases = self.betas.astype(np.float32) * np.float32(BIAS_RANGE) ** exponents
        return np.concatenate([powers, biases], axis=-1)

    @override
    def to_action(self, parameters: FloatArray) -> FloatArray:
        width = len(self.signs)
        powers = Box(self.signs).to_action(parameters[..., :width])
        ratios = parameters[..., width:].astype(np.float64) / self.betas
        exponents = np.log(np.maximum(ratios, 1e-6)) / np.log(BIAS_RANGE)
        biases = np.clip(exponents, -1.0, 1.0).astype(np.float32)
        return np.concatenate([powers, biases], axis=-1)


@dataclass(frozen=True)
class Residual(ActionMap):
    """Another map's actions within a small box around a base action: u = base + radius a.

    UnifiedRL explores so, within 0.15 of the production policy (Liu et al., 2404.17589). The base
    is moved inwards where the box would leave [-1, 1], so that no part of it is cut off.
    """

    makes = ()
    inner: ActionMap
    base: FloatArray  # (action_dim,), an action of the inner map
    radius: float

    @property
    def _centre(self) -> FloatArray:
        limit = np.float32(1.0 - self.radius)
        return np.clip(self.base.astype(np.float32), -limit, limit)

    @override
    def to_parameters(self, action: FloatArray) -> FloatArray:
        moved = self._centre + np.float32(self.radius) * action.astype(np.float32)
        return self.inner.to_parameters(moved)

    @override
    def to_action(self, parameters: FloatArray) -> FloatArray:
        offset = (self.inner.to_action(parameters) - self._centre) / np.float32(self.radius)
        return np.clip(offset, -1.0, 1.0)


ACTION_MAPS: Registry[type[ActionMap]] = Registry(
    "action map",
    {"box": Box, "simplex": Simplex, "residual": Residual, "power_bias": PowerBias},
)


def maps_that_fit(formula: str) -> tuple[str, ...]:
    """Names of the action maps that make a formula's parameters, given its name.

    Raises:
        UnknownNameError: if there is no formula of that name.
    """
    blocks = formula_named(formula).blocks
    plain = tuple(kind.makes for kind in ACTION_MAPS.values() if kind.makes)
    return tuple(
        name
        for name, kind in ACTION_MAPS.items()
        if blocks == kind.makes or (not kind.makes and blocks in plain)
    )


def check_pair(formula: str, action_map: str) -> None:
    """Refuse an action map that does not make the formula's parameters.

    Raises:
        UnknownNameError: if there is no map or formula of that name.
        ConfigError: naming the maps that do.
    """
    ACTION_MAPS[action_map]
    fitting = maps_that_fit(formula)
    if action_map not in fitting:
        raise ConfigError(
            f"action map '{action_map}' does not make the parameters of formula '{formula}'; "
            f"maps that do: {', '.join(fitting)}"
        )


def make_action_map(
    name: str,
    formula: FusionFormula,
    *,
    base: tuple[float, ...] = (),
    radius: float = 0.15,
) -> ActionMap:
    """The action map of that name for a formula that `check_pair` allows it.

    Args:
        name: in `ACTION_MAPS`.
        formula: whose parameters are made.
        base: weights around which `residual` moves, one per task; the tasks' signs by default.
        radius: of the box of `residual`, in units of the action, in (0, 1].

    Raises:
        UnknownNameError: naming the known maps.
        ConfigError: if `base` is not one weight per task, or the radius out of range.
    """
    if ACTION_MAPS[name] is not Residual:
        return _plain_map(name, formula)
    if not 0.0 < radius <= 1.0:
        raise ConfigError(f"radius must be in (0, 1], got {radius}")
    signs = formula.tasks.signs
    if base and len(base) != len(signs):
        raise ConfigError(
            f"base must have one weight for each of {', '.join(formula.tasks.names)}, got {base}"
        )
    weights = np.asarray(base, dtype=np.float32) if base else signs
    inner = next(name for name, kind in ACTION_MAPS.items() if kind.makes == formula.blocks)
    plain = _plain_map(inner, formula)
    return Residual(plain, plain.to_action(formula.parameters_of(weights)), radius)


def _plain_map(name: str, formula: FusionFormula) -> ActionMap:
    signs = formula.tasks.signs
    if name == "power_bias":
        return PowerBias(signs, formula.parameters_of(signs)[len(signs) :])
    return Simplex(signs) if name == "simplex" else Box(signs)
