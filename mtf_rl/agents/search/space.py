"""The interface of search spaces: a map from points of a box to policies."""

from typing import Protocol

from mtf_rl.agents.policies import SavedPolicy
from mtf_rl.core.arrays import FloatArray

__all__ = ["SearchSpace"]


class SearchSpace(Protocol):
    """Maps the box [-1, 1]^dimensions to policies."""

    @property
    def dimensions(self) -> int:
        """Dimensions of a point, at least 1."""
        ...

    @property
    def start(self) -> FloatArray:
        """Initial points, (points, dimensions): uniform weights, then each task alone."""
        ...

    def policy(self, point: FloatArray) -> SavedPolicy:
        """The policy of a point (dimensions,)."""
        ...
