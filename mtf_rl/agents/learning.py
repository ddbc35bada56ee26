"""The input and output of an agent's learning function: `LearningTask` and `LearnedPolicy`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mtf_rl.agents.policies import SavedPolicy
from mtf_rl.core.arrays import check_shape
from mtf_rl.core.errors import DataError
from mtf_rl.core.ranges import check_at_least
from mtf_rl.data import BatchDataset, Transitions
from mtf_rl.envs import FusionDynamics, RequestBudget

__all__ = [
    "CheckpointPlan",
    "LearnedPolicy",
    "LearningInterruptedError",
    "LearningTask",
    "MetricSink",
    "Watch",
    "discard_metric",
    "ignore_updates",
    "transitions_of",
]


class MetricSink(Protocol):
    """A function that records metrics, such as the run's metric writer."""

    def __call__(self, step: int, name: str, value: float) -> None:
        """Record `value` of the metric `name` after `step` requests."""
        ...


def discard_metric(step: int, name: str, value: float) -> None:
    """Discard the metric."""


def ignore_updates(count: int) -> None:
    """No-op."""


@dataclass(frozen=True)
class Watch:
    """A callback that receives the policy during learning, for example for a learning curve.

    Raises:
        ConfigError: if `every` is below 1.
    """

    every: int
    """Steps between calls, at least 1: requests, or updates of a batch-RL agent."""
    see: Callable[[int, SavedPolicy], None]
    """Called with the number of steps done and the policy at that point."""

    def __post_init__(self) -> None:
        check_at_least("every", self.every, 1)


@dataclass(frozen=True)
class CheckpointPlan:
    """Where and how often a learner writes checkpoints; it resumes from one that exists."""

    path: Path
    """The checkpoint file."""
    seconds: float
    """Minimum time between checkpoints in seconds, at least 0."""
    mark: Callable[[], int]
    """Returns the length of the run's metrics file in bytes; called for each checkpoint."""


@dataclass(frozen=True)
class LearningTask:
    """Sessions to learn from, under a budget.

    An agent may use only these attributes: final users and the ground truth are not included.
    """

    learning: FusionDynamics[Any]
    """Sessions of the learning users."""
    tuning: FusionDynamics[Any]
    """Sessions of the tuning users, for comparing policies."""
    budget: RequestBudget
    """Requests that may be simulated, for learning and tuning users together."""
    seed: int
    """Seed of all random numbers in the learner and its sessions."""
    metrics: MetricSink = discard_metric
    """Records losses, rewards and weights."""
    batch: BatchDataset | None = None
    """The dataset of a batch-RL agent, which uses no sessions; None for other agents."""
    on_update: Callable[[int], object] = ignore_updates
    """Called with the number of updates that a batch-RL agent has just done."""
    watch: Watch | None = None
    """Receives the policy during learning; static weights do not call it."""
    checkpoints: CheckpointPlan | None = None
    """Where actor-critics and batch-RL agents write checkpoints; None for no checkpoints."""
    study: Path | None = None
    """SQLite file in which a search stores its trials and from which it resumes; None keeps them in
    memory."""
    device: str = "cpu"
    """Torch device of the learner's networks."""


def transitions_of(task: LearningTask) -> Transitions:
    """The transitions of a task's batch dataset.

    Raises:
        DataError: if the task has no batch dataset.
        ShapeError: if observations or actions differ in width from the task's sessions.
    """
    if task.batch is None:
        raise DataError(
            "this agent learns from a batch dataset, and none was given: add --batch FILE"
        )
    rows = len(task.batch.rewards)
    for name, width in (
        ("observations", task.learning.layout.size),
        ("actions", task.learning.sessions.action_dim),
    ):
        check_shape(f"the batch's {name}", getattr(task.batch, name), "rows, width", (rows, width))
    return Transitions.of(task.batch)


class LearningInterruptedError(KeyboardInterrupt):
    """Ctrl-C during learning; `learned` holds the policy so far."""

    def __init__(self, learned: "LearnedPolicy") -> None:
        super().__init__()
        self.learned = learned


@dataclass(frozen=True)
class LearnedPolicy:
    """A learned policy and the requests used."""

    policy: SavedPolicy
    untrained: SavedPolicy | None
    """The learner's policy before its first update; None for a method without a network."""
    requests_used: int
