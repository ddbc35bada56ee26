"""Save and load policy folders: `policy.json` and `policy.safetensors`.

Loading runs no code from the folder: names of formulas, action maps and activations are looked up
in registries. A formula `module:Class` is imported only if the caller repeats its name.
"""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from mtf_rl.agents.fusion_policy import FusionPolicy, FusionSetting
from mtf_rl.agents.inputs import on_observation
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.policies import (
    ConstantPolicy,
    GenerativePolicy,
    MlpPolicy,
    SavedPolicy,
    TablePolicy,
)
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import load_json, replace_atomically, save_json
from mtf_rl.core.origin import remedy
from mtf_rl.core.plugins import refuse_unrepeated
from mtf_rl.data.profile_scale import ProfileScale
from mtf_rl.fusion import FusionConfig

__all__ = ["load_policy", "save_policy"]

POLICY_VERSION = 3
_MAKE_AGAIN = "Make it again, with the command that trained it."
_NETWORKS = {
    "constant": (),
    "table": (),
    "mlp": ("network",),
    "generative": ("decoder", "perturbation", "critic"),
}


def save_policy(folder: str | Path, policy: FusionPolicy) -> None:
    """Write a policy folder: first the arrays, then the JSON card with their checksum.

    Only inputs that can change an action are saved.

    Raises:
        ArtifactError: if an array holds NaN or infinity.
    """
    folder = Path(folder)
    served = policy.served
    kind = _kind_of(served)
    networks = {name: getattr(served, name) for name in _NETWORKS[kind]}
    tensors = {
        name: np.ascontiguousarray(array) for name, array in _arrays_of(served, networks).items()
    }
    content = save(tensors)
    card = {
        "version": POLICY_VERSION,
        "kind": kind,
        "networks": {
            name: {
                "layers": len(network.weights),
                "hidden": network.hidden,
                "output": network.output,
            }
            for name, network in networks.items()
        },
        "action_flexibility": served.action_flexibility
        if isinstance(served, GenerativePolicy)
        else None,
        "input_bound": served.input_bound
        if isinstance(served, MlpPolicy) and served.input_bound < np.inf
        else None,
        "inputs": list(policy.inputs),
        "setting": {
            "observation": list(policy.setting.observation),
            "base_rates": list(policy.setting.base_rates),
            **policy.setting.fusion.to_json(),
            "profile": None if policy.setting.profile is None else policy.setting.profile.to_json(),
        },
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
    }
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ArtifactError(
                f"{name} of the policy holds NaN or infinity: learning has diverged. Train again"
                " with a smaller learning_rate"
            )
    replace_atomically(folder / "policy.safetensors", content)
    save_json(folder / "policy.json", card)


def load_policy(folder: str | Path, *, extensions: Collection[str] = ()) -> FusionPolicy:
    """Load a policy that `save_policy` wrote.

    Args:
        folder: the policy folder.
        extensions: names `module:Class` that may be imported. A policy with a user's own formula
            is loaded only if its name is given here.

    Raises:
        ArtifactError: if a file is missing, damaged, of another version or inconsistent.
        ConfigError: if the policy needs an extension that is not in `extensions`.
    """
    folder = Path(folder)
    path = folder / "policy.json"
    card = load_json(path)
    version = card.get("version") if isinstance(card, dict) else None
    if version != POLICY_VERSION:
        raise ArtifactError(
            f"{path} has version {version}; this program reads version {POLICY_VERSION}."
            f" {remedy(folder, 'Make it again')}"
        )
    tensors = _read_tensors(folder / "policy.safetensors", card.get("tensors_sha256"))
    refuse_unrepeated(_formula_of(card), source=folder, repeated=extensions)
    try:
        setting = _setting_of(card["setting"])
        served = _policy_of(card, tensors)
        inputs = _positions(card["inputs"], setting, served)
        return FusionPolicy(on_observation(served, inputs, len(setting.observation)), setting)
    except Exception as error:
        raise ArtifactError(
            f"{folder} is not a valid policy folder ({type(error).__name__}: {error})."
            f" {_MAKE_AGAIN}"
        ) from error


