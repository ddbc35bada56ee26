"""Ridge regression for least-squares Q evaluation."""

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.errors import DataError

__all__ = [
    "LARGEST_CONDITION",
    "chunks",
    "penalised_gram",
    "refuse_ill_conditioned",
    "ridge_penalty",
]

# Above this condition number, float64 leaves fewer than four digits of a coefficient.
LARGEST_CONDITION = 1e12

_ROWS_AT_ONCE = 4096


def ridge_penalty(features: int, ridge: float) -> FloatArray:
    """Ridge penalty of each coefficient, (features,): 0 for the constant, which is first."""
    penalty = np.full(features, ridge)
    penalty[0] = 0.0
    return penalty


def penalised_gram(gram: FloatArray, ridge: float) -> FloatArray:
    """`gram`, the mean of phi phi', plus the ridge penalty, (features, features).

    Raises:
        DataError: if it is singular to the precision of float64.
    """
    penalised: FloatArray = gram + np.diag(ridge_penalty(len(gram), ridge))
    sizes = np.linalg.eigvalsh(penalised)
    if not sizes[0] * LARGEST_CONDITION > sizes[-1]:
        raise DataError(
            f"the {len(gram)} features are collinear over these rows: eigenvalues from"
            f" {sizes[0]:.3g} to {sizes[-1]:.3g}; raise ridge (now {ridge:g}) or give more rows"
        )
    return penalised


def refuse_ill_conditioned(matrix: FloatArray, what: str) -> None:
    """Refuse a singular fixed point.

    Raises:
        DataError: if the matrix is singular to the precision of float64.
    """
    if not np.linalg.cond(matrix) < LARGEST_CONDITION:
        raise DataError(f"Q of {what} has no unique fixed point; lower gamma or raise ridge")


def chunks(rows: int) -> list[IntArray]:
    """Row indices in chunks, which bound the memory of the features."""
    return [
        np.arange(start, min(start + _ROWS_AT_ONCE, rows))
        for start in range(0, rows, _ROWS_AT_ONCE)
    ]
