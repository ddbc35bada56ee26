"""Checkpoints of learners: a resumed run ends with the weights of an uninterrupted run.

Sessions are a function of the seed and of the actions taken. A checkpoint therefore stores the
actions (the tape), and resuming replays them without updates, which restores the replay buffer,
the sessions and the budget. It also stores the tensors of networks and optimizers, all random
states, counters, and the values logged since the last log line. Everything is in one safetensors
file, replaced atomically; no pickle.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from mtf_rl.agents.offline.sampling import TransitionSampler
from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import replace_atomically

__all__ = ["Checkpoint", "load_checkpoint", "play_again", "restore", "save_checkpoint"]

CHECKPOINT_VERSION = 1
_TAPE, _NUMPY, _TORCH = "tape", "random/numpy", "random/torch"
_SAMPLER = "random/sampler"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file that `save_checkpoint` wrote."""

    tape: NDArray[np.float32]  # (time, num_envs, action_dim), the actions taken
    tensors: Mapping[str, NDArray[Any]]
    card: Mapping[str, Any]  # everything except arrays
    path: Path

    @property
    def mark(self) -> int:
        """Length of the run's metrics file at the checkpoint, in bytes."""
        return int(self.card["mark"])

    @property
    def num_timesteps(self) -> int:
        """SB3's count of steps: requests, or updates of a batch-RL model."""
        return int(self.card["num_timesteps"])

    @property
    def beside(self) -> dict[str, NDArray[Any]]:
        """Arrays that the learner stored in addition to its model."""
        return {
            name.removeprefix("beside/"): value
            for name, value in self.tensors.items()
            if name.startswith("beside/")
        }


