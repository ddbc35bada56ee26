"""Fitting a scorer: gradient steps, early stopping, calibration."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import DataError
from mtf_rl.data import UNSEEN_CODE, FeatureLayout
from mtf_rl.scorers.calibration import (
    CALIBRATORS,
    Calibration,
    TabCalibration,
    calibrate_by_tab,
)
from mtf_rl.scorers.chains import Chain, warn_of_violations
from mtf_rl.scorers.fit_config import ScorerFitConfig
from mtf_rl.scorers.losses import order_penalty
from mtf_rl.scorers.model import ScorerConfig, ScorerModel
from mtf_rl.scorers.monitors import MONITORS
from mtf_rl.scorers.rows import LabelledRows
from mtf_rl.scorers.scorer import Scorer, model_logits, sigmoid, tab_codes
from mtf_rl.scorers.training import (
    Training,
    ValidationResult,
    WeightAverage,
    load_training,
    save_training,
)
from mtf_rl.scorers.weightings import WEIGHTINGS

__all__ = ["FittedScorer", "ValidationResult", "fit_scorer"]


@dataclass(frozen=True)
class FittedScorer:
    """A scorer in its best state, and the validation results during fitting."""

    scorer: Scorer
    curve: tuple[ValidationResult, ...]


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

    def to(self, device: torch.device) -> "_Tensors":
        tensors = (self.categorical, self.dense, self.targets, self.mask)
        return _Tensors(*(tensor.to(device) for tensor in tensors))


def fit_scorer(
    config: ScorerConfig,
    fit: ScorerFitConfig,
    layout: FeatureLayout,
    train: LabelledRows,
    validation: LabelledRows,
    *,
    rng: np.random.Generator,
    past_keys: IntArray | None = None,
    on_evaluation: Callable[[ValidationResult], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> FittedScorer:
    """Fit a scorer on `train`, select its best state on `validation` and calibrate it there.

    The same `rng` state, rows, versions and number of threads give the same weights. Torch's global
    generator and number of threads are restored afterwards.

    Args:
        config: settings of the model.
        fit: settings of the fit.
        layout: layout of the features.
        train: training rows.
        validation: rows for early stopping and calibration.
        rng: source of all random numbers.
        past_keys: keys of all rows whose feedback enters the features; they are added to the
            scorer's `row_keys`. By default, only training and validation rows are recorded.
        on_evaluation: called after each evaluation on the validation rows; a resumed fit also calls
            it for the evaluations before the checkpoint.
        on_step: called after each gradient step with its number and the maximum number of steps.
        checkpoint: folder in which the fit is saved at each evaluation. An interrupted fit resumes
            from there and ends with the same weights as an uninterrupted one.
        device: torch device of the fit; the scorer is returned on the CPU. Only `cpu` gives
            reproducible weights.

    Raises:
        ConfigError: if settings of the fit do not match the rows' tasks, or the model needs a
            nested pair that they do not declare.
        DataError: if there are no training rows, or the monitor is not defined on `validation`.
        ArtifactError: if the checkpoint is corrupt, or belongs to other rows, settings or seed.
    """
    if len(train) == 0:
        raise DataError("There are no training rows to fit a scorer on. Give at least one row.")
    tasks = train.tasks
    fit = fit.on_tasks(tasks)
    base_rates = train.base_rates()
    seed = int(rng.integers(2**63))
    with _reproducible(seed, fit.threads):
        model = config.build(layout, tasks)
        model.start_at(torch.from_numpy(base_rates).float(), torch.from_numpy(train.features.dense))
        if model.chain is not None:
            warn_of_violations(train.targets, train.mask, model.chain)
        training = _start(model.to(device), fit, rng)
        store = None
        if checkpoint is not None:
            store = _Checkpoint(checkpoint, _identity(config, fit, layout, train, validation, seed))
            if load_training(store.folder, training, store.identity) and on_evaluation is not None:
                for evaluation in training.curve:
                    on_evaluation(evaluation)
        _minimise(training, fit, train, validation, on_evaluation, on_step, store)
        model.to("cpu")
        logits = model_logits(model, validation.features, len(tasks))
    calibration = _calibrate(fit, logits, validation, base_rates, layout)
    scorer = Scorer(
        config=config,
        layout=layout,
        model=model,
        calibration=calibration,
        base_rates=tuple(float(rate) for rate in base_rates),
        row_keys=_used_rows(train.keys, validation.keys, past_keys),
        tasks=tasks,
    )
    return FittedScorer(scorer=scorer, curve=tuple(training.curve))


def _used_rows(train: IntArray, validation: IntArray, past: IntArray | None) -> IntArray:
    used = np.union1d(train, validation)
    return used if past is None else np.union1d(used, past)


def _start(model: ScorerModel, fit: ScorerFitConfig, rng: np.random.Generator) -> Training:
    weighting = WEIGHTINGS[fit.weighting](fit.task_weights, fit.task_decay)
    weighting.to(next(model.parameters()).device)
    return Training(
        model=model,
        weighting=weighting,
        optimizers=_optimizers(model, list(weighting.parameters()), fit),
        average=WeightAverage(model, fit.averaging) if fit.averaging > 0.0 else None,
        best_state=_copy_state(model),
        rng=rng,
        epoch_rng_state=dict(rng.bit_generator.state),
    )


def _minimise(
    training: Training,
    fit: ScorerFitConfig,
    train: LabelledRows,
    validation: LabelledRows,
    on_evaluation: Callable[[ValidationResult], None] | None,
    on_step: Callable[[int, int], None] | None,
    store: "_Checkpoint | None",
) -> None:
    """Train the model in place and leave it in its best state."""
    schedule = _Schedule(len(train), fit)
    parts: list[_StepParts] = []
    device = next(training.model.parameters()).device
    chains = [Chain(*pair).among(train.tasks).columns for pair in train.tasks.chains]
    for batch in _batches(_tensors(train).to(device), schedule, training):
        if _is_done(training.curve, fit.patience):
            break
        training.step += 1
        parts.append(_step(training, batch, fit, schedule, chains))
        if on_step is not None:
            on_step(training.step, schedule.total_steps)
        if not schedule.evaluates_after(training.step):
            continue
        evaluation = _evaluate(training, fit, schedule, validation, parts)
        parts.clear()
        if evaluation.is_best:
            training.best_state = _copy_state(training.evaluated)
        training.curve.append(evaluation)
        if store is not None:
            save_training(store.folder, training, store.identity)
        if on_evaluation is not None:
            on_evaluation(evaluation)
    training.model.load_state_dict(training.best_state)
    training.model.eval()


def _is_done(curve: list[ValidationResult], patience: int) -> bool:
    return bool(curve) and not any(point.is_best for point in curve[-patience:])


def _evaluate(
    training: Training,
    fit: ScorerFitConfig,
    schedule: "_Schedule",
    validation: LabelledRows,
    parts: "list[_StepParts]",
) -> ValidationResult:
    """Evaluate the current state on the validation rows."""
    monitor = MONITORS[fit.monitor]
    predictions = sigmoid(
        model_logits(training.evaluated, validation.features, len(validation.tasks))
    )
    value = monitor.value(predictions, validation, fit.monitor_tasks)
    if np.isnan(value):
        raise DataError(_undefined(fit))
    best = [point.monitor for point in training.curve if point.is_best]
    losses = torch.stack([part.per_task for part in parts]).mean(dim=0)
    weights = torch.stack([part.weights for part in parts]).mean(dim=0)
    measures = {
        name: float(torch.stack([part.measures[name] for part in parts]).mean())
        for name in parts[0].measures
    }
    measures |= {
        f"weight/{task}": weight
        for task, weight in zip(validation.tasks.names, weights.tolist(), strict=True)
    }
    return ValidationResult(
        step=training.step,
        total_steps=schedule.total_steps,
        task_losses=tuple(losses.tolist()),
        monitor=value,
        is_best=not best or monitor.improves(value, best[-1]),
        measures=measures,
    )


class _Schedule:
    """Numbers of steps and epochs, and the steps after which the fit is evaluated."""

    def __init__(self, rows: int, fit: ScorerFitConfig) -> None:
        self.rows = rows
        self.batch_rows = fit.batch_rows
        self.epochs = fit.max_epochs
        self.steps_per_epoch = -(-rows // fit.batch_rows)
        self.total_steps = self.steps_per_epoch * fit.max_epochs
        self._evaluations = min(fit.evaluations_per_epoch, self.steps_per_epoch)

    def evaluates_after(self, step: int) -> bool:
        """Whether `step` completes one of the epoch's equal parts."""
        done = (step - 1) % self.steps_per_epoch + 1
        fractions = done * self._evaluations
        return (
            fractions // self.steps_per_epoch
            > (fractions - self._evaluations) // self.steps_per_epoch
        )


