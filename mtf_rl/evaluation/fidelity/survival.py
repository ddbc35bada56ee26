"""The distribution of session length, with sessions censored by the end of the log."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.evaluation.intervals import Interval

__all__ = ["LONGEST", "SurvivalTally", "survival_distance", "survival_tally"]

LONGEST = 100
_RESAMPLES = 200


@dataclass(frozen=True)
class SurvivalTally:
    """Numbers of requests at risk of being the last, and of last requests, by user and position."""

    at_risk: FloatArray  # (users, LONGEST)
    left: FloatArray  # (users, LONGEST), numbers of leaves, or sums of leave probabilities

    def curve(self, weights: FloatArray | None = None) -> FloatArray:
        """P(a session has more than t requests) for t = 0 to LONGEST, (LONGEST + 1,).

        S(t) = prod over s <= t of (1 - left_s / at risk_s) (Kaplan and Meier 1958). A request
        without observed follow-up is not at risk, so a censored session counts up to it. S is 0
        after the first t without a request at risk, so that a replay is compared with its log only
        where the log has requests.

        Args:
            weights: weight of each user, (users,); 1 by default.
        """
        at_risk, left = (
            values.sum(axis=0) if weights is None else weights @ values
            for values in (self.at_risk, self.left)
        )
        known = at_risk > 0.0
        hazard = np.where(known, left / np.where(known, at_risk, 1.0), 1.0)  # (LONGEST,)
        return np.append(1.0, np.cumprod(1.0 - hazard))

    def mean_requests(self, weights: FloatArray | None = None) -> float:
        """Mean requests of a session, the sum of S(0), S(1), ...; at most `LONGEST` are counted."""
        return float(self.curve(weights)[:-1].sum())

    def resampled_curves(self, seed: int) -> FloatArray:
        """Curves of users resampled with replacement, (resamples, LONGEST + 1)."""
        rng = np.random.default_rng(seed)
        seen = np.flatnonzero(self.at_risk.any(axis=1))
        size = len(self.at_risk)
        curves = []
        for _ in range(_RESAMPLES):
            drawn = rng.choice(seen, len(seen)) if len(seen) else seen
            curves.append(self.curve(np.bincount(drawn, minlength=size).astype(np.float64)))
        return np.stack(curves)

    def intervals(self, beyond: tuple[int, ...], seed: int) -> tuple[Interval, dict[int, Interval]]:
        """Intervals of the mean and of P(more than t requests) for t in `beyond`.

        They are percentile intervals over resampled users.
        """
        point, drawn = self.curve(), self.resampled_curves(seed)
        means = drawn[:, :-1].sum(axis=1)
        return _percentiles(self.mean_requests(), means), {
            step: _percentiles(float(point[step]), drawn[:, step]) for step in beyond
        }


def survival_tally(
    users: IntArray, steps: IntArray, at_risk: BoolArray, left: FloatArray | BoolArray
) -> SurvivalTally:
    """Tally of requests.

    Args:
        users: (requests,).
        steps: index of the request in its session, from 0, (requests,).
        at_risk: whether the follow-up of the request is observed, (requests,).
        left: whether the user left after it, or the probability of it, (requests,).
    """
    counted = at_risk & (steps < LONGEST)
    size = int(users.max(initial=0)) + 1
    positions = users[counted].astype(np.int64) * LONGEST + steps[counted]

    def counted_up(values: FloatArray) -> FloatArray:
        totals = np.bincount(positions, values, minlength=size * LONGEST).astype(np.float64)
        return totals.reshape(size, LONGEST)

    return SurvivalTally(
        at_risk=counted_up(np.ones(len(positions))),
        left=counted_up(left[counted].astype(np.float64)),
    )


def survival_distance(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Kolmogorov-Smirnov and Wasserstein-1 distance (in requests) of two survival curves."""
    difference = np.abs(first - second)
    return float(difference.max()), float(difference.sum())


def _percentiles(point: float, drawn: FloatArray) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(point, float(low), float(high))
