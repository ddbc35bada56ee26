"""Q, V and visits of a target, linear in quadratic features and solved at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.ranges import check_above, check_share
from mtf_rl.evaluation.least_squares import QuadraticFeatures
from mtf_rl.evaluation.least_squares.config import ObservationTerms
from mtf_rl.evaluation.least_squares.regression import refuse_ill_conditioned
from mtf_rl.evaluation.off_policy.estimators import Evidence
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.off_policy.targets import DensityTarget, log_ratios
from mtf_rl.evaluation.off_policy.views import ActionView, as_it_is
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
    ridge: float = 1e-2
    """Weight of squared coefficients (not the constant's) beside the mean squared error, above
    0."""
    observation_terms: ObservationTerms = "squares"
    """Terms of the observation alone in Q: linear, squares too, or all products of two too."""
    crossed: bool = False
    """Whether every observed number also meets the action in Q."""
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
    *,
    view: ActionView = as_it_is,
) -> Evidence:
    """Everything that the closed-form estimators ask for.

    Q solves mean[phi (phi - gamma phi')'] theta = mean[phi r] (LSTD-Q), phi' being the target's
    mean features at the next observation and 0 after the last request of a session, left or cut, so
    that V counts what J counts. Visits zeta = psi' alpha solve the transposed question of minimax
    weight learning (Uehara, Huang and Jiang, ICML 2020) in features psi of their own, those of phi
    that are linear in the observation:

        mean over sessions of sum_t zeta_t (psi_t - gamma psi'_t) = mean over sessions of psi'_0

    with every request's term weighed by gamma^t, and psi'_0 the target's mean features at the first
    observation; this is the saddle point of the DICE family's Lagrangian without regularisers, but
    for the ridge. State visits are the same with
    features of the state and ratios in the place of drawn actions. With one class for both, Q and
    zeta would give one and the same estimate; `model_visits`, which are those, tell how far the
    model's own fit moves with the sessions.

    Both are fitted on the sessions that are evaluated.

    Args:
        logged: sessions of a behaviour policy.
        target: the policy that is evaluated.
        config: of the model.
        rng: of the actions that are drawn of a stochastic target.
        view: what of an action the model looks at.

    Raises:
        DataError: if a fit is not determined, or the target's density is no number.
    """
    batch = logged.batch
    standard = Standardisation.of(batch.observations)
    width = view(batch.actions[:1]).shape[1]
    drawn = [view(one) for one in target.draws(batch.observations, rng, config.draws)]
    actions = _Actions(view(batch.actions), drawn)
    crossed = None if config.crossed else ()
    features = QuadraticFeatures(standard, width, config.observation_terms, crossed)
    system = _System(logged, config, features, actions)
    q, v, model_visits, visits = system.solved()
    ratios = log_ratios(logged, target)
    return Evidence(
        log_ratios=ratios,
        rewards=logged.rewards,
        live=logged.live,
        gamma=config.gamma,
        q=logged.padded(q, fill=0.0),
        v=logged.padded(v, fill=0.0),
        model_visits=logged.padded(model_visits, fill=0.0),
        leverage=system.leverage,
        visits=logged.padded(visits, fill=0.0),
        state_visits=logged.padded(_state_visits(logged, system, ratios), fill=0.0),
        bound=config.bound,
        window=config.window,
    )


@dataclass(frozen=True)
class _Actions:
    """Actions as the model sees them."""

    logged: FloatArray  # (rows, width)
    drawn: list[FloatArray]  # of the target, (rows, width) each


@dataclass
class _Moments:
    """Sums over rows."""

    gram: FloatArray  # phi phi'
    onward: FloatArray  # phi phi'_next, the target's at the next observation
    discounted: FloatArray  # gamma^t phi (phi - gamma phi_next)'
    reward: FloatArray  # phi r
    start: FloatArray  # the target's features at first observations
    here: FloatArray  # the target's features times themselves

    @classmethod
    def zeros(cls, width: int) -> "_Moments":
        square = (width, width)
        return cls(
            np.zeros(square),
            np.zeros(square),
            np.zeros(square),
            np.zeros(width),
            np.zeros(width),
            np.zeros(square),
        )


@dataclass(frozen=True)
class _Piece:
    """Features of some whole sessions."""

    rows: slice
    now: FloatArray  # (rows, features), phi(s, a)
    here: FloatArray  # (rows, features), mean of phi(s, a) over the target's a


@dataclass(frozen=True)
class _System:
    """What is solved with some features; rows go by in pieces, which bounds memory."""

    logged: LoggedSessions
    config: ModelConfig
    features: QuadraticFeatures
    actions: _Actions
    penalty: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        penalty = np.full(self.features.count, self.config.ridge)
        penalty[0] = 0.0
        object.__setattr__(self, "penalty", penalty)

    def pieces(self) -> Iterator[_Piece]:
        """All rows, some sessions at a time."""
        observations = self.logged.batch.observations
        for rows in self.logged.pieces:
            now = self.features.joint(observations[rows], self.actions.logged[rows])
            here = np.mean(
                [self.features.joint(observations[rows], one[rows]) for one in self.actions.drawn],
                axis=0,
            )
            yield _Piece(rows, now, here)

    @cached_property
    def moments(self) -> _Moments:
        """The sums."""
        batch, gamma = self.logged.batch, self.config.gamma
        sums = _Moments.zeros(self.features.count)
        for piece in self.pieces():
            following = _following(self.logged, piece.rows, piece.here)
            requests = batch.requests[piece.rows]
            sums.gram += piece.now.T @ piece.now
            sums.onward += piece.now.T @ following
            if gamma < 1.0:
                discounts = gamma ** requests.astype(np.float64)
                sums.discounted += (discounts[:, None] * piece.now).T @ (
                    piece.now - gamma * following
                )
            sums.reward += piece.now.T @ batch.rewards[piece.rows].astype(np.float64)
            sums.start += piece.here[requests == 0].sum(axis=0)
            sums.here += piece.here.T @ piece.here
        if gamma == 1.0:
            sums.discounted = sums.gram - sums.onward
        return sums

    @property
    def leverage(self) -> float:
        """Mean of phi' G^-1 phi at the target's actions over that at the log's, which is 1.

        It tells how far the target's actions lie outside those that Q was fitted to: the variance
        of Q there, of independent errors, is as many times larger.
        """
        count = len(self.logged)
        gram = self.moments.gram / count + np.diag(self.penalty)
        inverse = np.linalg.inv(gram)
        log = float(np.sum(inverse * self.moments.gram)) / count
        return float(np.sum(inverse * self.moments.here)) / count / log

    @property
    def linear(self) -> IntArray:
        """Places of the features that are linear in the observation."""
        places = np.arange(self.features.count)
        terms = self.features.obs_dim
        linear: IntArray = places[(places <= terms) | (places >= self.features.state_count)]
        return linear

    def solved(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Q, V, visits in the class of Q, and visits in their own, of the rows, (rows,) each.

        Raises:
            DataError: if a system is singular to the precision of float64.
        """
        count, sums, own = len(self.logged), self.moments, self.linear
        forward = (sums.gram - self.config.gamma * sums.onward) / count + np.diag(self.penalty)
        theta = _solved(forward, sums.reward / count, "Q")
        transposed, start = sums.discounted.T / count + np.diag(self.penalty), sums.start / count
        alpha = _solved(transposed, start, "visits")
        alpha_own = np.zeros_like(alpha)
        alpha_own[own] = _solved(transposed[np.ix_(own, own)], start[own], "visits")
        found = np.empty((4, count))
        for piece in self.pieces():
            found[0, piece.rows] = piece.now @ theta
            found[1, piece.rows] = piece.here @ theta
            found[2, piece.rows] = piece.now @ alpha
            found[3, piece.rows] = piece.now @ alpha_own
        return found[0], found[1], found[2], found[3]


def _following(logged: LoggedSessions, rows: slice, values: FloatArray) -> FloatArray:
    """Values of rows (rows, features) at the session's next request; 0 after its last."""
    following = np.zeros_like(values)
    following[:-1] = values[1:]
    batch = logged.batch
    following[batch.terminated[rows] | batch.truncated[rows]] = 0.0
    return following


def _state_visits(logged: LoggedSessions, system: _System, ratios: FloatArray) -> FloatArray:
    """zeta(s) of each row, (rows,), linear in the state part of the features."""
    features = replace(system.features, observation_terms="linear")
    width, gamma = features.state_count, system.config.gamma
    observations, requests = logged.batch.observations, logged.batch.requests
    ratio = np.exp(np.minimum(ratios[logged.live], _LARGEST_RATIO_LOG))
    matrix, start = np.zeros((width, width)), np.zeros(width)
    for rows in logged.pieces:
        state = features.state(observations[rows])
        onward = gamma * ratio[rows, None] * _following(logged, rows, state)
        discounts = gamma ** requests[rows].astype(np.float64)
        matrix += (discounts[:, None] * state).T @ (state - onward)
        start += state[requests[rows] == 0].sum(axis=0)
    count = len(logged)
    penalty = np.diag(system.penalty[:width])
    alpha = _solved(matrix.T / count + penalty, start / count, "state visits")
    found = [features.state(observations[rows]) @ alpha for rows in logged.pieces]
    return np.concatenate(found)


def _solved(matrix: FloatArray, target: FloatArray, what: str) -> FloatArray:
    """The solution.

    Raises:
        DataError: if the matrix is singular to the precision of float64.
    """
    refuse_ill_conditioned(matrix, f"the target's {what}")
    return np.linalg.solve(matrix, target)
