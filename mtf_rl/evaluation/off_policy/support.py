"""Whether logged sessions can support an estimate of a policy's value."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.off_policy.estimators import ESTIMATORS, Estimator, OPEInputs, Weighting

__all__ = [
    "Support",
    "SupportCheck",
    "WeightSupport",
    "effective_size",
    "leverage_check",
    "support_of",
    "weight_support",
]

MIN_FRACTION = 0.01  # minimum effective sample size, as a fraction of the sessions
MIN_SIZE = 100.0  # minimum effective sample size, in sessions
# Bounds of the mean weight (expected 1). On mixed-exploration logs of the default synthetic world,
# clipped session weights have a mean of 0.04 to 0.21, and estimates are too low by 40; ratios of
# single requests have a mean of 0.5.
MIN_MASS, LOW_MASS = 1.0 / 3.0, 2.0 / 3.0
FAR, TOO_FAR = 3.0, 10.0  # leverage above which the support is weak, and is missing


class Support(Enum):
    """Whether the data support an estimate."""

    SUPPORTED = "supported"
    WEAK = "weakly supported"
    NOT_SUPPORTED = "not supported"
    NOT_CHECKED = "not checked"

    @property
    def is_refusal(self) -> bool:
        """Whether the estimate must not be relied on."""
        return self is Support.NOT_SUPPORTED


@dataclass(frozen=True)
class SupportCheck:
    """The support of an estimate, with the number that decides it."""

    support: Support
    reason: str
    """Shown to readers; no decision depends on it."""

    @property
    def text(self) -> str:
        """Support and reason, for a table cell."""
        return f"{self.support.value}: {self.reason}"


@dataclass(frozen=True)
class WeightSupport:
    """Effective sample size and other diagnostics of an estimator's weights."""

    sessions: int
    effective: float
    """Effective sample size of the weights, in sessions."""
    largest: float
    """Largest session weight as a fraction of the total weight."""
    zero: float
    """Fraction of sessions with weight 0: the target never takes their actions."""
    mass: float | None = None
    """Mean weight. It is 1 in expectation; less if weights are clipped or the log lacks actions of
    the target. None if the estimator also uses a model."""

    @property
    def check(self) -> SupportCheck:
        """The support, by effective sample size and mean weight."""
        size = f"ESS {self.effective:,.0f} of {self.sessions:,}"
        if self.effective < MIN_SIZE:  # a single session may have over a tenth of the weight
            return SupportCheck(
                Support.NOT_SUPPORTED, f"{size}, largest weight {100.0 * self.largest:.0f} %"
            )
        mass = 1.0 if self.mass is None else self.mass
        heavy = f"{size}, mean weight {mass:.2f} (expected 1)"
        if not MIN_MASS <= mass <= 1.0 / MIN_MASS:
            return SupportCheck(Support.NOT_SUPPORTED, heavy)
        if not LOW_MASS <= mass <= 1.0 / LOW_MASS:
            return SupportCheck(Support.WEAK, heavy)
        if self.effective < MIN_FRACTION * self.sessions:
            return SupportCheck(Support.WEAK, size)
        return SupportCheck(Support.SUPPORTED, size)


def effective_size(weights: FloatArray) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of weights (sessions,); 0 if all are 0."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def leverage_check(leverage: float | None) -> SupportCheck:
    """The support of a model's estimate, by its extrapolation from the logged actions.

    Args:
        leverage: `OPEInputs.leverage`, at least 0; None if it is not available.
    """
    if leverage is None:
        return SupportCheck(Support.NOT_CHECKED, "no leverage available")
    figure = f"leverage {leverage:.1f}"
    if leverage > TOO_FAR:
        return SupportCheck(Support.NOT_SUPPORTED, f"the model extrapolates, {figure}")
    return SupportCheck(Support.WEAK if leverage > FAR else Support.SUPPORTED, figure)


def support_of(name: str, inputs: OPEInputs) -> WeightSupport | None:
    """`weight_support` of a registered estimator."""
    return weight_support(ESTIMATORS[name], inputs)


def weight_support(estimator: Estimator, inputs: OPEInputs) -> WeightSupport | None:
    """The support of an estimator's weights; None for an estimator without weights.

    A session's weight is that of its last request, clipped as in the estimator. If the estimator
    weights each request separately, it is the mean over the session's requests. Negative ratios,
    which a linear fit can predict, are set to 0.
    """
    if estimator.weighting is Weighting.NONE:
        return None
    weights = _session_weights(estimator.weighting, inputs)
    total = float(weights.sum())
    return WeightSupport(
        sessions=len(weights),
        effective=effective_size(weights),
        largest=float(weights.max()) / total if total > 0.0 else 1.0,
        zero=float((weights == 0.0).mean()),
        mass=total / len(weights) if estimator.rests_on_densities else None,
    )


def _session_weights(weighting: Weighting, inputs: OPEInputs) -> FloatArray:
    """Weights of sessions, (sessions,)."""
    if weighting is Weighting.SESSIONS:
        return inputs.weights[:, -1]
    if weighting is Weighting.CLIPPED_SESSIONS:
        return np.minimum(inputs.weights[:, -1], inputs.bound)
    is_request = weighting is Weighting.REQUESTS
    ratios = inputs.ratios if is_request else inputs.required_state_action_ratios
    each = np.where(inputs.live, np.maximum(ratios, 0.0), 0.0)
    means: FloatArray = each.sum(axis=1) / inputs.live.sum(axis=1)
    return means
