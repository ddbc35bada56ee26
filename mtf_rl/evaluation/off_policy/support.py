"""Whether logged sessions can tell what a policy is worth."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.off_policy.estimators import ESTIMATORS, OPEInputs, shrunk

__all__ = ["Support", "effective_size", "leverage_verdict", "support_of"]

LEAST_SHARE = 0.01  # of the sessions, below which they hardly overlap
LEAST_SIZE = 100.0  # effective sessions
# Mean weight, which should be 1. On logs of mixed exploration of the default world clipped weights
# of whole sessions have .04 to .21, and estimates are 40 too low; ratios of single requests .5.
LEAST_MASS, LITTLE_MASS = 1.0 / 3.0, 2.0 / 3.0
FAR, TOO_FAR = 3.0, 10.0  # leverage, from which a linear model leaves the log's actions


def effective_size(weights: FloatArray) -> float:
    """(sum w)^2 / sum w^2 of weights (sessions,); 0 where all are 0."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


@dataclass(frozen=True)
class Support:
    """How many sessions an estimate really rests on."""

    sessions: int
    effective: float
    """Effective sample size of the weights."""
    largest: float
    """Fraction of all weight that the heaviest session has."""
    zero: float
    """Fraction of sessions that the target would never have had, weight 0."""
    mass: float | None = None
    """Mean weight, 1 but for noise, unless weights are clipped or the log never does what the
    target does; None where a model fills in what weights leave out, or makes them."""

    @property
    def verdict(self) -> str:
        """supported, weakly supported or not supported, with the figure that says so."""
        size = f"ESS {self.effective:,.0f} of {self.sessions:,}"
        if self.effective < LEAST_SIZE:  # Then one session may hold more than a tenth.
            return f"not supported by this data: {size}, largest weight {self.largest:.0%}"
        mass = 1.0 if self.mass is None else self.mass
        told = f"{size}, weights add up to {mass:.0%} of what they should"
        if not LEAST_MASS <= mass <= 1.0 / LEAST_MASS:
            return f"not supported by this data: {told}"
        if not LITTLE_MASS <= mass <= 1.0 / LITTLE_MASS:
            return f"weakly supported: {told}"
        if self.effective < LEAST_SHARE * self.sessions:
            return f"weakly supported: {size}"
        return f"supported: {size}"


def leverage_verdict(leverage: float | None) -> str:
    """Supported, weakly supported or not supported, by how far a model must reach."""
    if leverage is None:
        return "by a model, whose reach is not known"
    if leverage > TOO_FAR:
        return f"not supported by this data: a model's guess, leverage {leverage:.1f}"
    if leverage > FAR:
        return f"weakly supported: leverage {leverage:.1f}"
    return f"supported: leverage {leverage:.1f}"


def support_of(name: str, inputs: OPEInputs) -> Support | None:
    """The support of an estimator's weights; None for one that weighs nothing.

    Weights are those of the last request of each session, clipped or shrunk as the estimator does
    it, or the mean over a session's requests where the estimator weighs every request by itself;
    visits below 0, which a linear fit may give, count 0.
    """
    estimator = ESTIMATORS[name]
    if estimator.weighs == "none":
        return None
    weights = _session_weights(estimator.weighs, inputs)
    total = float(weights.sum())
    return Support(
        sessions=len(weights),
        effective=effective_size(weights),
        largest=float(weights.max()) / total if total > 0.0 else 1.0,
        zero=float((weights == 0.0).mean()),
        mass=total / len(weights) if estimator.rests_on_densities else None,
    )


def _session_weights(weighs: str, inputs: OPEInputs) -> FloatArray:
    """Weights of sessions, (sessions,)."""
    if weighs == "weights":
        return inputs.weights[:, -1]
    if weighs == "clipped":
        return np.minimum(inputs.weights[:, -1], inputs.bound)
    if weighs == "shrunk":
        return shrunk(inputs.weights[:, -1], inputs.bound)
    each = np.where(inputs.live, np.maximum(_each_request(weighs, inputs), 0.0), 0.0)
    means: FloatArray = each.sum(axis=1) / inputs.live.sum(axis=1)
    return means


def _each_request(weighs: str, inputs: OPEInputs) -> FloatArray:
    """Weights of requests, (sessions, time)."""
    if weighs == "visits":
        return inputs.visited("visits")
    if weighs == "state_visits":
        return inputs.visited("state_visits") * inputs.ratios
    return inputs.windowed if weighs == "windowed" else inputs.ratios
