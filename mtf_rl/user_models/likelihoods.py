"""Log likelihoods of logged responses, and simple reference rates by group."""

import numpy as np
from scipy.special import logsumexp

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray

__all__ = [
    "bernoulli",
    "categorical",
    "group_fractions",
    "group_rates",
    "log_normal",
]

MIN_PROBABILITY = 1e-6
PRIOR_STRENGTH = 20.0


def bernoulli(events: BoolArray | FloatArray, probabilities: FloatArray) -> FloatArray:
    """Log probability of events, elementwise; probabilities are clipped to [1e-6, 1 - 1e-6].

    Events are bool, or labels in [0, 1]; the label of a count is the mean of several trials.
    """
    kept = np.clip(probabilities, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
    if events.dtype != np.bool_:
        return np.asarray(events * np.log(kept) + (1.0 - events) * np.log1p(-kept))
    return np.where(events, np.log(kept), np.log1p(-kept))


def categorical(outcomes: IntArray, logits: FloatArray, allowed: BoolArray) -> FloatArray:
    """Log probability of outcomes (rows,) under logits (rows, outcomes) masked by `allowed`."""
    masked = np.where(allowed, logits, -np.inf)
    chosen = np.take_along_axis(masked, outcomes[:, None], axis=1)[:, 0]
    likelihood: FloatArray = chosen - logsumexp(masked, axis=1)
    return likelihood


def log_normal(values: FloatArray, mean: FloatArray | float, std: float) -> FloatArray:
    """Normal log density of `values`, which are logarithms of the log-normal variable."""
    standard = (values - mean) / std
    density: FloatArray = -0.5 * standard**2 - np.log(std) - 0.5 * np.log(2.0 * np.pi)
    return density


def group_rates(
    events: BoolArray | FloatArray,
    groups: IntArray,
    num_groups: int,
    *,
    strength: float = PRIOR_STRENGTH,
) -> FloatArray:
    """The rate of events in each group (groups,), shrunk towards the overall rate.

    `strength` is the prior weight of the overall rate, in rows. An empty group gets the overall
    rate.
    """
    overall = events.mean()
    counts = np.bincount(groups, minlength=num_groups)
    happened = np.bincount(groups, weights=events, minlength=num_groups)
    rates: FloatArray = (happened + strength * overall) / (counts + strength)
    return rates


def group_fractions(
    outcomes: IntArray,
    num_outcomes: int,
    groups: IntArray,
    num_groups: int,
    *,
    strength: float = PRIOR_STRENGTH,
) -> FloatArray:
    """Fraction of each outcome in each group (groups, outcomes), shrunk as in `group_rates`."""
    overall = np.bincount(outcomes, minlength=num_outcomes) + 1.0
    counts = np.zeros((num_groups, num_outcomes))
    np.add.at(counts, (groups, outcomes), 1.0)
    counts += strength * overall / overall.sum()
    fractions: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    return fractions
