"""The closed-form estimators of a policy's value, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.registry import Registry
from mtf_rl.evaluation.off_policy.magic import magic_fraction
from mtf_rl.evaluation.off_policy.sums import RatioSum

__all__ = ["ESTIMATORS", "Estimator", "OPEInputs", "estimate_sum", "shrunk"]

_LARGEST_LOG = 300.0  # the squares of larger weights would be infinite


@dataclass(frozen=True)
class OPEInputs:
    """What is known of logged sessions and one target policy; sessions need not be of one length.

    Arrays are (sessions, time); past the end of a session log ratios, rewards, Q and V are 0. Q and
    V are of the target: rewards to come after a request's action, and after its observation.
    """

    log_ratios: FloatArray
    rewards: FloatArray
    live: BoolArray
    gamma: float = 1.0
    """Discount per request, in [0, 1]; the project's value J has 1."""
    q: FloatArray | None = None
    v: FloatArray | None = None
    visits: FloatArray | None = None
    """zeta, how much oftener the target meets a request's state and action than the log does."""
    state_visits: FloatArray | None = None
    """The same of the state alone."""
    model_visits: FloatArray | None = None
    """zeta in the class of Q, where Q is linear and was fitted to these sessions."""
    leverage: float | None = None
    """How many times farther the target's actions lie from the log's mean than the log's do, as
    the variance of a linear Q grows; None where Q is not linear."""
    bound: float = 10.0
    """lambda of the clipped, shrunk and switched weights, above 0."""
    window: int = 3
    """k of the estimators that weigh a request by its last k ratios, at least 1."""

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

    @cached_property
    def windowed(self) -> FloatArray:
        """Product of the last `window` ratios up to t."""
        total = np.zeros_like(self.log_ratios)
        for back in range(min(self.window, total.shape[1])):
            total[:, back:] += self.log_ratios[:, : total.shape[1] - back]
        return _exp(total)

    @property
    def model(self) -> tuple[FloatArray, FloatArray]:
        """Q and V.

        Raises:
            DataError: if there is no model.
        """
        if self.q is None or self.v is None:
            raise DataError("this estimator needs Q and V of the target, and none were given")
        return self.q, self.v

    def visited(self, what: str) -> FloatArray:
        """`visits` or `state_visits`.

        Raises:
            DataError: if they were not given.
        """
        found: FloatArray | None = getattr(self, what)
        if found is None:
            raise DataError(f"this estimator needs {what} of the target, and none were given")
        return found


def _exp(logs: FloatArray) -> FloatArray:
    return np.exp(np.minimum(logs, _LARGEST_LOG))


def _shifted(weights: FloatArray) -> FloatArray:
    """One request later, with ones first."""
    ones = np.ones((len(weights), 1))
    return np.hstack([ones, weights[:, :-1]])


def _direct(inputs: OPEInputs) -> RatioSum:
    """Mean V(s_0).

    Where Q was fitted to these sessions, each adds to V(s_0) what it moves the fit by: zeta times
    its temporal-difference errors, whose mean, 0 but for the ridge, is taken off. Intervals then
    hold the error of the fit to first order.
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


def _clipped_trajectory(inputs: OPEInputs) -> RatioSum:
    """NCIS: min(w, lambda), self-normalised (Swaminathan and Joachims, NeurIPS 2015)."""
    last = np.minimum(inputs.weights[:, -1:], inputs.bound)
    return RatioSum(last * (inputs.rewards @ inputs.discounts)[:, None], last)


def _per_decision(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t w_t r_t (Precup et al., 2000)."""
    return RatioSum.mean((inputs.weights * inputs.rewards) @ inputs.discounts)


def _normalised(inputs: OPEInputs, weights: FloatArray, values: FloatArray) -> RatioSum:
    """sum_t gamma^t (sum_i w_it value_it) / (sum_i w_it), over all sessions, ended ones too."""
    return RatioSum(weights * values * inputs.discounts, weights)


def _normalised_per_decision(inputs: OPEInputs) -> RatioSum:
    return _normalised(inputs, inputs.weights, inputs.rewards)


