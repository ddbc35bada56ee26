"""The closed-form estimators of a policy's value, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import ConfigError, DataError
from mtf_rl.core.registry import Registry
from mtf_rl.evaluation.off_policy.sums import RatioSum

__all__ = ["ESTIMATORS", "Estimator", "OPEInputs", "Weighting", "estimate_sum"]

_MAX_LOG = 300.0  # The squares of larger weights would be infinite.


@dataclass(frozen=True)
class OPEInputs:
    """Logged sessions and what is computed from them for one target policy.

    Arrays are (sessions, time), padded to the longest session; past the end of a session log
    ratios, rewards, Q and V are 0. Q and V are of the target: rewards to come after a request's
    action, and after its observation.
    """

    log_ratios: FloatArray
    """Log of rho_t, the target's density of the logged action over the behaviour's."""
    rewards: FloatArray
    live: BoolArray
    """Where a session had a request."""
    gamma: float = 1.0
    """Discount per request, in [0, 1]; the project's value J has 1."""
    q: FloatArray | None = None
    v: FloatArray | None = None
    visits: FloatArray | None = None
    """zeta: density ratio of the target's and the log's state-action visits."""
    model_visits: FloatArray | None = None
    """zeta in the function class of Q, where Q is linear and fitted to these sessions."""
    leverage: float | None = None
    """Mean leverage of a linear Q at the target's actions over that at the log's, by which the
    variance of its predictions grows; None where Q is not linear."""
    bound: float = 10.0
    """Largest weight of `clipped_dr`, above 0."""

    @cached_property
    def discounts(self) -> FloatArray:
        """gamma^t, (time,)."""
        return self.gamma ** np.arange(self.rewards.shape[1])

    @cached_property
    def ratios(self) -> FloatArray:
        """rho_t, (sessions, time)."""
        return _exp(self.log_ratios)

    @cached_property
    def weights(self) -> FloatArray:
        """w_t = prod of rho_u, u <= t; a session that has ended keeps its last."""
        return _exp(np.cumsum(self.log_ratios, axis=1))

    @cached_property
    def weights_before(self) -> FloatArray:
        """w_{t-1}, with w_{-1} = 1."""
        return _shifted(self.weights)

    @property
    def model(self) -> tuple[FloatArray, FloatArray]:
        """Q and V.

        Raises:
            DataError: if there is no model.
        """
        if self.q is None or self.v is None:
            raise DataError("this estimator needs Q and V of the target, and none were given")
        return self.q, self.v

    @property
    def state_action_visits(self) -> FloatArray:
        """`visits`.

        Raises:
            DataError: if they were not given.
        """
        if self.visits is None:
            raise DataError("this estimator needs visits of the target, and none were given")
        return self.visits


def _exp(logs: FloatArray) -> FloatArray:
    return np.exp(np.minimum(logs, _MAX_LOG))


def _shifted(weights: FloatArray) -> FloatArray:
    """One request later, with ones first."""
    ones = np.ones((len(weights), 1))
    return np.hstack([ones, weights[:, :-1]])


def _direct(inputs: OPEInputs) -> RatioSum:
    """Mean V(s_0).

    Where Q was fitted to these sessions, each session adds to V(s_0) its influence on the fit: zeta
    times its temporal-difference errors, less their mean (0 but for the ridge). Intervals then
    contain the error of the fit to first order.
    """
    value = inputs.model[1][:, 0]
    if inputs.model_visits is None:
        return RatioSum.mean(value)
    moved = _weighed_errors(inputs, inputs.model_visits).sum(axis=1)
    return RatioSum.mean(value + moved - moved.mean())


def _trajectory(inputs: OPEInputs) -> RatioSum:
    """Mean w_{T-1} sum_t gamma^t r_t (Precup, Sutton and Singh, ICML 2000)."""
    return RatioSum.mean(inputs.weights[:, -1] * (inputs.rewards @ inputs.discounts))


def _normalised_trajectory(inputs: OPEInputs) -> RatioSum:
    last = inputs.weights[:, -1:]
    return RatioSum(last * (inputs.rewards @ inputs.discounts)[:, None], last)