def _formula_of(card: dict[str, Any]) -> object:
    setting = card.get("setting")
    return setting.get("formula") if isinstance(setting, dict) else None


def _read_tensors(path: Path, checksum: object) -> dict[str, FloatArray]:
    """Read the arrays and check their checksum, type and finiteness.

    Raises:
        ArtifactError: if the file is missing, damaged or not the one that the card describes.
    """
    try:
        content = path.read_bytes()
        arrays: dict[str, FloatArray] = load(content)
    except Exception as error:
        raise ArtifactError(f"{path} cannot be read ({error}). {_MAKE_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ArtifactError(
            f"{path} does not match policy.json: its SHA-256 differs. {_MAKE_AGAIN}"
        )
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ArtifactError(f"{path}: {name} must hold only finite floats. {_MAKE_AGAIN}")
    return arrays


def _kind_of(policy: SavedPolicy) -> str:
    if isinstance(policy, ConstantPolicy):
        return "constant"
    if isinstance(policy, TablePolicy):
        return "table"
    return "mlp" if isinstance(policy, MlpPolicy) else "generative"


def _arrays_of(policy: SavedPolicy, networks: Mapping[str, Mlp]) -> dict[str, FloatArray]:
    if isinstance(policy, ConstantPolicy):
        return {"action": np.asarray(policy.action, dtype=np.float32)}
    if isinstance(policy, TablePolicy):
        return {"edges": policy.edges, "actions": policy.actions}
    arrays = {"mean": policy.mean, "scale": policy.scale}
    if isinstance(policy, GenerativePolicy):
        arrays["latents"] = policy.latents
    for name, network in networks.items():
        for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            arrays |= {f"{name}/weight_{layer}": weight, f"{name}/bias_{layer}": bias}
    return arrays


def _policy_of(card: dict[str, Any], tensors: Mapping[str, FloatArray]) -> SavedPolicy:
    kind = card["kind"]
    if kind not in _NETWORKS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(_NETWORKS)}")
    if kind == "constant":
        return ConstantPolicy(tensors["action"])
    if kind == "table":
        return TablePolicy(1, 0, tensors["edges"], tensors["actions"])
    networks = {
        name: _network_of(name, card["networks"][name], tensors) for name in _NETWORKS[kind]
    }
    mean, scale = tensors["mean"], tensors["scale"]
    if kind == "mlp":
        bound = card.get("input_bound")
        return MlpPolicy(mean, scale, networks["network"], np.inf if bound is None else bound)
    return GenerativePolicy(
        mean,
        scale,
        **networks,
        action_flexibility=float(card["action_flexibility"]),
        latents=tensors["latents"],
    )


def _setting_of(record: dict[str, Any]) -> FusionSetting:
    profile = record["profile"]
    return FusionSetting(
        observation=tuple(record["observation"]),
        base_rates=tuple(record["base_rates"]),
        fusion=FusionConfig.of_record(record),
        profile=None if profile is None else ProfileScale.of_record(profile),
    )


def _positions(inputs: list[str], setting: FusionSetting, served: SavedPolicy) -> IntArray:
    """Positions of the policy's inputs in the observation."""
    unknown = [name for name in inputs if name not in setting.observation]
    if unknown:
        raise ValueError(f"inputs {', '.join(unknown)} are not observed")
    expected = 0 if isinstance(served, ConstantPolicy) else served.obs_dim
    if len(inputs) != expected:
        raise ValueError(f"inputs must be {expected} names, got {len(inputs)}")
    return np.array([setting.observation.index(name) for name in inputs], dtype=np.int64)


def _network_of(name: str, described: dict[str, Any], tensors: Mapping[str, FloatArray]) -> Mlp:
    layers = range(described["layers"])
    return Mlp(
        weights=tuple(tensors[f"{name}/weight_{layer}"] for layer in layers),
        biases=tuple(tensors[f"{name}/bias_{layer}"] for layer in layers),
        hidden=described["hidden"],
        output=described["output"],
    )
