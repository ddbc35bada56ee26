"""Linear regressions on a panel, with errors that are clustered by user.

Each fit keeps every user's share in the error of the coefficients, so that combinations of fits
have an error too. Rows of one user may depend on each other in any way; users may not.
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

# Beyond it, float64 leaves a coefficient fewer than six digits.
_LARGEST_CONDITION = 1e10
_LEAST_VARIATION = 1e-9


@dataclass(frozen=True)
class Estimate:
    """Coefficients, and what each user contributes to their error.

    With x_i and e_i the regressors and residual of row i, the influence of user g is
    (sum_i x_i x_i')^-1 sum_(i of g) x_i e_i, and G / (G - 1) times the sum of its squares over
    the G users is the cluster-robust covariance of Liang and Zeger (1986).
    """

    coefficients: FloatArray  # (columns,)
    influence: FloatArray  # (users, columns)

    @cached_property
    def covariance(self) -> FloatArray:
        """Of the coefficients, (columns, columns)."""
        users = len(self.influence)
        squares: FloatArray = self.influence.T @ self.influence
        return users / (users - 1) * squares

    def interval(self, column: int, *, confidence: float = 0.95) -> Interval:
        """A coefficient with its t-interval of G - 1 degrees of freedom."""
        value = float(self.coefficients[column])
        half = self._quantile(confidence) * float(np.sqrt(self.covariance[column, column]))
        return Interval(value, value - half, value + half)

    def ratio(self, column: int, to: int, *, confidence: float = 0.95) -> Interval:
        """A coefficient over another one, with the interval of Fieller (1954).

        It holds every r for which (a - r b) does not differ from 0, a and b the two coefficients.
        Where b does not differ from 0 either, the ratio is not bounded, and neither is the
        interval; the delta method would promise limits there.
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
    """Least squares with an intercept: rows of all users are compared with each other.

    Args:
        design: (rows, columns).
        outcome: (rows,).
        users: (rows,) clusters of the errors.

    Raises:
        DataError: if the columns are collinear, or there are fewer than two users.
    """
    groups = _groups(users)
    everyone = np.zeros(len(users), dtype=np.int64)
    return _fit(_demeaned(design, everyone), _demeaned(outcome, everyone), groups)


def fit_within(design: FloatArray, outcome: FloatArray, users: IntArray) -> Estimate:
    """Least squares with an intercept of each user: a user's rows are compared with each other.

    Equal to least squares with a dummy variable of each user (Frisch and Waugh, 1933). Where the
    outcome of one row is an input of the next, it is biased by the order of 1 / rows per user
    (Nickell, 1981); see `fit_half_panels`. Arguments and errors as in `fit_pooled`.
    """
    groups = _groups(users)
    return _fit(_demeaned(design, groups), _demeaned(outcome, groups), groups)


def fit_half_panels(design: FloatArray, outcome: FloatArray, users: IntArray) -> Estimate:
    """The within estimate, without its bias of the order of 1 / rows per user.

    2 w - (w_1 + w_2) / 2, with w the within estimate and w_1, w_2 those of the earlier and the
    later half of each user's rows, whose bias is twice as large (the half-panel jackknife of
    Dhaene and Jochmans, "Split-panel jackknife estimation of fixed-effect models", Review of
    Economic Studies 2015). A bias that the halves do not share stays, so do higher orders.

    Rows of a user stand in order of time, at least 4 of them; arguments and errors as in
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
    """Whether a row is among the later half of its group's, (rows,); the middle one is."""
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
    answers: list[BoolArray] = []
    for half in (~later, later):
        stds = _demeaned(design[half], groups[half])
        size = np.abs(design[half]).max(axis=0, initial=0.0)
        answers.append(np.abs(stds).max(axis=0, initial=0.0) > _LEAST_VARIATION * size)
    return answers[0] & answers[1]


def condition_number(design: FloatArray, users: IntArray) -> float:
    """Largest over smallest singular value of the columns within users, scaled to equal length.

    Beyond about 30, coefficients of nearly collinear columns are hard to separate (Belsley, Kuh and
    Welsch, "Regression diagnostics", 1980).
    """
    stds = _demeaned(design, _groups(users))
    _, gram = _scaled_gram(stds)
    return float(np.sqrt(np.linalg.cond(gram)))


def _fit(design: FloatArray, outcome: FloatArray, groups: IntArray) -> Estimate:
    """Least squares of what is left when the intercepts are taken out."""
    check_shape("outcome", outcome, "rows", (len(design),))
    users = int(groups.max(initial=-1)) + 1
    if users < 2:
        raise DataError(f"an interval over users needs at least 2 of them, got {users}")
    lengths, gram = _scaled_gram(design)
    if not np.linalg.cond(gram) < _LARGEST_CONDITION:
        raise DataError(
            f"the {design.shape[1]} inputs and controls are collinear over these {len(design)}"
            " rows, so their weights cannot be separated; give a longer log"
        )
    scaled = design / lengths
    coefficients = np.linalg.solve(gram, scaled.T @ outcome)
    moments = scaled * (outcome - scaled @ coefficients)[:, None]  # (rows, columns)
    by_user = _sums(moments, groups)  # (users, columns)
    return Estimate(coefficients / lengths, np.linalg.solve(gram, by_user.T).T / lengths)


def _scaled_gram(stds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The length of each column, and the products of columns scaled to length 1."""
    lengths = np.sqrt(np.sum(stds**2, axis=0))
    scaled = stds / np.where(lengths > 0.0, lengths, 1.0)
    return lengths, scaled.T @ scaled


def _groups(users: IntArray) -> IntArray:
    return np.unique(users, return_inverse=True)[1]


def _demeaned(values: FloatArray, groups: IntArray) -> FloatArray:
    """Values (rows, ...) less the mean of their group."""
    counts = np.bincount(groups)
    means = _sums(values, groups) / counts.reshape(-1, *[1] * (values.ndim - 1))
    stds: FloatArray = values - means[groups]
    return stds


def _sums(values: NDArray[Any], groups: IntArray) -> FloatArray:
    """Sums of values (rows, ...) over each group, (groups, ...)."""
    if values.ndim == 1:
        return np.asarray(np.bincount(groups, weights=values), dtype=np.float64)
    return np.stack([np.bincount(groups, weights=column) for column in values.T], axis=1)
