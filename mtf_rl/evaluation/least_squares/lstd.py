"""LSTD-Q: the solution for a policy's Q that is linear in features."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.least_squares.regression import refuse_ill_conditioned

__all__ = ["LinearFixedPoint", "TransitionSums", "solve_lstd_q"]


@dataclass(frozen=True)
class TransitionSums:
    """Sums over rows of the products of features phi with each other and with outcomes."""

    gram: FloatArray  # (features, features), sum of phi phi'
    onward: FloatArray  # (features, features), sum of phi (1 - terminated) phi_next'
    rewards: FloatArray  # (features,), sum of phi r
    rows: int


@dataclass(frozen=True)
class LinearFixedPoint:
    """Q(s, a) = phi(s, a)' theta, with the inverse of the system for its errors."""

    coefficients: FloatArray  # (features,), theta
    inverse: FloatArray  # (features, features), of the system's matrix A


def solve_lstd_q(
    sums: TransitionSums, *, gamma: float, penalty: FloatArray, what: str
) -> LinearFixedPoint:
    """The fixed point of fitted Q evaluation: theta = A^-1 mean[phi r].

        A = mean[phi phi'] + diag(penalty) - gamma mean[phi (1 - terminated) phi_next']

    phi_next holds the features at the next observation and the policy's action there. Source:
    LSTD-Q of Lagoudakis and Parr, "Least-squares policy iteration", JMLR 2003, section 5, for a
    fixed policy.

    Args:
        sums: sums over the rows.
        gamma: discount factor per request, in [0, 1].
        penalty: ridge penalty of each coefficient, (features,), at least 0.
        what: name of the policy in an error message.

    Raises:
        DataError: if A is singular to the precision of float64.
    """
    gram = sums.gram / sums.rows + np.diag(penalty)
    matrix = gram - gamma * sums.onward / sums.rows
    refuse_ill_conditioned(matrix, what)
    inverse = np.linalg.inv(matrix)
    return LinearFixedPoint(inverse @ sums.rewards / sums.rows, inverse)
