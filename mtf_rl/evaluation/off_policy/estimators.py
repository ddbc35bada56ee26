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
    """Logged sessions, with the quantities that estimators need for one target policy.

    Arrays are (sessions, time), padded to the longest session. Past the end of a session, log
    ratios, rewards, Q and V are 0.
    """

    log_ratios: FloatArray
    """log rho_t: log density of the logged action under the target minus that under the behaviour
    policy."""
    rewards: FloatArray
    live: BoolArray
    """True where the session has a request."""
    gamma: float = 1.0
    """Discount factor per request, in [0, 1]; 1 gives the undiscounted session reward J."""
    q: FloatArray | None = None
    """Q of the target at the logged observation and action."""
    v: FloatArray | None = None
    """V of the target at the logged observation."""
    state_action_ratios: FloatArray | None = None
    """zeta: state-action density ratio of the target to the behaviour policy."""
    model_state_action_ratios: FloatArray | None = None
    """zeta in the function class of Q; None unless Q is linear and fitted to these sessions."""
    leverage: float | None = None
    """Mean leverage of a linear Q at the target's actions, divided by that at the logged actions.
    The variance of the predictions grows by this factor. None if Q is not linear."""
    bound: float = 10.0
    """Maximum importance weight of `clipped_dr`, above 0."""

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
        """w_t = prod_{u <= t} rho_u; constant past the end of a session."""
        return _exp(np.cumsum(self.log_ratios, axis=1))

    @cached_property
    def weights_before(self) -> FloatArray:
        """w_{t-1}, with w_{-1} = 1."""
        return _shifted(self.weights)

    @property
    def model(self) -> tuple[FloatArray, FloatArray]:
        """Q and V.

        Raises:
            DataError: if one of them is missing.
        """
        if self.q is None or self.v is None:
            raise DataError(
                "this estimator needs Q and V of the target, but q or v is None; pass both to"
                " OPEInputs"
            )
        return self.q, self.v

    @property
    def required_state_action_ratios(self) -> FloatArray:
        """`state_action_ratios`.

        Raises:
            DataError: if they are missing.
        """
        if self.state_action_ratios is None:
            raise DataError(
                "this estimator needs state-action density ratios of the target, but"
                " state_action_ratios is None; pass them to OPEInputs"
            )
        return self.state_action_ratios


def _exp(logs: FloatArray) -> FloatArray:
    return np.exp(np.minimum(logs, _MAX_LOG))


def _shifted(weights: FloatArray) -> FloatArray:
    """Weights of the previous request; 1 at the first."""
    ones = np.ones((len(weights), 1))
    return np.hstack([ones, weights[:, :-1]])


def _direct(inputs: OPEInputs) -> RatioSum:
    """Mean V(s_0).

    If Q was fitted to these sessions, each session's term also contains its influence on the fit:
    zeta times its temporal-difference errors, minus their mean (0 without the ridge). Intervals
    then include the error of the fit to first order.
    """
    value = inputs.model[1][:, 0]
    if inputs.model_state_action_ratios is None:
        return RatioSum.mean(value)
    influence = _weighted_errors(inputs, inputs.model_state_action_ratios).sum(axis=1)
    return RatioSum.mean(value + influence - influence.mean())


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
    """sum_t gamma^t (sum_i w_it value_it) / (sum_i w_it), over all sessions.

    Sessions that ended before request t stay in the sums, with value 0.
    """
    return RatioSum(weights * values * inputs.discounts, weights)


def _normalised_per_decision(inputs: OPEInputs) -> RatioSum:
    return _normalised(inputs, inputs.weights, inputs.rewards)


