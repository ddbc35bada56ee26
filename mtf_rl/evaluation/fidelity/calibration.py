"""Whether predicted chances come true on rows that no fit has seen."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray

__all__ = ["Reliability", "reliability"]

BINS = 10
_FLOOR = 1e-7
_CHANCE_DRAWS = 20


@dataclass(frozen=True)
class Reliability:
    """Predicted chances of one kind of event, beside what happened."""

    part: str
    observations: int
    log_likelihood: float
    """Mean log likelihood of an observation, in nats."""
    base_log_likelihood: float
    """That of the best constant chance, the rate of these very observations."""
    ece: float
    """Expected calibration error over ten bins of equally many observations."""
    ece_of_chance: float
    """What it would be if every chance were true: the mean over labels drawn from them."""
    predicted: tuple[float, ...]
    """Mean chance of each bin."""
    observed: tuple[float, ...]
    """Fraction of events in each bin."""

    @property
    def gain(self) -> float:
        """Nats per observation over the constant chance."""
        return self.log_likelihood - self.base_log_likelihood


def reliability(part: str, chances: FloatArray, events: BoolArray, *, seed: int) -> Reliability:
    """Calibration of `chances` (observations,), at least one, for `events` (observations,).

    ECE = sum over bins of (n_b / n) |mean chance - fraction of events| (Naeini et al. 2015), with
    bins of equal mass.
    """
    order = np.argsort(chances, kind="stable")
    chances, events = chances[order].astype(np.float64), events[order]
    bins = np.arange(len(chances)) * min(BINS, len(chances)) // len(chances)
    sizes = np.bincount(bins)
    predicted = np.bincount(bins, weights=chances) / sizes
    observed = np.bincount(bins, weights=events) / sizes
    fractions = sizes / len(chances)
    rng = np.random.default_rng(seed)
    drawn = [rng.random(len(chances)) < chances for _ in range(_CHANCE_DRAWS)]
    by_chance = [
        float(fractions @ np.abs(predicted - np.bincount(bins, weights=labels) / sizes))
        for labels in drawn
    ]
    rate = np.full(len(chances), events.mean())
    return Reliability(
        part=part,
        observations=len(chances),
        log_likelihood=_mean_log_likelihood(chances, events),
        base_log_likelihood=_mean_log_likelihood(rate, events),
        ece=float(fractions @ np.abs(predicted - observed)),
        ece_of_chance=float(np.mean(by_chance)),
        predicted=tuple(predicted.tolist()),
        observed=tuple(observed.tolist()),
    )


def _mean_log_likelihood(chances: FloatArray, events: BoolArray) -> float:
    bounded = np.clip(chances, _FLOOR, 1.0 - _FLOOR)
    return float(np.where(events, np.log(bounded), np.log1p(-bounded)).mean())
