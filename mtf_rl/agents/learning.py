"""What an agent is given to learn from, and what it gives back."""

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
    """Where measurements go, such as the run's metric writer."""

    def __call__(self, step: int, name: str, value: float) -> None:
        """Record `value` of the metric `name` after `step` requests."""
        ...


def discard_metric(step: int, name: str, value: float) -> None:
    """A sink that keeps nothing."""


def ignore_updates(count: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Watch:
    """Someone who looks at a policy while it is learnt, such as for a learning curve.

    Raises:
        ConfigError: if `every` is below 1.
    """

    every: int
    """Steps from one look to the next: requests, or updates of an agent that has a batch."""
    see: Callable[[int, SavedPolicy], None]
    """Told of the steps done and the policy after them."""

    def __post_init__(self) -> None:
        check_at_least("every", self.every, 1)


@dataclass(frozen=True)
class CheckpointPlan:
    """Where a learner writes its state now and then, and looks for one to go on from."""

    path: Path
    """The file."""
    seconds: float
    """Time from one writing to the next, at least 0."""
    mark: Callable[[], int]
    """Asked for the length of the run's metrics when a checkpoint is written, in bytes."""


@dataclass(frozen=True)
class LearningTask:
    """Sessions to learn from, under a budget.

    Attributes are the whole of what an agent may touch: final users and the truth are not here.
    """

    learning: FusionDynamics[Any]
    """Sessions of the users who are learnt from."""
    tuning: FusionDynamics[Any]
    """Sessions of the tuning users, by which policies are compared."""
    budget: RequestBudget
    """Requests that may be simulated, of both kinds of users."""
    seed: int
    """Seed of everything random in the learner and its sessions."""
    metrics: MetricSink = discard_metric
    """Told of losses, rewards and weights."""
    batch: BatchDataset | None = None
    """What a batch-RL agent learns from; it touches no session."""
    on_update: Callable[[int], object] = ignore_updates
    """Told of a batch-RL agent's updates as they are done."""
    watch: Watch | None = None
    """Looks at a learner's policy from time to time; static weights have none."""
    checkpoints: CheckpointPlan | None = None
    """Of learners of some length."""
    study: Path | None = None
    """Where a search stores its trials (SQLite), and looks for some to go on from; None keeps them
    in memory."""
    device: str = "cpu"
    """Torch device of the learner's networks."""


def transitions_of(task: LearningTask) -> Transitions:
    """The rows of a task's batch.

    Raises:
        DataError: if it has none.
        ShapeError: if they are of other widths than the task's sessions.
    """
    if task.batch is None:
        raise DataError(
            "this agent learns from a batch dataset, and there is none: give one (--batch FILE)"
        )
    rows = len(task.batch.rewards)
    for name, width in (
        ("observations", task.learning.layout.size),
        ("actions", task.learning.sessions.action_dim),
    ):
        check_shape(f"the batch's {name}", getattr(task.batch, name), "rows, width", (rows, width))
    return Transitions.of(task.batch)


class LearningInterruptedError(KeyboardInterrupt):
    """Ctrl-C while learning; it carries what was learnt so far."""

    def __init__(self, learned: "LearnedPolicy") -> None:
        super().__init__()
        self.learned = learned


@dataclass(frozen=True)
class LearnedPolicy:
    """A policy and what it cost."""

    policy: SavedPolicy
    untrained: SavedPolicy | None
    """The learner's own network before its first update; None for a method without one."""
    requests_used: int
