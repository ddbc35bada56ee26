"""The state of a fit: what a gradient step changes, and how it is kept on disk."""

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from mtf_rl.core.errors import ArtifactError
from mtf_rl.core.files import replace_atomically
from mtf_rl.scorers.model import ScorerModel
from mtf_rl.scorers.weightings import Weighting

__all__ = ["Training", "ValidationResult", "WeightAverage", "load_training", "save_training"]

FILE = "training.safetensors"
# Averaging every few steps makes its cost small beside theirs, however large the tables are.
AVERAGE_EVERY = 8

State = dict[str, Tensor]


@dataclass(frozen=True)
class ValidationResult:
    """A look at the validation rows while fitting."""

    step: int
    """Gradient steps taken so far."""

    total_steps: int
    """Gradient steps if fitting is not stopped early."""

    task_losses: tuple[float, ...]
    """(tasks,) mean training loss since the last evaluation, in nats a row, dropout on."""

    monitor: float
    """The monitor on the validation rows, before calibration."""

    is_best: bool
    """Whether this state is the best so far."""

    measures: Mapping[str, float] = field(default_factory=dict)
    """Means since the last evaluation of what the model and the weighting tell: `weight/<task>`,
    `gate_entropy/<task>`, `effective_sample_size`, `order_violations` and so on."""


class WeightAverage:
    """An exponential moving average of a model's weights, which generalises better than the last.

    w~ <- k w~ + (1 - k) w with k = min(keep, (1 + n) / (10 + n)) after n steps, so that early
    weights are forgotten fast; every 8 steps, k^8 at once. The idea is that of Polyak and Juditsky,
    "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992, whose
    weights are equal.
    """

    def __init__(self, model: ScorerModel, keep: float) -> None:
        self.model = copy.deepcopy(model)
        self.keep = keep

    def update(self, model: ScorerModel, step: int) -> None:
        """Take in the weights after `step` steps."""
        if step % AVERAGE_EVERY:
            return
        keep = min(self.keep, (1 + step) / (10 + step)) ** AVERAGE_EVERY
        with torch.no_grad():
            for mean, weight in zip(self.model.parameters(), model.parameters(), strict=True):
                mean.lerp_(weight, 1.0 - keep)


@dataclass
class Training:
    """Everything that the next gradient step depends on, and the best state so far."""

    model: ScorerModel
    weighting: Weighting
    optimizers: tuple[torch.optim.Optimizer, ...]
    average: WeightAverage | None
    best_state: State
    rng: np.random.Generator
    """Draws the order of rows, once an epoch."""

    epoch_rng_state: dict[str, Any]
    """Of `rng`, before it drew the order of the current epoch."""

    step: int = 0
    curve: list[ValidationResult] = field(default_factory=list)

    @property
    def evaluated(self) -> ScorerModel:
        """The model that is evaluated and kept."""
        return self.model if self.average is None else self.average.model


def save_training(folder: Path, training: Training, identity: str) -> None:
    """Write the state, whole or not at all; `identity` says which fit it belongs to.

    It is one file of tensors, without pickle; numbers and random states are in its header.
    """
    tensors = {
        **_prefixed("model", training.model.state_dict()),
        **_prefixed("weighting", training.weighting.state_dict()),
        **_prefixed("best", training.best_state),
        "torch_rng": torch.get_rng_state(),
    }
    if training.average is not None:
        tensors |= _prefixed("average", training.average.model.state_dict())
    for number, optimizer in enumerate(training.optimizers):
        for parameter, moments in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{number}/{parameter}/{name}": torch.as_tensor(value)
                for name, value in moments.items()
            }
    header = {
        "identity": identity,
        "step": training.step,
        "epoch_rng_state": training.epoch_rng_state,
        "curve": [asdict(point) for point in training.curve],
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(contiguous, {"training": json.dumps(header)})
    replace_atomically(folder / FILE, content)


def load_training(folder: Path, training: Training, identity: str) -> bool:
    """Bring a fresh `training` to the saved state; False if none was saved.

    Torch's global generator is set to where it was.

    Raises:
        ArtifactError: if the file is torn, or belongs to another fit.
    """
    path = folder / FILE
    if not path.is_file():
        return False
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}). Delete it to fit anew.") from error
    if header["identity"] != identity:
        raise ArtifactError(
            f"{path} belongs to a fit of other rows, settings or seed. Give another folder."
        )
    training.model.load_state_dict(_under("model", tensors))
    training.weighting.load_state_dict(_under("weighting", tensors))
    training.best_state = _under("best", tensors)
    if training.average is not None:
        training.average.model.load_state_dict(_under("average", tensors))
    for number, optimizer in enumerate(training.optimizers):
        _restore(optimizer, _under(f"optimizer/{number}", tensors))
    training.step = header["step"]
    training.epoch_rng_state = header["epoch_rng_state"]
    training.rng.bit_generator.state = training.epoch_rng_state
    training.curve = [_evaluation(point) for point in header["curve"]]
    torch.set_rng_state(tensors["torch_rng"])
    return True


def _restore(optimizer: torch.optim.Optimizer, moments: State) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in moments.items():
        parameter, moment = name.split("/")
        # Sparse Adam counts in Python integers, whose powers are more precise than a tensor's.
        is_count = value.dtype == torch.int64
        state.setdefault(int(parameter), {})[moment] = int(value) if is_count else value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _evaluation(point: dict[str, Any]) -> ValidationResult:
    return ValidationResult(**point | {"task_losses": tuple(point["task_losses"])})


def _prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}/{name}": tensor for name, tensor in state.items()}


def _under(prefix: str, tensors: State) -> State:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