def _batches(tensors: _Tensors, schedule: _Schedule, training: Training) -> Iterator[_Tensors]:
    """The remaining batches: every row once per epoch, in a new order each epoch."""
    epoch, done = 0, training.step
    if done:
        epoch = (done - 1) // schedule.steps_per_epoch
        done -= epoch * schedule.steps_per_epoch
    for _ in range(epoch, schedule.epochs):
        training.epoch_rng_state = dict(training.rng.bit_generator.state)
        order = torch.from_numpy(training.rng.permutation(schedule.rows)).to(tensors.mask.device)
        for rows in torch.split(order, schedule.batch_rows)[done:]:
            yield tensors.take(rows)
        done = 0


@dataclass(frozen=True)
class _StepParts:
    """Losses, weights and metrics of one gradient step, detached."""

    per_task: Tensor  # (tasks,)
    weights: Tensor  # (tasks,)
    measures: dict[str, Tensor]


def _step(
    training: Training,
    batch: _Tensors,
    fit: ScorerFitConfig,
    schedule: _Schedule,
    chains: Sequence[tuple[int, int]],
) -> _StepParts:
    """One gradient step of every optimizer; returns the losses before the step."""
    model = training.model
    model.train()
    # Trains the out-of-vocabulary embeddings, which otherwise occur only after the split.
    unknown = torch.rand(batch.categorical.shape) < fit.unknown_fraction  # (batch, fields)
    unknown = unknown.to(batch.categorical.device)
    categorical = batch.categorical.masked_fill(unknown, UNSEEN_CODE)
    outputs = model.outputs(categorical, batch.dense)
    losses = model.losses(outputs, batch.targets, batch.mask)
    weighted = training.weighting(losses.per_task, training.step / schedule.steps_per_epoch)
    total = weighted.total + losses.extra
    if fit.order_weight > 0.0 and chains:
        total = total + fit.order_weight * _order_excess(outputs.logits, chains)
    for optimizer in training.optimizers:
        optimizer.zero_grad()
    total.backward()
    for optimizer in training.optimizers:
        optimizer.step()
    if training.average is not None:
        training.average.update(model, training.step)
    return _StepParts(losses.per_task.detach(), weighted.weights.detach(), dict(losses.measures))


