"""Q, V and visits of a target, linear in quadratic features and solved at once."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.ranges import check_above, check_share
from mtf_rl.evaluation.least_squares import QuadraticFeatures
from mtf_rl.evaluation.least_squares.config import ObservationTerms
from mtf_rl.evaluation.least_squares.regression import refuse_ill_conditioned
from mtf_rl.evaluation.off_policy.estimators import Evidence
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.off_policy.targets import DensityTarget, log_ratios
from mtf_rl.evaluation.standardisation import Standardisation

__all__ = ["ModelConfig", "evidence_of"]

_LARGEST_RATIO_LOG = 30.0


@dataclass(frozen=True)
class ModelConfig:
    """What Q and visits may look like.

    Raises:
        ConfigError: if a number is out of range.
    """

    gamma: float = 1.0
    """Discount per request, in [0, 1]; 1 is the project's value J."""
    ridge: float = 1e-3
    """Weight of squared coefficients (not the constant's) beside the mean squared error, above
    0."""
    observation_terms: ObservationTerms = "squares"
    """Terms of the observation alone in Q: linear, squares too, or all products of two too."""
    draws: int = 8
    """Actions drawn of a stochastic target for its expectation, at least 1."""
    bound: float = 10.0
    """lambda of the clipped, shrunk and switched weights, above 0."""
    window: int = 3
    """Ratios that the estimator `window` multiplies, at least 1."""

    def __post_init__(self) -> None:
        check_share("gamma", self.gamma)
        check_above("ridge", self.ridge, 0.0)
        check_above("draws", self.draws, 0)
        check_above("bound", self.bound, 0.0)
        check_above("window", self.window, 0)


def evidence_of(
    logged: LoggedSessions,
    target: DensityTarget,
    config: ModelConfig,
    rng: np.random.Generator,
) -> Evidence:
    """Everything that the closed-form estimators ask for.

    Q solves mean[phi (phi - gamma phi')'] theta = mean[phi r] (LSTD-Q), phi' being the target's
    mean features at the next observation and 0 after the last request of a session, left or cut, so
    that V counts what J counts. Visits zeta = psi' alpha solve the transposed question of minimax
    weight learning (Uehara, Huang and Jiang, ICML 2020) in their own features psi, linear in the
    observation:

        mean over sessions of sum_t zeta_t (psi_t - gamma psi'_t) = mean over sessions of psi'_0

    with every request's term weighed by gamma^t, and psi'_0 the target's mean features at the first
    observation; this is the saddle point of the DICE family's Lagrangian without regularisers, but
    for the ridge. State visits are the same with
    features of the state and ratios in the place of drawn actions. With one class for both, Q and
    zeta would give one and the same estimate.

    Both are fitted on the sessions that are evaluated, and intervals of the estimates take them as
    known.

    Raises:
        DataError: if a fit is not determined, or the target's density is no number.
    """
    batch = logged.batch
    standard = Standardisation.of(batch.observations)
    width = batch.actions.shape[1]
    system = _System.of(
        logged, target, QuadraticFeatures(standard, width, config.observation_terms), config, rng
    )
    theta = system.coefficients()
    own = _System.of(logged, target, QuadraticFeatures(standard, width, "linear"), config, rng)
    ratios = log_ratios(logged, target)
    return Evidence(
        log_ratios=ratios,
        rewards=logged.rewards,
        live=logged.live,
        gamma=config.gamma,
        q=logged.padded(system.now @ theta, fill=0.0),
        v=logged.padded(system.here @ theta, fill=0.0),
        visits=logged.padded(own.visits(), fill=0.0),
        state_visits=logged.padded(_state_visits(logged, own, ratios, config), fill=0.0),
        bound=config.bound,
        window=config.window,
    )


@dataclass(frozen=True)
class _System:
    """Features of the rows, and what is solved with them."""

    logged: LoggedSessions
    config: ModelConfig
    now: FloatArray  # (rows, features), phi(s, a)
    here: FloatArray  # (rows, features), mean of phi(s, a) over the target's a
    features: QuadraticFeatures

    @classmethod
    def of(
        cls,
        logged: LoggedSessions,
        target: DensityTarget,
        features: QuadraticFeatures,
        config: ModelConfig,
        rng: np.random.Generator,
    ) -> "_System":
        batch = logged.batch
        now = features.joint(batch.observations, batch.actions)
        drawn = target.draws(batch.observations, rng, config.draws)
        here = np.mean([features.joint(batch.observations, one) for one in drawn], axis=0)
        return cls(logged, config, now, here, features)

    def coefficients(self) -> FloatArray:
        """Theta, (features,)."""
        rewards = self.logged.batch.rewards
        onward = self.config.gamma * _following(self.logged, self.here)
        matrix = self.now.T @ (self.now - onward) / len(self.now)
        return _solved(matrix, self.now.T @ rewards / len(self.now), self.config, "Q")

    def visits(self) -> FloatArray:
        """Zeta of each row, (rows,)."""
        onward = self.config.gamma * _following(self.logged, self.here)
        return self.now @ _visiting(self.logged, self.now, onward, self.here, self.config)


def _following(logged: LoggedSessions, values: FloatArray) -> FloatArray:
    """Each row's values (rows, features) at the session's next request; 0 after its last."""
    following = np.zeros_like(values)
    following[:-1] = values[1:]
    following[logged.batch.terminated | logged.batch.truncated] = 0.0
    return following


def _state_visits(
    logged: LoggedSessions, system: _System, ratios: FloatArray, config: ModelConfig
) -> FloatArray:
    """zeta(s) of each row, (rows,), linear in the state part of the features."""
    state = system.now[:, : system.features.state_count]
    ratio = np.exp(np.minimum(ratios[logged.live], _LARGEST_RATIO_LOG))[:, None]  # (rows, 1)
    onward = config.gamma * ratio * _following(logged, state)
    return state @ _visiting(logged, state, onward, state, config)


def _visiting(
    logged: LoggedSessions,
    now: FloatArray,
    onward: FloatArray,
    first: FloatArray,
    config: ModelConfig,
) -> FloatArray:
    """Alpha that solves mean[gamma^t zeta (psi - onward)] = mean over starts, zeta = psi' alpha."""
    discounts = config.gamma ** logged.batch.requests.astype(np.float64)
    matrix = (discounts[:, None] * now).T @ (now - onward) / len(now)
    start = first[logged.batch.requests == 0].sum(axis=0) / len(now)
    return _solved(matrix.T, start, config, "visits")


def _solved(matrix: FloatArray, target: FloatArray, config: ModelConfig, what: str) -> FloatArray:
    """The solution with the ridge, the constant being free.

    Raises:
        DataError: if the matrix is singular to the precision of float64.
    """
    penalty = np.full(len(matrix), config.ridge)
    penalty[0] = 0.0
    whole = matrix + np.diag(penalty)
    refuse_ill_conditioned(whole, f"the target's {what}")
    return np.linalg.solve(whole, target)
