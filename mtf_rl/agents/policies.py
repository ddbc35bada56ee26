"""Policies as plain arrays: they predict without an environment and load without running code."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ArtifactError, ShapeError
from mtf_rl.core.files import load_json, replace_atomically, save_json
from mtf_rl.core.protocols import Policy

__all__ = ["ConstantPolicy", "MlpPolicy", "load_policy", "save_policy"]

POLICY_VERSION = 1


@dataclass(frozen=True)
class ConstantPolicy(Policy):
    """The same action at every request: static fusion weights."""

    action: FloatArray  # (num_parameters,) in [-1, 1]

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
class MlpPolicy(Policy):
    """A deterministic actor: standardise, hidden layers with ReLU, tanh.

    Sums run in float64, so that an action hardly depends on how many users are served at once.

    Raises:
        ShapeError: if the layers do not fit each other.
    """

    mean: FloatArray  # (obs_dim,) subtracted from the observation
    scale: FloatArray  # (obs_dim,) which then divides it
    weights: tuple[FloatArray, ...]  # each (outputs, inputs)
    biases: tuple[FloatArray, ...]  # each (outputs,)

    def __post_init__(self) -> None:
        width = len(self.mean)
        check_shape("scale", self.scale, "obs_dim", (width,))
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            check_shape(f"weights[{layer}]", weight, "outputs, inputs", (len(bias), width))
            width = len(bias)

    @override
    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        if observation.ndim != 2 or observation.shape[1] != len(self.mean):
            raise ShapeError(
                f"observation must have shape (num_envs, obs_dim) = (any, {len(self.mean)}), "
                f"got {observation.shape}"
            )
        hidden = (observation.astype(np.float64) - self.mean) / self.scale
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight.astype(np.float64).T + bias, 0.0)
        out = hidden @ self.weights[-1].astype(np.float64).T + self.biases[-1]
        return np.tanh(out).astype(np.float32), state


def save_policy(folder: Path, policy: ConstantPolicy | MlpPolicy, *, names: Sequence[str]) -> None:
    """Write `policy.json` (kind, version, observation names) and `policy.safetensors`."""
    arrays = _arrays_of(policy)
    card = {
        "version": POLICY_VERSION,
        "kind": "constant" if isinstance(policy, ConstantPolicy) else "mlp",
        "observation": list(names),
        "layers": len(arrays) // 2 - 1,
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    replace_atomically(folder / "policy.safetensors", save(tensors))
    save_json(folder / "policy.json", card)


def load_policy(folder: Path) -> ConstantPolicy | MlpPolicy:
    """Read what `save_policy` wrote.

    Raises:
        ArtifactError: if the files are missing, torn, or of another version.
    """
    card = load_json(folder / "policy.json")
    if card.get("version") != POLICY_VERSION:
        raise ArtifactError(
            f"{folder / 'policy.json'} is of version {card.get('version')}, "
            f"this program reads {POLICY_VERSION}"
        )
    try:
        arrays = load_file(folder / "policy.safetensors")
        if card["kind"] == "constant":
            return ConstantPolicy(arrays["action"])
        layers = range(card["layers"])
        return MlpPolicy(
            mean=arrays["mean"],
            scale=arrays["scale"],
            weights=tuple(arrays[f"weight_{layer}"] for layer in layers),
            biases=tuple(arrays[f"bias_{layer}"] for layer in layers),
        )
    except Exception as error:
        raise ArtifactError(f"{folder / 'policy.safetensors'} cannot be read: {error}") from error


def _arrays_of(policy: ConstantPolicy | MlpPolicy) -> dict[str, FloatArray]:
    if isinstance(policy, ConstantPolicy):
        return {"action": np.asarray(policy.action, dtype=np.float32)}
    arrays = {"mean": policy.mean, "scale": policy.scale}
    for layer, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        arrays |= {f"weight_{layer}": weight, f"bias_{layer}": bias}
    return arrays