def save_checkpoint(
    path: Path,
    model: Any,
    tape: NDArray[np.float32],
    *,
    mark: int,
    beside: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write the state of an SB3 model between two of its rollouts.

    Args:
        path: the file to write.
        model: the SB3 model.
        tape: actions taken since the first reset, (time, num_envs, action_dim); empty for a
            batch-RL model.
        mark: length of the run's metrics file, in bytes.
        beside: arrays to store in addition to the model.
    """
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, position, has_gauss, cached = numpy_state
    version, internal, gauss = random.getstate()
    card = {
        "version": CHECKPOINT_VERSION,
        "class": type(model).__name__,
        "mark": mark,
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "python": [version, list(internal), gauss],
        "numpy": [kind, position, has_gauss, cached],
        "generators": {
            name: generator.bit_generator.state for name, generator in _generators_of(model).items()
        },
        "logged": _numbers(model.logger.name_to_value),
        "logged_counts": dict(model.logger.name_to_count),
    }
    arrays: dict[str, NDArray[Any]] = {
        _TAPE: tape,
        _NUMPY: keys,
        _TORCH: torch.get_rng_state().numpy(),
    }
    arrays |= {f"beside/{name}": value for name, value in (beside or {}).items()}
    sampler = _sampler_of(model)
    if sampler is not None:
        arrays[_SAMPLER] = sampler.generator.get_state().numpy()
    content = save(arrays | _tensors_of(model), metadata={"card": json.dumps(card)})
    replace_atomically(path, content)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ArtifactError: if the file is missing, damaged or of another version.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads(file.metadata()["card"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        tape = arrays.pop(_TAPE)
    except Exception as error:
        raise ArtifactError(
            f"The checkpoint {path} cannot be read ({error}). Remove it to train from the start."
        ) from error
    if card.get("version") != CHECKPOINT_VERSION:
        raise ArtifactError(
            f"The checkpoint {path} has version {card.get('version')}; this program reads version"
            f" {CHECKPOINT_VERSION}. Remove it to train from the start."
        )
    return Checkpoint(tape, arrays, card, path)


def play_again(model: Any, checkpoint: Checkpoint, on_step: Callable[[], None]) -> None:
    """Replay a checkpoint's tape to restore sessions, budget, replay buffer and counters.

    Args:
        model: a fresh model with the checkpoint's settings; its sessions are reset here.
        checkpoint: the checkpoint whose tape is replayed.
        on_step: called after each batched step, before its transitions are stored, as in SB3.
    """
    env: Any = model.env
    model.ep_info_buffer = deque(maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model._last_obs = env.reset()
    model._last_episode_starts = np.ones(env.num_envs, dtype=bool)
    stores = isinstance(model, OffPolicyAlgorithm)
    for actions in checkpoint.tape:  # (num_envs, action_dim)
        # SB3 stores actions of off-policy learners on its own scale; so does the tape.
        taken = model.policy.unscale_action(actions) if stores else actions
        observation, rewards, dones, infos = env.step(taken)
        model.num_timesteps += env.num_envs
        on_step()
        model._update_info_buffer(infos, dones)
        if stores:
            model._store_transition(
                model.replay_buffer, actions, observation, rewards, dones, infos
            )
            model._episode_num += int(dones.sum())
        else:
            model._last_obs, model._last_episode_starts = observation, dones


def restore(model: Any, checkpoint: Checkpoint) -> None:
    """Restore tensors, random states and counters of a model, after `play_again`.

    Raises:
        ArtifactError: if the checkpoint is of another learner or step count.
    """
    card, tensors = checkpoint.card, checkpoint.tensors
    name, steps = type(model).__name__, model.num_timesteps
    if (name, steps) != (card["class"], card["num_timesteps"]):
        raise ArtifactError(
            f"The checkpoint {checkpoint.path} is of {card['class']} after"
            f" {card['num_timesteps']} steps, not of {name} after {steps}. Remove it to train from"
            " the start."
        )
    _load_tensors(model, tensors)
    model._n_updates = card["n_updates"]
    model.logger.name_to_value.update(card["logged"])
    model.logger.name_to_count.update(card["logged_counts"])
    version, internal, gauss = card["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, position, has_gauss, cached = card["numpy"]
    np.random.set_state((kind, tensors[_NUMPY], position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(tensors[_TORCH].copy()))
    sampler = _sampler_of(model)
    if sampler is not None:
        sampler.generator.set_state(torch.from_numpy(tensors[_SAMPLER].copy()))
    for name, generator in _generators_of(model).items():
        generator.bit_generator.state = card["generators"][name]


def _sampler_of(model: Any) -> TransitionSampler | None:
    buffer = getattr(model, "replay_buffer", None)
    return buffer if isinstance(buffer, TransitionSampler) else None


def _generators_of(model: Any) -> dict[str, np.random.Generator]:
    """NumPy generators that belong to the model."""
    generators = {"action_space": model.action_space.np_random}
    if hasattr(model, "exploration"):
        generators["exploration"] = model.exploration.generator
    return generators


def _numbers(logged: Mapping[str, Any]) -> dict[str, float]:
    kinds = int | float | np.number | torch.Tensor
    return {name: float(value) for name, value in logged.items() if isinstance(value, kinds)}


def _parts_of(model: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Networks and optimizers by name, and all other tensors by name."""
    names, loose = model._get_torch_save_params()
    parts = {name: reduce(getattr, name.split("."), model) for name in names}
    return parts, {name: getattr(model, name) for name in loose}


def _tensors_of(model: Any) -> dict[str, NDArray[Any]]:
    parts, loose = _parts_of(model)
    tensors = {f"loose/{name}": value for name, value in loose.items()}
    for name, part in parts.items():
        state = part.state_dict()
        if not isinstance(part, torch.optim.Optimizer):
            tensors |= {f"{name}/{key}": value for key, value in state.items()}
            continue
        for number, entry in state["state"].items():
            tensors |= {f"{name}/{number}/{key}": value for key, value in entry.items()}
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}


def _load_tensors(model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    parts, loose = _parts_of(model)
    for name, value in loose.items():
        value.data.copy_(torch.from_numpy(arrays[f"loose/{name}"].copy()))
    for name, part in parts.items():
        own = {
            key.removeprefix(f"{name}/"): torch.from_numpy(array.copy())
            for key, array in arrays.items()
            if key.startswith(f"{name}/")
        }
        if not isinstance(part, torch.optim.Optimizer):
            part.load_state_dict(own)
            continue
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in own.items():
            number, entry = key.split("/")
            moments.setdefault(int(number), {})[entry] = value
        # SB3 sets learning rates before each update, so the fresh parameter groups can stay.
        part.load_state_dict(part.state_dict() | {"state": moments})
