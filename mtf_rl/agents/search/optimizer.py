"""What every search method has in common: it proposes points, and is told their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mtf_rl.core.arrays import FloatArray

__all__ = ["Optimizer", "Trial", "best_of"]


@dataclass(frozen=True)
class Trial:
    """A point that was tried in some sessions."""

    point: FloatArray  # (dimensions,) float64 in [-1, 1]
    value: float
    """Mean session reward, of which more is better."""
    error: float
    """Standard error of the value, at least 0."""
    objectives: tuple[float, float]
    """Mean watch minutes and mean worth of interactions of a session, of which more is better."""
    sessions: int
    """How many sessions it was tried in."""
    requests: int
    """What that cost, in simulated requests."""


class Optimizer(Protocol):
    """Maximises over the box [-1, 1]^dimensions by asking for values.

    What it asks for is a function of its settings, its seed and what it was told. So a search that
    was stopped is rebuilt by telling a fresh optimizer the stored trials in their order.
    """

    def start(self, trials: Sequence[Trial]) -> None:
        """Told once, before the first question, of points that were tried anyway: hand-set ones."""
        ...

    def ask(self) -> FloatArray:
        """The points to try next, (points, dimensions) float64 in [-1, 1]; empty to stop."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """The values of all points of the last question, in its order."""
        ...


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial of the largest value; of equal ones the first.

    Raises:
        ValueError: if there is none.
    """
    return max(trials, key=lambda trial: trial.value)
