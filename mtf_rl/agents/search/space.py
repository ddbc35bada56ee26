"""What a search ranges over: points of a box, each of which is a policy."""

from typing import Protocol

from mtf_rl.agents.policies import SavedPolicy
from mtf_rl.core.arrays import FloatArray

__all__ = ["SearchSpace"]


class SearchSpace(Protocol):
    """Maps the box [-1, 1]^dimensions to policies."""

    @property
    def dimensions(self) -> int:
        """Numbers in a point, at least 1."""
        ...

    @property
    def start(self) -> FloatArray:
        """Points to try first, (points, dimensions): uniform weights, each task alone."""
        ...

    def policy(self, point: FloatArray) -> SavedPolicy:
        """The policy that a point, (dimensions,), stands for."""
        ...
