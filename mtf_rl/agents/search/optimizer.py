"""The interface of search methods: they propose points (ask) and receive their values (tell)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mtf_rl.core.arrays import FloatArray

__all__ = ["Optimizer", "Trial", "best_of"]


@dataclass(frozen=True)
class Trial:
    """A point with the results of its sessions."""

    point: FloatArray  # (dimensions,) float64 in [-1, 1]
    value: float
    """Mean session reward; larger is better."""
    error: float
    """Standard error of the value, at least 0."""
    objectives: tuple[float, float]
    """Mean watch minutes and mean worth of interactions per session; larger is better."""
    sessions: int
    """Number of sessions."""
    requests: int
    """Cost in simulated requests."""


class Optimizer(Protocol):
    """Maximises a value over the box [-1, 1]^dimensions.

    Proposals are a function of settings, seed and received trials. A stopped search is therefore
    rebuilt by passing the stored trials in their order to a fresh optimizer.
    """

    def start(self, trials: Sequence[Trial]) -> None:
        """Receive the trials of the initial points; called once, before the first `ask`."""
        ...

    def ask(self) -> FloatArray:
        """Return the next points, (points, dimensions) float64 in [-1, 1]; empty to stop."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """Receive the trials of all points of the last `ask`, in its order."""
        ...


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the largest value; of tied trials the first.

    Raises:
        ValueError: if there is no trial.
    """
    return max(trials, key=lambda trial: trial.value)
