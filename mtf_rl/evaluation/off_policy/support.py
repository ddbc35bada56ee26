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

MIN_FRACTION = 0.01  # of the sessions, below which log and policy hardly overlap
MIN_SIZE = 100.0  # effective sessions
# Mean weight (expected 1). On logs of mixed exploration of the default world clipped weights of
# whole sessions have .04 to .21, and estimates are 40 too low; ratios of single requests .5.
MIN_MASS, LOW_MASS = 1.0 / 3.0, 2.0 / 3.0
FAR, TOO_FAR = 3.0, 10.0  # leverage, from which a linear model extrapolates from the log's actions


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
    """The support of an estimate, with the figure behind it."""

    support: Support
    reason: str
    """For people; no decision depends on it."""

    @property
    def text(self) -> str:
        """Both, for a table's cell."""
        return f"{self.support.value}: {self.reason}"


@dataclass(frozen=True)
class WeightSupport:
    """How many sessions a weighted estimate really rests on."""

    sessions: int
    effective: float
    """Effective sample size of the weights."""
    largest: float
    """Fraction of all weight that the heaviest session has."""
    zero: float
    """Fraction of sessions with weight 0, which the target would never have had."""
    mass: float | None = None
    """Mean weight, expected 1, unless weights are clipped or the log never does what the target
    does; None where a model replaces what the weights leave out, or makes them."""

    @property
    def check(self) -> SupportCheck:
        """The support, by effective sample size and mean weight."""
        size = f"ESS {self.effective:,.0f} of {self.sessions:,}"
        if self.effective < MIN_SIZE:  # Then one session may hold more than a tenth.
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
    """(sum w)^2 / sum w^2 of weights (sessions,); 0 where all are 0."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def leverage_check(leverage: float | None) -> SupportCheck:
    """The support of a model's estimate, by how far the model extrapolates.

    Args:
        leverage: of `OPEInputs`, at least 0; None if it is not known.
    """
    if leverage is None:
        return SupportCheck(Support.NOT_CHECKED, "the model's leverage is not known")
    figure = f"leverage {leverage:.1f}"
    if leverage > TOO_FAR:
        return SupportCheck(Support.NOT_SUPPORTED, f"the model extrapolates, {figure}")
    return SupportCheck(Support.WEAK if leverage > FAR else Support.SUPPORTED, figure)


def support_of(name: str, inputs: OPEInputs) -> WeightSupport | None:
    """`weight_support` of a registered estimator."""
    return weight_support(ESTIMATORS[name], inputs)


def weight_support(estimator: Estimator, inputs: OPEInputs) -> WeightSupport | None:
    """The support of an estimator's weights; None for one without weights.

    Weights are those of the last request of each session, clipped as the estimator clips them, or
    the mean over a session's requests where the estimator weighs every request by itself; visits
    below 0, which a linear fit may give, count 0.
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
    requests = inputs.ratios if weighting is Weighting.REQUESTS else inputs.state_action_visits
    each = np.where(inputs.live, np.maximum(requests, 0.0), 0.0)
    means: FloatArray = each.sum(axis=1) / inputs.live.sum(axis=1)
    return means