def _per_decision(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t w_t r_t (Precup et al., 2000)."""
    return RatioSum.mean((inputs.weights * inputs.rewards) @ inputs.discounts)


def _normalised(inputs: OPEInputs, weights: FloatArray, values: FloatArray) -> RatioSum:
    """sum_t gamma^t (sum_i w_it value_it) / (sum_i w_it), over all sessions, ended ones too."""
    return RatioSum(weights * values * inputs.discounts, weights)


def _normalised_per_decision(inputs: OPEInputs) -> RatioSum:
    return _normalised(inputs, inputs.weights, inputs.rewards)


def _doubly_robust(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t [w_t (r_t - Q_t) + w_{t-1} V_t].

    The recursion v_t = V_t + rho_t (r_t + gamma v_{t+1} - Q_t) of Jiang and Li, ICML 2016, spread
    out.
    """
    return _corrected(inputs, inputs.weights)


def _corrected(inputs: OPEInputs, weights: FloatArray) -> RatioSum:
    """The doubly robust sum with some weights for the ratios' products."""
    q, v = inputs.model
    terms = weights * (inputs.rewards - q) + _shifted(weights) * v
    return RatioSum.mean(terms @ inputs.discounts)


def _clipped_doubly_robust(inputs: OPEInputs) -> RatioSum:
    return _corrected(inputs, np.minimum(inputs.weights, inputs.bound))


def _weighted_doubly_robust(inputs: OPEInputs) -> RatioSum:
    """Doubly robust with weights normalised at each t (Thomas and Brunskill, ICML 2016)."""
    q, v = inputs.model
    now, before = inputs.weights, inputs.weights_before
    correction = _normalised(inputs, now, inputs.rewards - q)
    return correction.plus(_normalised(inputs, before, v))


def _normalised_request(inputs: OPEInputs) -> RatioSum:
    """sum_t gamma^t P(request t) (sum_i rho_it r_it) / (sum_i rho_it), over sessions that had it.

    Each request is a session of its own: states and the fraction of sessions that have request t
    are those of the log.
    """
    live = inputs.live.astype(np.float64)
    kept = np.where(inputs.live, inputs.ratios, 0.0)
    return RatioSum(kept * inputs.rewards * inputs.discounts, kept, live)


def _state_action_visits(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t zeta(s_t, a_t) r_t (Liu et al., NeurIPS 2018; Uehara et al., 2020)."""
    visits = np.where(inputs.live, inputs.state_action_visits, 0.0)
    return RatioSum.mean((visits * inputs.rewards) @ inputs.discounts)


def _doubly_robust_visits(inputs: OPEInputs) -> RatioSum:
    """Mean V(s_0) + mean sum_t gamma^t zeta_t (r_t + gamma V_{t+1} - Q_t).

    Double reinforcement learning of Kallus and Uehara (JMLR 2020), for visits that are counted over
    a whole session.
    """
    return RatioSum.mean(
        inputs.model[1][:, 0]
        + _weighed_errors(inputs, inputs.state_action_visits) @ inputs.discounts
    )


def _weighed_errors(inputs: OPEInputs, visits: FloatArray) -> FloatArray:
    """zeta_t (r_t + gamma V_{t+1} - Q_t), (sessions, time)."""
    q, v = inputs.model
    following = np.hstack([v[:, 1:], np.zeros((len(v), 1))])
    errors = inputs.rewards + inputs.gamma * following - q
    return np.where(inputs.live, visits * errors, 0.0)


class Weighting(Enum):
    """The weights of an estimator, which determine its support."""

    NONE = "no weights"
    SESSIONS = "products of density ratios over a session"
    CLIPPED_SESSIONS = "clipped products of density ratios over a session"
    REQUESTS = "density ratios of single requests"
    VISITS = "state-action density ratios"


@dataclass(frozen=True)
class Estimator:
    """A closed-form estimator: a formula, and what it needs.

    Of one's own: name an instance as `module:NAME`, or register it in a notebook.
    """

    make: Callable[[OPEInputs], RatioSum]
    """The estimate as a sum of ratios of means over sessions."""
    weighting: Weighting
    """Its weights. Density ratios and visits are computed only if an estimator needs them."""
    needs_model: bool = False
    """Whether it needs Q and V."""

    @property
    def needs_densities(self) -> bool:
        """Whether it needs the target's and the behaviour's density of the logged actions."""
        return self.weighting not in (Weighting.NONE, Weighting.VISITS)

    @property
    def rests_on_densities(self) -> bool:
        """Whether density ratios alone carry the estimate."""
        return self.needs_densities and not self.needs_model


def own_estimator(name: str, own: object) -> Estimator:
    """A user's own `Estimator`.

    Raises:
        ConfigError: if it is none.
    """
    if not isinstance(own, Estimator):
        raise ConfigError(
            f"estimator {name!r} must be a mtf_rl.evaluation.off_policy.Estimator, got {own!r}"
        )
    return own


ESTIMATORS: Registry[Estimator] = Registry(
    "estimator",
    {
        "dm": Estimator(_direct, Weighting.NONE, needs_model=True),
        "tis": Estimator(_trajectory, Weighting.SESSIONS),
        "sn_tis": Estimator(_normalised_trajectory, Weighting.SESSIONS),
        "pdis": Estimator(_per_decision, Weighting.SESSIONS),
        "sn_pdis": Estimator(_normalised_per_decision, Weighting.SESSIONS),
        "dr": Estimator(_doubly_robust, Weighting.SESSIONS, needs_model=True),
        "clipped_dr": Estimator(
            _clipped_doubly_robust, Weighting.CLIPPED_SESSIONS, needs_model=True
        ),
        "sn_dr": Estimator(_weighted_doubly_robust, Weighting.SESSIONS, needs_model=True),
        "sam_is": Estimator(_state_action_visits, Weighting.VISITS),
        "drl": Estimator(_doubly_robust_visits, Weighting.VISITS, needs_model=True),
        "request_sn": Estimator(_normalised_request, Weighting.REQUESTS),
    },
    adapt=own_estimator,
)
"""Each is a standard baseline, or one that the audit (benchmarks/ope_audit.md) found accurate."""


def estimate_sum(name: str, inputs: OPEInputs) -> RatioSum:
    """The estimate of an estimator, by its name.

    Raises:
        UnknownNameError: if there is no such estimator.
        DataError: if it needs what the inputs lack.
    """
    return ESTIMATORS[name].make(inputs)
