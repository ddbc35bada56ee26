"""Linear regressions on panel data, with standard errors clustered by user.

Each fit stores every user's influence on the coefficients, from which the error of a combination
of fits follows. Rows of one user may be dependent; users are independent.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray, check_shape
from mtf_rl.core.errors import DataError
from mtf_rl.evaluation.intervals import Interval, t_quantile

__all__ = ["Estimate", "condition_number", "fit_half_panels", "fit_pooled", "fit_within", "varies"]

# Above this condition number, float64 leaves fewer than six digits of a coefficient.
_MAX_CONDITION = 1e10
_MIN_VARIATION = 1e-9


@dataclass(frozen=True)
class Estimate:
    """Coefficients, with each user's contribution to their error.

    With x_i and e_i the regressors and residual of row i, the influence of user g is
    (sum_i x_i x_i')^-1 sum_(i of g) x_i e_i, and G / (G - 1) times the sum of its squares over
    the G users is the cluster-robust covariance of Liang and Zeger (1986).
    """

    coefficients: FloatArray  # (columns,)
    influence: FloatArray  # (users, columns)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the coefficients, (columns, columns)."""
        users = len(self.influence)
        squares: FloatArray = self.influence.T @ self.influence
        return users / (users - 1) * squares

    def interval(self, column: int, *, confidence: float = 0.95) -> Interval:
        """A coefficient with its t-interval of G - 1 degrees of freedom."""
        value = float(self.coefficients[column])
        half = self._quantile(confidence) * float(np.sqrt(self.covariance[column, column]))
        return Interval(value, value - half, value + half)

    def ratio(self, column: int, to: int, *, confidence: float = 0.95) -> Interval:
        """The coefficient `column` divided by the coefficient `to`, with Fieller's interval (1954).

        With a and b the two coefficients, it contains every r for which a - r b does not differ
        significantly from 0. If b does not differ significantly from 0, the interval is infinite;
        the delta method would give wrong finite limits there.
        """
        a, b = (float(self.coefficients[position]) for position in (column, to))
        covariance = self._quantile(confidence) ** 2 * self.covariance
        square = b * b - covariance[to, to]
        if square <= 0.0:
            return Interval(a / b if b else np.nan, -np.inf, np.inf)
        middle = a * b - covariance[column, to]
        rest = a * a - covariance[column, column]
        half = np.sqrt(max(middle * middle - square * rest, 0.0))
        return Interval(a / b, float((middle - half) / square), float((middle + half) / square))

    def _quantile(self, confidence: float) -> float:
        return t_quantile(0.5 + confidence / 2.0, len(self.influence) - 1)


def fit_pooled(design: FloatArray, outcome: FloatArray, users: IntArray) -> Estimate:
    """Least squares with one intercept, which compares rows of all users.

    Args:
        design: (rows, columns).
        outcome: (rows,).
        users: clusters of the errors, (rows,).

    Raises:
        DataError: if the columns are collinear, or there are fewer than two users.
    """
    groups = _groups(users)
    one_group = np.zeros(len(users), dtype=np.int64)
    return _fit(_demeaned(design, one_group), _demeaned(outcome, one_group), groups)


def fit_within(design: FloatArray, outcome: FloatArray, users: IntArray) -> Estimate:
    """Least squares with an intercept per user, which compares rows of the same user.

    It equals least squares with a dummy variable per user (Frisch and Waugh, 1933). If the outcome
    of one row is an input of the next, the bias has the order of 1 / rows per user (Nickell, 1981);
    see `fit_half_panels`. Arguments and errors are those of `fit_pooled`.
    """
    groups = _groups(users)
    return _fit(_demeaned(design, groups), _demeaned(outcome, groups), groups)


def fit_half_panels(design: FloatArray, outcome: FloatArray, users: IntArray) -> Estimate:
    """The within estimate, without its bias of order 1 / rows per user.

    It is 2 w - (w_1 + w_2) / 2, with w the within estimate and w_1, w_2 those of the earlier and
    the later half of each user's rows, whose bias is twice as large. This is the half-panel
    jackknife of Dhaene and Jochmans, "Split-panel jackknife estimation of fixed-effect models"
    (Review of Economic Studies 2015). It does not remove biases that differ between the halves,
    nor those of higher order.

    Each user needs at least 4 rows, in order of time. Other requirements, and errors, are those of
    `fit_pooled`.
    """
    groups = _groups(users)
    later = in_later_half(groups)
    whole = fit_within(design, outcome, users)
    halves = [fit_within(design[half], outcome[half], users[half]) for half in (~later, later)]
    return Estimate(
        coefficients=2.0 * whole.coefficients - sum(h.coefficients for h in halves) / 2.0,
        influence=2.0 * whole.influence - sum(h.influence for h in halves) / 2.0,
    )


def in_later_half(groups: IntArray) -> BoolArray:
    """Whether a row is in the later half of its group, (rows,); a middle row is."""
    order = np.argsort(groups, kind="stable")
    _, first, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    later = np.empty(len(groups), dtype=np.bool_)
    position = np.arange(len(groups)) - np.repeat(first, sizes)
    later[order] = position >= np.repeat(sizes // 2, sizes)
    return later


def varies(design: FloatArray, users: IntArray) -> BoolArray:
    """Which columns vary within users, in both halves of the panel, (columns,)."""
    groups = _groups(users)
    later = in_later_half(groups)
    varying: list[BoolArray] = []
    for half in (~later, later):
        centred = _demeaned(design[half], groups[half])
        size = np.abs(design[half]).max(axis=0, initial=0.0)
        varying.append(np.abs(centred).max(axis=0, initial=0.0) > _MIN_VARIATION * size)
    return varying[0] & varying[1]


def condition_number(design: FloatArray, users: IntArray) -> float:
    """Condition number of the columns, demeaned within users and scaled to equal length.

    It is the largest singular value over the smallest. Above about 30, coefficients of nearly
    collinear columns are hard to separate (Belsley, Kuh and Welsch, "Regression diagnostics",
    1980).
    """
    _, gram = _scaled_gram(_demeaned(design, _groups(users)))
    return float(np.sqrt(np.linalg.cond(gram)))


def _fit(design: FloatArray, outcome: FloatArray, groups: IntArray) -> Estimate:
    """Least squares on demeaned columns and outcomes."""
    check_shape("outcome", outcome, "rows", (len(design),))
    users = int(groups.max(initial=-1)) + 1
    if users < 2:
        raise DataError(
            f"an interval clustered by user needs at least 2 users, got {users}; give a longer log"
        )
    lengths, gram = _scaled_gram(design)
    if not np.linalg.cond(gram) < _MAX_CONDITION:
        raise DataError(
            f"the {design.shape[1]} inputs and controls are collinear over these {len(design)}"
            " rows, so their weights cannot be separated; give a longer log"
        )
    scaled = design / lengths
    coefficients = np.linalg.solve(gram, scaled.T @ outcome)
    moments = scaled * (outcome - scaled @ coefficients)[:, None]  # (rows, columns)
    by_user = _sums(moments, groups)  # (users, columns)
    return Estimate(coefficients / lengths, np.linalg.solve(gram, by_user.T).T / lengths)


def _scaled_gram(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The length of each column, and the Gram matrix of the columns scaled to length 1."""
    lengths = np.sqrt(np.sum(columns**2, axis=0))
    scaled = columns / np.where(lengths > 0.0, lengths, 1.0)
    return lengths, scaled.T @ scaled


def _groups(users: IntArray) -> IntArray:
    return np.unique(users, return_inverse=True)[1]


def _demeaned(values: FloatArray, groups: IntArray) -> FloatArray:
    """Values (rows, ...) minus the mean of their group."""
    counts = np.bincount(groups)
    means = _sums(values, groups) / counts.reshape(-1, *[1] * (values.ndim - 1))
    centred: FloatArray = values - means[groups]
    return centred


def _sums(values: NDArray[Any], groups: IntArray) -> FloatArray:
    """Sums of values (rows, ...) over each group, (groups, ...)."""
    if values.ndim == 1:
        return np.asarray(np.bincount(groups, weights=values), dtype=np.float64)
    return np.stack([np.bincount(groups, weights=column) for column in values.T], axis=1)