def _clipped_per_decision(inputs: OPEInputs) -> RatioSum:
    weights = np.minimum(inputs.weights, inputs.bound)
    return _normalised(inputs, weights, inputs.rewards)


def shrunk(weights: FloatArray, bound: float) -> FloatArray:
    """Lambda w / (w^2 + lambda): w where it is small, lambda / w where it is large.

    Optimistic shrinkage of Su et al., ICML 2020. Differs from the paper, whose requests stand
    alone: here a session's product of ratios is shrunk.
    """
    kept: FloatArray = bound * weights / (weights**2 + bound)
    return kept


def _shrunk_per_decision(inputs: OPEInputs) -> RatioSum:
    return _normalised(inputs, shrunk(inputs.weights, inputs.bound), inputs.rewards)


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


def _shrunk_doubly_robust(inputs: OPEInputs) -> RatioSum:
    return _corrected(inputs, shrunk(inputs.weights, inputs.bound))


def _switched_doubly_robust(inputs: OPEInputs) -> RatioSum:
    """Weights up to lambda, and the model alone past the first larger one (Wang et al., 2017).

    A weight that is left out is 0 from there on, so that what follows is V of where the session
    was left. Differs from the paper, whose requests stand alone: here products are compared.
    """
    within = np.logical_and.accumulate(inputs.weights <= inputs.bound, axis=1)
    return _corrected(inputs, np.where(within, inputs.weights, 0.0))


def _weighted_doubly_robust(inputs: OPEInputs) -> RatioSum:
    """Doubly robust with weights normalised at each t (Thomas and Brunskill, ICML 2016)."""
    q, v = inputs.model
    now, before = inputs.weights, inputs.weights_before
    correction = _normalised(inputs, now, inputs.rewards - q)
    return correction.plus(_normalised(inputs, before, v))


def _magic(inputs: OPEInputs) -> RatioSum:
    """A mixture of model and weights of least estimated error (Thomas and Brunskill, 2016).

    Mixed are g_j: weighted doubly robust for j requests, then the model.
    """
    q, v = inputs.model
    correction = _normalised(inputs, inputs.weights, inputs.rewards - q)
    model = _normalised(inputs, inputs.weights_before, v)
    time = inputs.rewards.shape[1]
    lengths = np.array(sorted({0, *(2**k for k in range(time.bit_length()) if 2**k < time), time}))
    times = np.arange(time)[:, None]
    # V counts where a correction follows, and once more where the model takes over.
    corrected, followed = (
        (times < lengths).astype(np.float64),
        (times <= lengths).astype(np.float64),
    )  # (time, lengths)
    influences = correction.influences @ corrected + model.influences @ followed
    values = correction.values @ corrected + model.values @ followed
    fractions = magic_fraction(list(influences.T), list(values))
    return correction.scaled(corrected @ fractions).plus(model.scaled(followed @ fractions))


def _alive(inputs: OPEInputs, weights: FloatArray) -> RatioSum:
    """sum_t gamma^t P(request t) (sum_i w_it r_it) / (sum_i w_it), over sessions that had it.

    How many have it is taken as logged: weights that speak of one request say nothing of the
    sessions that ended before it.
    """
    live = inputs.live.astype(np.float64)
    kept = np.where(inputs.live, weights, 0.0)
    return RatioSum(kept * inputs.rewards * inputs.discounts, kept, live)


def _windowed(inputs: OPEInputs) -> RatioSum:
    """Weights of the last k ratios alone: actions before are taken as the log's."""
    return _normalised(inputs, inputs.windowed, inputs.rewards)


