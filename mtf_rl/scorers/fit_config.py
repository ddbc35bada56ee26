"""Settings for fitting a scorer."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_choice, check_proper_fraction
from mtf_rl.core.tasks import TaskSet

__all__ = ["CalibrationName", "MonitorName", "ScorerFitConfig", "WeightingName"]

# Keys of weightings.WEIGHTINGS, monitors.MONITORS and calibration.CALIBRATORS, repeated here
# because these modules import torch or scipy.
WeightingName = Literal["fixed", "decaying", "uncertainty"]
MonitorName = Literal["normalised_entropy", "auc"]
CalibrationName = Literal["platt", "temperature", "isotonic", "identity"]


@dataclass(frozen=True)
class ScorerFitConfig:
    """Settings for fitting a scorer: optimizer, loss weights, early stopping, calibration."""

    batch_rows: int = 1024
    """Number of rows per gradient step, at least 1."""

    learning_rate: float = 1e-3
    """Learning rate of AdamW for all parameters except embeddings, above 0."""

    embedding_learning_rate: float = 3e-3
    """Learning rate of sparse Adam for the embeddings, above 0."""

    weight_decay: float = 0.0
    """Decoupled weight decay of all parameters except embeddings, at least 0."""

    unknown_fraction: float = 0.2
    """Fraction of categorical values replaced by "out of vocabulary" while fitting, in [0, 1)."""

    averaging: float = 0.995
    """Decay of the moving average of model weights per step, in [0, 1); 0 turns averaging off."""

    weighting: WeightingName = "fixed"
    """Weighting of the tasks' losses: `fixed`, `decaying` or `uncertainty`."""

    task_weights: tuple[float, ...] = ()
    """Weight of each task's loss, in task order, at least 0 each, not all 0; by default 1 each."""

    task_decay: tuple[float, ...] = ()
    """Factor on each task's weight per epoch with `decaying`, in task order, in (0, 1]; by default
    1 each."""

    order_weight: float = 0.0
    """Weight of the penalty for predicting a task above its parent task, such as long_view above
    click; at least 0."""

    max_epochs: int = 6
    """Maximum number of passes over the training rows, at least 1."""

    evaluations_per_epoch: int = 4
    """Number of evaluations on the validation rows per epoch, at least 1."""

    patience: int = 4
    """Number of evaluations in a row without improvement after which fitting stops, at least 1."""

    monitor: MonitorName = "normalised_entropy"
    """Validation metric for selecting the best state: `normalised_entropy` (lower is better) or
    `auc` (higher is better)."""

    monitor_tasks: tuple[str, ...] = ()
    """Tasks over which the monitor is averaged. The default is all tasks declared `monitored`: for
    KuaiRand click, long_view, like and watch, since rarer tasks would mostly add noise."""

    calibration: CalibrationName = "platt"
    """Calibration fitted on the validation rows: `platt`, `temperature`, `isotonic` or
    `identity`."""

    calibrate_by_tab: bool = False
    """Whether to calibrate each tab with at least 1000 validation rows separately."""

    threads: int = 1
    """Number of torch threads, at least 1; results are reproducible for a given number."""

    def __post_init__(self) -> None:
        for name in ("batch_rows", "max_epochs", "evaluations_per_epoch", "patience", "threads"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("learning_rate", "embedding_learning_rate"):
            check_above(name, getattr(self, name), 0)
        check_at_least("weight_decay", self.weight_decay, 0)
        check_at_least("order_weight", self.order_weight, 0)
        check_proper_fraction("unknown_fraction", self.unknown_fraction)
        check_proper_fraction("averaging", self.averaging)
        weights, decay = self.task_weights, self.task_decay
        if weights and not (all(weight >= 0.0 for weight in weights) and any(weights)):
            raise ConfigError(
                f"task_weights must all be at least 0, and one above 0, got {weights}"
            )
        if not all(0.0 < factor <= 1.0 for factor in decay):
            raise ConfigError(f"task_decay must all be in (0, 1], got {decay}")
        for kind, choices in (
            ("monitor", MonitorName),
            ("calibration", CalibrationName),
            ("weighting", WeightingName),
        ):
            check_choice(kind, getattr(self, kind), get_args(choices))

    def on_tasks(self, tasks: TaskSet) -> "ScorerFitConfig":
        """These settings with the defaults that depend on `tasks` filled in.

        Sets one weight and one decay factor per task, and the names of the monitored tasks.

        Raises:
            ConfigError: if the number of weights or factors is wrong, or no task is monitored.
            UnknownNameError: if a monitored task is not among `tasks`.
        """
        for name in ("task_weights", "task_decay"):
            given = getattr(self, name)
            if given and len(given) != len(tasks):
                raise ConfigError(
                    f"{name} must have {len(tasks)} values, one per task"
                    f" ({', '.join(tasks.names)}), got {given}"
                )
        for name in self.monitor_tasks:
            tasks[name]
        monitored = self.monitor_tasks or tuple(task.name for task in tasks if task.monitored)
        if not monitored:
            raise ConfigError(
                "monitor_tasks is empty and no task is declared `monitored`. Give one or more of"
                f" {', '.join(tasks.names)}."
            )
        ones = (1.0,) * len(tasks)
        return replace(
            self,
            task_weights=self.task_weights or ones,
            task_decay=self.task_decay or ones,
            monitor_tasks=monitored,
        )
