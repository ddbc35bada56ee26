"""Fitting a scorer: batches sliced from memory, early stopping, calibration."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.core.tasks import NUM_TASKS, TASK_NAMES
from mtf_rl.data import UNSEEN_CODE, FeatureLayout
from mtf_rl.scorers.calibration import CALIBRATORS
from mtf_rl.scorers.configs import (
    check_above_zero,
    check_at_least_zero,
    check_positive,
    check_share,
)
from mtf_rl.scorers.losses import FixedWeights, TaskLosses, multi_task_loss
from mtf_rl.scorers.model import ScorerConfig, ScorerModel
from mtf_rl.scorers.monitors import MONITORS
from mtf_rl.scorers.rows import LabelledRows
from mtf_rl.scorers.scorer import Scorer, model_logits, sigmoid

__all__ = ["Evaluation", "FitConfig", "FittedScorer", "fit_scorer"]

State = dict[str, Tensor]


@dataclass(frozen=True)
class FitConfig:
    """How a scorer is fitted."""

    batch_rows: int = 1024
    """Rows of a gradient step, at least 1."""

    learning_rate: float = 1e-3
    """Adam's step size for everything but the embeddings, above 0."""

    embedding_learning_rate: float = 1e-3
    """Sparse Adam's step size for the embeddings, above 0."""

    weight_decay: float = 0.0
    """Decoupled decay of everything but the embeddings, at least 0."""

    unknown_share: float = 0.2
    """Share of categorical values replaced by "out of vocabulary" while fitting, in [0, 1)."""

    task_weights: tuple[float, ...] = (1.0,) * NUM_TASKS
    """Weight of each task's loss, in task order, at least 0 each, not all 0."""

    max_epochs: int = 6
    """Passes over the training rows at most, at least 1."""

    evaluations_per_epoch: int = 4
    """How often an epoch looks at the validation rows, at least 1."""

    patience: int = 4
    """Evaluations in a row without improvement that end fitting, at least 1."""

    monitor: str = "normalised_entropy"
    """What the best state is best in: `normalised_entropy` (least) or `auc` (largest)."""

    monitor_tasks: tuple[str, ...] = ("click", "long_view", "like", "watch")
    """Tasks over which the monitor is averaged; rarer ones would add mostly noise."""

    calibration: str = "platt"
    """What is fitted on the validation rows at the end: `platt` or `identity`."""

    threads: int = 1
    """Torch threads, at least 1; results are reproducible for a given number."""

    def __post_init__(self) -> None:
        for name in ("batch_rows", "max_epochs", "evaluations_per_epoch", "patience", "threads"):
            check_positive(name, getattr(self, name))
        for name in ("learning_rate", "embedding_learning_rate"):
            check_above_zero(name, getattr(self, name))
        check_at_least_zero("weight_decay", self.weight_decay)
        check_share("unknown_share", self.unknown_share)
        self._check_tasks()
        _ = MONITORS[self.monitor], CALIBRATORS[self.calibration]

    def _check_tasks(self) -> None:
        weights = self.task_weights
        if len(weights) != NUM_TASKS or min(weights) < 0.0 or max(weights) == 0.0:
            raise ConfigError(
                f"task_weights must be {NUM_TASKS} numbers of at least 0, not all 0, got {weights}"
            )
        unknown = [task for task in self.monitor_tasks if task not in TASK_NAMES]
        if unknown or not self.monitor_tasks:
            raise ConfigError(
                f"monitor_tasks must be some of {', '.join(TASK_NAMES)}, got {self.monitor_tasks}"
            )


@dataclass(frozen=True)
class Evaluation:
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


@dataclass(frozen=True)
class FittedScorer:
    """A scorer in its best state, and how fitting went."""

    scorer: Scorer
    curve: tuple[Evaluation, ...]


@dataclass(frozen=True)
class _Tensors:
    """Rows as torch tensors, sliced by index."""

    categorical: Tensor  # (rows, fields) int64
    dense: Tensor  # (rows, dense columns) float32
    targets: Tensor  # (rows, tasks) float32
    mask: Tensor  # (rows, tasks) bool

    def take(self, rows: Tensor) -> "_Tensors":
        return _Tensors(
            self.categorical.index_select(0, rows),
            self.dense.index_select(0, rows),
            self.targets.index_select(0, rows),
            self.mask.index_select(0, rows),
        )