def _request(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t rho_t r_t: each request a session of its own, states as logged."""
    return RatioSum.mean((inputs.ratios * inputs.rewards) @ inputs.discounts)


def _normalised_request(inputs: OPEInputs) -> RatioSum:
    """The same, self-normalised at each t among the sessions that had this request."""
    return _alive(inputs, inputs.ratios)


def _state_action_visits(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t zeta(s_t, a_t) r_t (Liu et al., NeurIPS 2018; Uehara et al., 2020)."""
    visits = np.where(inputs.live, inputs.visited("visits"), 0.0)
    return RatioSum.mean((visits * inputs.rewards) @ inputs.discounts)


def _state_visits(inputs: OPEInputs) -> RatioSum:
    """Mean sum_t gamma^t zeta(s_t) rho_t r_t."""
    visits = np.where(inputs.live, inputs.visited("state_visits"), 0.0)
    return RatioSum.mean((visits * inputs.ratios * inputs.rewards) @ inputs.discounts)


def _doubly_robust_visits(inputs: OPEInputs) -> RatioSum:
    """Mean V(s_0) + mean sum_t gamma^t zeta_t (r_t + gamma V_{t+1} - Q_t).

    Double reinforcement learning of Kallus and Uehara (JMLR 2020), for visits that are counted over
    a whole session.
    """
    return RatioSum.mean(
        inputs.model[1][:, 0] + _weighed_errors(inputs, inputs.visited("visits")) @ inputs.discounts
    )


def _weighed_errors(inputs: OPEInputs, visits: FloatArray) -> FloatArray:
    """zeta_t (r_t + gamma V_{t+1} - Q_t), (sessions, time)."""
    q, v = inputs.model
    following = np.hstack([v[:, 1:], np.zeros((len(v), 1))])
    errors = inputs.rewards + inputs.gamma * following - q
    return np.where(inputs.live, visits * errors, 0.0)


@dataclass(frozen=True)
class Estimator:
    """How an estimate is made of the evidence, and what it needs."""

    make: Callable[[OPEInputs], RatioSum]
    needs: tuple[str, ...] = ()
    """Of `model` (Q and V), `visits` and `state_visits`."""
    horizon: str = "session"
    """session, or request: where earlier actions are taken as the log's."""
    weighs: str = "weights"
    """The weights by which its support is evaluated: weights, clipped, shrunk, windowed, ratios,
    visits, state_visits, or none."""

    @property
    def weighs_densities(self) -> bool:
        """Whether it needs the target's density of the log's actions."""
        return self.weighs not in ("none", "visits")

    @property
    def rests_on_densities(self) -> bool:
        """Whether nothing but these weights carries it."""
        return self.weighs_densities and "model" not in self.needs


ESTIMATORS: Registry[Estimator] = Registry(
    "estimator",
    {
        "dm": Estimator(_direct, ("model",), weighs="none"),
        "tis": Estimator(_trajectory),
        "sn_tis": Estimator(_normalised_trajectory),
        "ncis": Estimator(_clipped_trajectory, weighs="clipped"),
        "pdis": Estimator(_per_decision),
        "sn_pdis": Estimator(_normalised_per_decision),
        "clipped_pdis": Estimator(_clipped_per_decision, weighs="clipped"),
        "shrunk_pdis": Estimator(_shrunk_per_decision, weighs="shrunk"),
        "window": Estimator(_windowed, weighs="windowed", horizon="request"),
        "dr": Estimator(_doubly_robust, ("model",)),
        "clipped_dr": Estimator(_clipped_doubly_robust, ("model",), weighs="clipped"),
        "shrunk_dr": Estimator(_shrunk_doubly_robust, ("model",), weighs="shrunk"),
        "switch_dr": Estimator(_switched_doubly_robust, ("model",)),
        "sn_dr": Estimator(_weighted_doubly_robust, ("model",)),
        "magic": Estimator(_magic, ("model",)),
        "sam_is": Estimator(_state_action_visits, ("visits",), weighs="visits"),
        "sm_is": Estimator(_state_visits, ("state_visits",), weighs="state_visits"),
        "drl": Estimator(_doubly_robust_visits, ("model", "visits"), weighs="visits"),
        "request_is": Estimator(_request, horizon="request", weighs="ratios"),
        "request_sn": Estimator(_normalised_request, horizon="request", weighs="ratios"),
    },
)


def estimate_sum(name: str, inputs: OPEInputs) -> RatioSum:
    """What an estimator makes of the evidence.

    Raises:
        UnknownNameError: if there is no such estimator.
        DataError: if it needs what the evidence lacks.
    """
    return ESTIMATORS[name].make(inputs)
