"""The settings of a scorer's fit."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_choice, check_proper_fraction
from mtf_rl.core.tasks import TaskSet

__all__ = ["CalibrationName", "MonitorName", "ScorerFitConfig", "WeightingName"]

# The keys of the registries of the same names: weightings.WEIGHTINGS, monitors.MONITORS and
# calibration.CALIBRATORS, which import torch or scipy.
WeightingName = Literal["fixed", "decaying", "uncertainty"]
MonitorName = Literal["normalised_entropy", "auc"]
CalibrationName = Literal["platt", "temperature", "isotonic", "identity"]


@dataclass(frozen=True)
class ScorerFitConfig:
    """How a scorer is fitted."""

    batch_rows: int = 1024
    """Rows of a gradient step, at least 1."""

    learning_rate: float = 1e-3
    """Adam's step size for everything but the embeddings, above 0."""

    embedding_learning_rate: float = 3e-3
    """Sparse Adam's step size for the embeddings, above 0."""

    weight_decay: float = 0.0
    """Decoupled decay of everything but the embeddings, at least 0."""

    unknown_fraction: float = 0.2
    """Fraction of categorical values replaced by "out of vocabulary" while fitting, in [0, 1)."""

    averaging: float = 0.995
    """Fraction of the running mean of weights that a step keeps, in [0, 1); 0 keeps the last."""

    weighting: WeightingName = "fixed"
    """How tasks' losses add up: `fixed`, `decaying` or `uncertainty`."""

    task_weights: tuple[float, ...] = ()
    """Weight of each task's loss, in task order, at least 0 each, not all 0; by default 1 each."""

    task_decay: tuple[float, ...] = ()
    """Factor of each task's weight per epoch under `decaying`, in task order, in (0, 1]; by default
    1 each."""

    order_weight: float = 0.0
    """Weight of the penalty on predicting a task above the one that it is within, such as long_view
    above click; at least 0."""

    max_epochs: int = 6
    """Passes over the training rows at most, at least 1."""

    evaluations_per_epoch: int = 4
    """How often an epoch looks at the validation rows, at least 1."""

    patience: int = 4
    """Evaluations in a row without improvement that end fitting, at least 1."""

    monitor: MonitorName = "normalised_entropy"
    """What the best state is best in: `normalised_entropy` (least) or `auc` (largest)."""

    monitor_tasks: tuple[str, ...] = ()
    """Tasks over which the monitor is averaged; by default those that are declared `monitored`, of
    KuaiRand's click, long_view, like and watch: rarer ones would add mostly noise."""

    calibration: CalibrationName = "platt"
    """What is fitted on the validation rows at the end: `platt`, `temperature`, `isotonic` or
    `identity`."""

    calibrate_by_tab: bool = False
    """Whether each tab with at least 1000 validation rows is calibrated apart."""

    threads: int = 1
    """Torch threads, at least 1; results are reproducible for a given number."""

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
                f"task_weights must be numbers of at least 0, not all 0, got {weights}"
            )
        if not all(0.0 < factor <= 1.0 for factor in decay):
            raise ConfigError(f"task_decay must be numbers in (0, 1], got {decay}")
        for kind, choices in (
            ("monitor", MonitorName),
            ("calibration", CalibrationName),
            ("weighting", WeightingName),
        ):
            check_choice(kind, getattr(self, kind), get_args(choices))

    def on_tasks(self, tasks: TaskSet) -> "ScorerFitConfig":
        """The same with a weight and a factor for each of a log's tasks, and monitored tasks named.

        Raises:
            ConfigError: if another number of weights or factors is given, or nothing is monitored.
            UnknownNameError: if a monitored task is none of these.
        """
        for name in ("task_weights", "task_decay"):
            given = getattr(self, name)
            if given and len(given) != len(tasks):
                raise ConfigError(
                    f"{name} must be {len(tasks)} numbers, for {', '.join(tasks.names)},"
                    f" got {given}"
                )
        for name in self.monitor_tasks:
            tasks[name]
        monitored = self.monitor_tasks or tuple(task.name for task in tasks if task.monitored)
        if not monitored:
            raise ConfigError(
                f"monitor_tasks must be some of {', '.join(tasks.names)}: none is `monitored`"
            )
        ones = (1.0,) * len(tasks)
        return replace(
            self,
            task_weights=self.task_weights or ones,
            task_decay=self.task_decay or ones,
            monitor_tasks=monitored,
        )