def fit_scorer(
    config: ScorerConfig,
    fit: FitConfig,
    layout: FeatureLayout,
    train: LabelledRows,
    validation: LabelledRows,
    *,
    rng: np.random.Generator,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> FittedScorer:
    """Fit, restore the best state on `validation`, calibrate on `validation`.

    The same `rng` state, rows, versions and number of threads give the same weights; torch's global
    generator and number of threads are left as they were.

    Raises:
        DataError: if there are no training rows, or the monitor is not defined on `validation`.
    """
    if len(train) == 0:
        raise DataError("There are no training rows to fit a scorer on")
    base_rates = train.base_rates()
    with _reproducible(int(rng.integers(2**63)), fit.threads):
        model = config.build(layout)
        model.towers.start_at(torch.from_numpy(base_rates).float())
        curve = _minimise(model, fit, train, validation, rng, on_evaluation)
        logits = model_logits(model, validation.features)
    calibration = CALIBRATORS[fit.calibration](
        logits, validation.targets, validation.mask, base_rates
    )
    scorer = Scorer(
        config=config,
        layout=layout,
        model=model,
        calibration=calibration,
        base_rates=tuple(float(rate) for rate in base_rates),
        row_keys=np.union1d(train.keys, validation.keys),
    )
    return FittedScorer(scorer=scorer, curve=curve)


def _minimise(
    model: ScorerModel,
    fit: FitConfig,
    train: LabelledRows,
    validation: LabelledRows,
    rng: np.random.Generator,
    on_evaluation: Callable[[Evaluation], None] | None,
) -> tuple[Evaluation, ...]:
    """Train `model` in place and leave it in its best state."""
    monitor = MONITORS[fit.monitor]
    weighting = FixedWeights(fit.task_weights)
    optimisers = _optimisers(model, fit)
    schedule = _Schedule(len(train), fit)
    losses: list[Tensor] = []
    curve: list[Evaluation] = []
    best_state, best_value = _copy_state(model), np.nan
    for step, batch in enumerate(_batches(_tensors(train), schedule, rng), start=1):
        weights = weighting(step / schedule.total_steps)
        losses.append(_step(model, optimisers, batch, weights, fit.unknown_share).per_task)
        if not schedule.evaluates_after(step):
            continue
        predictions = sigmoid(model_logits(model, validation.features))
        value = monitor.value(predictions, validation, fit.monitor_tasks)
        if np.isnan(value):
            raise DataError(_undefined(fit))
        is_best = not curve or monitor.improves(value, best_value)
        if is_best:
            best_state, best_value = _copy_state(model), value
        means = tuple(torch.stack(losses).mean(dim=0).tolist())
        curve.append(Evaluation(step, schedule.total_steps, means, value, is_best))
        losses.clear()
        if on_evaluation is not None:
            on_evaluation(curve[-1])
        if not any(point.is_best for point in curve[-fit.patience :]):
            break
    model.load_state_dict(best_state)
    model.eval()
    return tuple(curve)


class _Schedule:
    """When batches and evaluations happen."""

    def __init__(self, rows: int, fit: FitConfig) -> None:
        self.rows = rows
        self.batch_rows = fit.batch_rows
        self.epochs = fit.max_epochs
        self.steps_per_epoch = -(-rows // fit.batch_rows)
        self.total_steps = self.steps_per_epoch * fit.max_epochs
        self._evaluations = min(fit.evaluations_per_epoch, self.steps_per_epoch)

    def evaluates_after(self, step: int) -> bool:
        """Whether the last step of an equal share of the epoch was taken."""
        done = (step - 1) % self.steps_per_epoch + 1
        shares = done * self._evaluations
        return shares // self.steps_per_epoch > (shares - self._evaluations) // self.steps_per_epoch


def _batches(
    tensors: _Tensors, schedule: _Schedule, rng: np.random.Generator
) -> Iterator[_Tensors]:
    """Every row once an epoch, in a fresh order."""
    for _ in range(schedule.epochs):
        order = torch.from_numpy(rng.permutation(schedule.rows))
        for rows in torch.split(order, schedule.batch_rows):
            yield tensors.take(rows)


def _step(
    model: ScorerModel,
    optimisers: tuple[torch.optim.Optimizer, ...],
    batch: _Tensors,
    task_weights: Tensor,
    unknown_share: float,
) -> TaskLosses:
    """One gradient step of every optimiser; the losses are those before it, detached."""
    model.train()
    # Otherwise the out-of-vocabulary rows, met only after the split, would keep their random start.
    unknown = torch.rand(batch.categorical.shape) < unknown_share  # (batch, fields)
    categorical = batch.categorical.masked_fill(unknown, UNSEEN_CODE)
    losses = multi_task_loss(
        model(categorical, batch.dense), batch.targets, batch.mask, task_weights
    )
    for optimiser in optimisers:
        optimiser.zero_grad()
    losses.total.backward()  # type: ignore[no-untyped-call]
    for optimiser in optimisers:
        optimiser.step()
    return TaskLosses(losses.total.detach(), losses.per_task.detach())


def _optimisers(model: ScorerModel, fit: FitConfig) -> tuple[torch.optim.Optimizer, ...]:
    return (
        torch.optim.AdamW(
            model.dense_parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay
        ),
        torch.optim.SparseAdam(model.sparse_parameters(), lr=fit.embedding_learning_rate),
    )


def _tensors(rows: LabelledRows) -> _Tensors:
    return _Tensors(
        categorical=torch.from_numpy(rows.features.categorical),
        dense=torch.from_numpy(rows.features.dense),
        targets=torch.from_numpy(rows.targets),
        mask=torch.from_numpy(rows.mask),
    )


def _copy_state(model: ScorerModel) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _undefined(fit: FitConfig) -> str:
    return (
        f"The monitor {fit.monitor} is not defined on the validation rows: none of"
        f" {', '.join(fit.monitor_tasks)} has both classes there"
    )


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Torch's global generator at `seed` and `threads` threads inside, both restored after."""
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