def _doubly_robust(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t [w_t (r_t - Q_t) + w_{t-1} V_t].

    This is the recursion v_t = V_t + rho_t (r_t + gamma v_{t+1} - Q_t) of Jiang and Li (ICML 2016),
    expanded.
    """
    return _corrected(inputs, inputs.weights)


def _corrected(inputs: OPEInputs, weights: FloatArray) -> RatioSum:
    """The doubly robust sum with `weights` as w_t."""
    q, v = inputs.model
    terms = weights * (inputs.rewards - q) + _shifted(weights) * v
    return RatioSum.mean(terms @ inputs.discounts)


def _clipped_doubly_robust(inputs: OPEInputs) -> RatioSum:
    return _corrected(inputs, np.minimum(inputs.weights, inputs.bound))


def _weighted_doubly_robust(inputs: OPEInputs) -> RatioSum:
    """Doubly robust with weights normalised at each request (Thomas and Brunskill, ICML 2016)."""
    q, v = inputs.model
    now, before = inputs.weights, inputs.weights_before
    correction = _normalised(inputs, now, inputs.rewards - q)
    return correction.plus(_normalised(inputs, before, v))


def _normalised_request(inputs: OPEInputs) -> RatioSum:
    """sum_t gamma^t P(request t) (sum_i rho_it r_it) / (sum_i rho_it).

    The sums over i are over the sessions with a request t.

    It treats each request as a bandit: the states, and the fraction P of sessions that reach
    request t, are those of the log.
    """
    live = inputs.live.astype(np.float64)
    ratios = np.where(inputs.live, inputs.ratios, 0.0)
    return RatioSum(ratios * inputs.rewards * inputs.discounts, ratios, live)


def _state_action_ratios(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t zeta(s_t, a_t) r_t (Liu et al., NeurIPS 2018; Uehara et al., 2020)."""
    ratios = np.where(inputs.live, inputs.required_state_action_ratios, 0.0)
    return RatioSum.mean((ratios * inputs.rewards) @ inputs.discounts)


def _doubly_robust_ratios(inputs: OPEInputs) -> RatioSum:
    """Mean V(s_0) + mean sum_t gamma^t zeta_t (r_t + gamma V_{t+1} - Q_t).

    Double reinforcement learning (Kallus and Uehara, JMLR 2020), with state-action density ratios
    over a whole session.
    """
    return RatioSum.mean(
        inputs.model[1][:, 0]
        + _weighted_errors(inputs, inputs.required_state_action_ratios) @ inputs.discounts
    )


def _weighted_errors(inputs: OPEInputs, ratios: FloatArray) -> FloatArray:
    """zeta_t (r_t + gamma V_{t+1} - Q_t), (sessions, time)."""
    q, v = inputs.model
    following = np.hstack([v[:, 1:], np.zeros((len(v), 1))])
    errors = inputs.rewards + inputs.gamma * following - q
    return np.where(inputs.live, ratios * errors, 0.0)


class Weighting(Enum):
    """The weights of an estimator, which determine its support."""

    NONE = "no weights"
    SESSIONS = "products of density ratios over a session"
    CLIPPED_SESSIONS = "clipped products of density ratios over a session"
    REQUESTS = "density ratios of single requests"
    STATE_ACTION_RATIOS = "state-action density ratios"


@dataclass(frozen=True)
class Estimator:
    """A closed-form estimator: its formula and the inputs that it needs.

    To use your own, pass the `module:NAME` of an instance, or register it in a notebook.
    """

    make: Callable[[OPEInputs], RatioSum]
    """The estimate as a sum of ratios of means over sessions."""
    weighting: Weighting
    """Kind of its weights. Density ratios are computed only if an estimator needs them."""
    needs_model: bool = False
    """Whether it needs Q and V."""

    @property
    def needs_densities(self) -> bool:
        """Whether it needs the target's and the behaviour's density of the logged actions."""
        return self.weighting not in (Weighting.NONE, Weighting.STATE_ACTION_RATIOS)

    @property
    def rests_on_densities(self) -> bool:
        """Whether the estimate uses density ratios and no model."""
        return self.needs_densities and not self.needs_model


def own_estimator(name: str, own: object) -> Estimator:
    """A user's own `Estimator`.

    Raises:
        ConfigError: if it has another type.
    """
    if not isinstance(own, Estimator):
        raise ConfigError(
            f"estimator {name!r} must be a mtf_rl.evaluation.off_policy.Estimator, got {own!r}."
            " Make one: MINE = Estimator(function, Weighting.NONE)"
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
        "sam_is": Estimator(_state_action_ratios, Weighting.STATE_ACTION_RATIOS),
        "drl": Estimator(_doubly_robust_ratios, Weighting.STATE_ACTION_RATIOS, needs_model=True),
        "request_sn": Estimator(_normalised_request, Weighting.REQUESTS),
    },
    adapt=own_estimator,
)
"""Standard baselines, and estimators that were accurate in the audit (benchmarks/ope_audit.md)."""


def estimate_sum(name: str, inputs: OPEInputs) -> RatioSum:
    """The estimate of a registered estimator, by its name.

    Raises:
        UnknownNameError: if no estimator has this name.
        DataError: if the inputs lack a quantity that the estimator needs.
    """
    return ESTIMATORS[name].make(inputs)