def _order_excess(logits: Tensor, chains: Sequence[tuple[int, int]]) -> Tensor:
    """Sum over the pairs `chains` of their order penalty, (), from logits (batch, tasks)."""
    excesses = [
        order_penalty(logits[:, parent], logits[:, child]).excess for parent, child in chains
    ]
    return torch.stack(excesses).sum()


def _optimizers(
    model: ScorerModel, weighting: list[torch.nn.Parameter], fit: ScorerFitConfig
) -> tuple[torch.optim.Optimizer, ...]:
    groups: list[dict[str, Any]] = [{"params": model.dense_parameters()}]
    if weighting:
        groups.append({"params": weighting, "weight_decay": 0.0})
    dense = torch.optim.AdamW(
        groups, lr=fit.learning_rate, weight_decay=fit.weight_decay, fused=True
    )
    tables = model.sparse_parameters()
    if not tables:
        return (dense,)
    return dense, torch.optim.SparseAdam(tables, lr=fit.embedding_learning_rate)


def _calibrate(
    fit: ScorerFitConfig,
    logits: FloatArray,
    rows: LabelledRows,
    base_rates: FloatArray,
    layout: FeatureLayout,
) -> Calibration | TabCalibration:
    calibrator = CALIBRATORS[fit.calibration]
    tabs = tab_codes(rows.features, layout) if fit.calibrate_by_tab else None
    if tabs is None:
        return calibrator(logits, rows.targets, rows.mask, base_rates)
    return calibrate_by_tab(calibrator, logits, rows.targets, rows.mask, base_rates, tabs)


@dataclass(frozen=True)
class _Checkpoint:
    """The folder of a fit's checkpoint, and the hash that identifies the fit."""

    folder: Path
    identity: str


def _identity(
    config: ScorerConfig,
    fit: ScorerFitConfig,
    layout: FeatureLayout,
    train: LabelledRows,
    validation: LabelledRows,
    seed: int,
) -> str:
    """A hash of everything that determines the fitted weights."""
    settings = [type(config).__name__, asdict(config), asdict(fit), layout.to_json(), seed]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for rows in (train, validation):
        digest.update(np.ascontiguousarray(rows.keys).tobytes())
    return digest.hexdigest()


def _tensors(rows: LabelledRows) -> _Tensors:
    return _Tensors(
        categorical=torch.from_numpy(rows.features.categorical),
        dense=torch.from_numpy(rows.features.dense),
        targets=torch.from_numpy(rows.targets),
        mask=torch.from_numpy(rows.mask),
    )


def _copy_state(model: ScorerModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _undefined(fit: ScorerFitConfig) -> str:
    return (
        f"The monitor {fit.monitor} is not defined on the validation rows: none of"
        f" {', '.join(fit.monitor_tasks)} has both classes there. Use more validation rows or other"
        " monitor_tasks."
    )


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Set torch's global seed and number of threads inside the block, and restore them after."""
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
