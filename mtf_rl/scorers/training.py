"""The state of a scorer's fit, and its checkpoint on disk."""

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
# Averaging only every few steps keeps its cost small, even for large embedding tables.
AVERAGE_EVERY = 8

State = dict[str, Tensor]


@dataclass(frozen=True)
class ValidationResult:
    """One evaluation on the validation rows during fitting."""

    step: int
    """Number of gradient steps so far."""

    total_steps: int
    """Number of gradient steps without early stopping."""

    task_losses: tuple[float, ...]
    """(tasks,) mean training loss since the last evaluation, in nats a row, dropout on."""

    monitor: float
    """Value of the monitor on the validation rows, before calibration."""

    is_best: bool
    """Whether this state is the best so far."""

    measures: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the model and the weighting, averaged since the last evaluation, such as
    `weight/<task>`, `gate_entropy/<task>`, `effective_sample_size` and `order_violations`."""


class WeightAverage:
    """An exponential moving average of a model's weights; it generalises better than the last ones.

    w~ <- k w~ + (1 - k) w with k = min(keep, (1 + n) / (10 + n)) after n steps, so that the initial
    weights lose influence fast. The update runs every 8 steps with k^8. Source: Polyak and
    Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30,
    1992. Unlike the paper, we do not average all steps equally.
    """

    def __init__(self, model: ScorerModel, keep: float) -> None:
        self.model = copy.deepcopy(model)
        self.keep = keep

    def update(self, model: ScorerModel, step: int) -> None:
        """Update the average with the weights after `step` steps."""
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
    """Draws the order of rows, once per epoch."""

    epoch_rng_state: dict[str, Any]
    """State of `rng` before it drew the current epoch's order."""

    step: int = 0
    curve: list[ValidationResult] = field(default_factory=list)

    @property
    def evaluated(self) -> ScorerModel:
        """The model that is evaluated and saved: the average, if there is one."""
        return self.model if self.average is None else self.average.model


def save_training(folder: Path, training: Training, identity: str) -> None:
    """Write the state of a fit atomically, as one safetensors file without pickle.

    Numbers and random states are in the file's header. `identity` is a hash of the fit's inputs.
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
    """Restore the saved state into a newly created `training`; False if there is no saved state.

    Also restores torch's global generator.

    Raises:
        ArtifactError: if the file is corrupt, or belongs to another fit.
    """
    path = folder / FILE
    if not path.is_file():
        return False
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read ({error}). Delete it to start the fit again."
        ) from error
    if header["identity"] != identity:
        raise ArtifactError(
            f"{path} belongs to a fit with other rows, settings or seed. Choose another folder."
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
        # Sparse Adam counts steps in Python integers, whose powers are more precise than tensors'.
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
