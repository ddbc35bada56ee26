"""Calibration of predicted probabilities on held-out rows."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray

__all__ = ["Reliability", "reliability"]

BINS = 10
_FLOOR = 1e-7
_CHANCE_DRAWS = 20


@dataclass(frozen=True)
class Reliability:
    """Calibration of the predicted probabilities of one kind of event."""

    part: str
    """Name of the event: a feedback, or leaving."""
    observations: int
    """Number of observations."""
    log_likelihood: float
    """Mean log likelihood of an observation, in nats."""
    base_log_likelihood: float
    """Log likelihood of the best constant probability: the event rate of these observations."""
    ece: float
    """Expected calibration error over ten bins with equally many observations."""
    ece_of_chance: float
    """Expected calibration error of a perfectly calibrated model: the mean over labels sampled
    from the probabilities."""
    predicted: tuple[float, ...]
    """Mean probability in each bin."""
    observed: tuple[float, ...]
    """Fraction of events in each bin."""

    @property
    def gain(self) -> float:
        """Log likelihood minus that of the constant probability, in nats per observation."""
        return self.log_likelihood - self.base_log_likelihood


def reliability(part: str, chances: FloatArray, events: BoolArray, *, seed: int) -> Reliability:
    """Calibration of probabilities `chances` (observations,) for `events` (observations,).

    ECE = sum over bins of (n_b / n) |mean chance - fraction of events| (Naeini et al. 2015), with
    bins of equal mass. There must be at least one observation.
    """
    order = np.argsort(chances, kind="stable")
    chances, events = chances[order].astype(np.float64), events[order]
    bins = np.arange(len(chances)) * min(BINS, len(chances)) // len(chances)
    sizes = np.bincount(bins)
    predicted = np.bincount(bins, weights=chances) / sizes
    observed = np.bincount(bins, weights=events) / sizes
    fractions = sizes / len(chances)
    rng = np.random.default_rng(seed)
    sampled_labels = [rng.random(len(chances)) < chances for _ in range(_CHANCE_DRAWS)]
    by_chance = [
        float(fractions @ np.abs(predicted - np.bincount(bins, weights=labels) / sizes))
        for labels in sampled_labels
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
