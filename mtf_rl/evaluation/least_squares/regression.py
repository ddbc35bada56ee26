"""The ridge regression on which fitted Q evaluation rests."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import DataError

__all__ = ["LARGEST_CONDITION", "Moments", "chunks", "refuse_ill_conditioned"]

# Beyond it, float64 leaves a coefficient fewer than four digits.
LARGEST_CONDITION = 1e12

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Moments:
    """Means over the rows of the products of features phi with each other and with outcomes."""

    gram: FloatArray  # (features, features), mean of phi phi'
    onward: FloatArray  # (features, next features), mean of phi (1 - terminated) phi_next'
    rewards: FloatArray  # (features,), mean of phi r

    def penalised_gram(self, ridge: float) -> FloatArray:
        """The gram matrix + ridge I, the constant being free, (features, features).

        Raises:
            DataError: if it is singular to the precision of float64.
        """
        penalty = np.full(len(self.gram), ridge)
        penalty[0] = 0.0
        gram: FloatArray = self.gram + np.diag(penalty)
        sizes = np.linalg.eigvalsh(gram)
        if not sizes[0] * LARGEST_CONDITION > sizes[-1]:
            raise DataError(
                f"the {len(gram)} features are collinear over these rows: eigenvalues from"
                f" {sizes[0]:.3g} to {sizes[-1]:.3g}; raise ridge (now {ridge:g}) or give more rows"
            )
        return gram


def refuse_ill_conditioned(matrix: FloatArray, what: str) -> None:
    """Refuse a fixed point that is not determined.

    Raises:
        DataError: if the matrix is singular to the precision of float64.
    """
    if not np.linalg.cond(matrix) < LARGEST_CONDITION:
        raise DataError(f"Q of {what} has no single fixed point; lower gamma or raise ridge")


def chunks(rows: int) -> list[IntArray]:
    """Row numbers in pieces that bound the memory which features take."""
    return [
        np.arange(start, min(start + _ROWS_AT_ONCE, rows))
        for start in range(0, rows, _ROWS_AT_ONCE)
    ]
