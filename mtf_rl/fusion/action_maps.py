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
    """`blocks` of the formulas that this map fits; empty if it wraps another map."""

    def to_parameters(self, action: FloatArray) -> FloatArray:
        """Fusion parameters, (num_envs, action_dim) float32."""
        ...

    def to_action(self, parameters: FloatArray) -> FloatArray:
        """The action that gives these parameters, or the nearest possible one: (..., action_dim).

        Several actions may give the same parameters; one of them is returned.
        """
        ...


@dataclass(frozen=True)
class Box(ActionMap):
    """Weights in [0, 1] for positive tasks and in [-1, 0] for negative ones such as hate.

    If all weights are 0, candidates keep their order in the pool. For a scale-free formula one
    direction of the action is redundant.
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

    The scale of the weights, which most formulas ignore, uses no direction of the action. A shift
    of the whole action changes nothing: `to_action` returns the action with mean 0, clipped to the
    bounds. Two weights differ by a factor of at most e^6.
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
    """Powers mapped as the weights of `Box`; biases beta_k 4^a_k, within a factor of 4 of beta."""

    makes = ("power", "bias")
    signs: FloatArray  # (tasks,)
    betas: FloatArray  # (tasks,), the default biases

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
    """Another map restricted to a small box around a base action: u = base + radius a.

    UnifiedRL explores in this way, within 0.15 of the production policy (Liu et al., 2404.17589).
    The base is moved inwards where the box would leave [-1, 1], so the whole box is usable.
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
    """Names of the action maps that fit the formula of this name.

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
    """Check that an action map fits a formula.

    Raises:
        UnknownNameError: if there is no map or formula of that name.
        ConfigError: if the map does not fit; the message lists the maps that do.
    """
    ACTION_MAPS[action_map]
    fitting = maps_that_fit(formula)
    if action_map not in fitting:
        raise ConfigError(
            f"action map '{action_map}' does not fit formula '{formula}'; use one of"
            f" {', '.join(fitting)}"
        )


def make_action_map(
    name: str,
    formula: FusionFormula,
    *,
    base: tuple[float, ...] = (),
    radius: float = 0.15,
) -> ActionMap:
    """Make an action map for a formula. `check_pair` has to accept the pair.

    Args:
        name: a name in `ACTION_MAPS`.
        formula: the formula that takes the parameters.
        base: centre of `residual`, one weight per task; the tasks' signs by default.
        radius: half-width of the box of `residual`, in units of the action, in (0, 1].

    Raises:
        UnknownNameError: if there is no map of that name; the message lists the known ones.
        ConfigError: if `base` is not one weight per task, or `radius` is out of range.
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
