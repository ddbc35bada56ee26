"""Q, V and density ratios of a target, linear in quadratic features and solved in one step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.evaluation.least_squares import QuadraticFeatures, TransitionSums, solve_lstd_q
from mtf_rl.evaluation.least_squares.regression import refuse_ill_conditioned, ridge_penalty
from mtf_rl.evaluation.off_policy.config import ModelConfig
from mtf_rl.evaluation.off_policy.estimators import OPEInputs
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.off_policy.targets import DensityTarget, log_ratios
from mtf_rl.evaluation.off_policy.views import ActionView, as_it_is
from mtf_rl.evaluation.standardisation import Standardisation

__all__ = ["SessionModel", "inputs_of"]

_MAX_CACHED = 100_000_000  # numbers in the features of a log that is cached in memory: 800 MB


def inputs_of(
    logged: LoggedSessions,
    target: DensityTarget,
    config: ModelConfig,
    rng: np.random.Generator,
    *,
    view: ActionView = as_it_is,
) -> OPEInputs:
    """`SessionModel.inputs` of one target."""
    return SessionModel(logged, config, view).inputs(target, rng)


class SessionModel:
    """Q, V and state-action density ratios of any target, fitted to logged sessions.

    Q is linear in quadratic features phi and solves the equation of LSTD-Q,

        mean[phi (phi - gamma phi')'] theta = mean[phi r].

    phi' holds the target's mean features at the next observation. It is 0 after the last request
    of a session, whether the user left or the session was cut, so that V has the definition of J.

    Density ratios zeta = psi' alpha solve the transposed equation of minimax weight learning
    (Uehara, Huang and Jiang, ICML 2020),

        mean over sessions of sum_t zeta_t (psi_t - gamma psi'_t) = mean over sessions of psi'_0,

    where each request's term is multiplied by gamma^t and psi'_0 holds the target's mean features
    at the first observation. This is the saddle point of the DICE family's Lagrangian with the
    ridge as its only regulariser. The features psi are the entries of phi that are linear in the
    observation. If zeta used phi too, Q and zeta would give identical estimates.

    `model_state_action_ratios` do use phi, without gamma^t. They give each session's influence on
    the fit of Q.

    The fit uses the sessions that are evaluated, in chunks of whole sessions.
    """

    def __init__(
        self, logged: LoggedSessions, config: ModelConfig, view: ActionView = as_it_is
    ) -> None:
        """Prepare the features of the log.

        Args:
            logged: sessions of a behaviour policy.
            config: settings of the model.
            view: function of the action in which Q is quadratic.
        """
        self._logged, self._config, self._view = logged, config, view
        batch = logged.batch
        self._seen = view(batch.actions)  # (rows, width)
        self._features = QuadraticFeatures(
            Standardisation.of(batch.observations),
            self._seen.shape[1],
            config.observation_terms,
            None if config.crossed else (),
        )
        self._penalty = ridge_penalty(self._features.count, config.ridge)

    def inputs(self, target: DensityTarget, rng: np.random.Generator) -> OPEInputs:
        """All inputs of the closed-form estimators.

        Args:
            target: the policy to evaluate.
            rng: generator that samples the actions of a stochastic target.

        Raises:
            DataError: if a fit is singular, or a density of the target is NaN or infinite.
        """
        drawn = target.draws(self._logged.batch.observations, rng, self._config.draws)
        return replace(self.direct(drawn), log_ratios=log_ratios(self._logged, target))

    def direct(self, actions: Sequence[FloatArray]) -> OPEInputs:
        """The inputs that need no density: Q, V and state-action ratios; log ratios are NaN.

        Args:
            actions: one or more samples of the target's actions at the rows, each (rows,
                action_dim); a deterministic target has one.

        Raises:
            DataError: if a fit is singular.
        """
        logged, config = self._logged, self._config
        predictions, leverage = self._predictions([self._view(sample) for sample in actions])
        q, v, model_ratios, ratios = (logged.padded(values, fill=0.0) for values in predictions)
        return OPEInputs(
            log_ratios=np.full_like(logged.rewards, np.nan),
            rewards=logged.rewards,
            live=logged.live,
            gamma=config.gamma,
            q=q,
            v=v,
            model_state_action_ratios=model_ratios,
            leverage=leverage,
            state_action_ratios=ratios,
            bound=config.bound,
        )

    @cached_property
    def _log(self) -> "_LogMoments":
        """Sums that do not depend on the target."""
        batch, width = self._logged.batch, self._features.count
        own = self._features.state_count
        sums = _LogMoments(
            gram=np.zeros((width, width)),
            discounted=np.zeros((width, width)),
            onward=np.zeros((width, own)),
            discounted_onward=np.zeros((width, own)),
            reward=np.zeros(width),
            start=np.zeros(own),
        )
        for rows, now in self._pieces():
            following = _following(self._logged, rows, now[:, :own])
            discounted = self._discounted(rows, now)
            sums.gram += now.T @ now
            sums.onward += now.T @ following
            sums.reward += now.T @ batch.rewards[rows].astype(np.float64)
            sums.start += now[batch.requests[rows] == 0, :own].sum(axis=0)
            if discounted is not now:
                sums.discounted += discounted.T @ now
                sums.discounted_onward += discounted.T @ following
        if self._config.gamma == 1.0:
            sums.discounted, sums.discounted_onward = sums.gram, sums.onward
        return sums

    def _discounted(self, rows: slice, now: FloatArray) -> FloatArray:
        """Features times gamma^t; the same array if gamma is 1."""
        gamma = self._config.gamma
        if gamma == 1.0:
            return now
        return _discounts(gamma, self._logged.batch.requests[rows]) * now

    def _predictions(self, drawn: list[FloatArray]) -> tuple[FloatArray, float]:
        """Q, V, ratios in the class of Q and ratios in psi, (4, rows), and the leverage."""
        own, acting = self._features.state_count, _ActingFeatures.of(self._features, drawn)
        moments = self._moments(acting)
        q, model_ratios, ratios = self._coefficients(moments)
        v = np.concatenate([q[:own], np.zeros(len(q) - own)])  # on the state part of phi
        if acting.matrix is not None:
            v[:own] += acting.matrix @ q[own:]
        coefficients = np.stack([q, v, model_ratios, ratios], axis=1)  # (features, 4)
        predictions = np.empty((4, len(self._logged)))
        for rows, now in self._pieces():
            predictions[:, rows] = (now @ coefficients).T
            if acting.matrix is None:
                predictions[1, rows] += acting.of_rows(rows, now[:, :own]) @ q[own:]
        return predictions, self._leverage(moments)

    def _moments(self, acting: "_ActingFeatures") -> "_TargetMoments":
        log, own = self._log, self._features.state_count
        if acting.matrix is not None:
            seen = acting.matrix  # the action part of phi is x(s) @ seen
            state = log.gram[:own, :own] @ seen
            return _TargetMoments(
                onward=log.onward @ seen,
                discounted_onward=log.discounted_onward @ seen,
                state=state,
                acting=seen.T @ state,
                start=log.start @ seen,
            )
        width = self._features.count - own
        sums = _TargetMoments(
            onward=np.zeros((self._features.count, width)),
            discounted_onward=np.zeros((self._features.count, width)),
            state=np.zeros((own, width)),
            acting=np.zeros((width, width)),
            start=np.zeros(width),
        )
        for rows, now in self._pieces():
            here = acting.of_rows(rows, now[:, :own])
            following = _following(self._logged, rows, here)
            discounted = self._discounted(rows, now)
            sums.onward += now.T @ following
            if discounted is not now:
                sums.discounted_onward += discounted.T @ following
            sums.state += now[:, :own].T @ here
            sums.acting += here.T @ here
            sums.start += here[self._logged.batch.requests[rows] == 0].sum(axis=0)
        if self._config.gamma == 1.0:
            sums.discounted_onward = sums.onward
        return sums

    def _coefficients(self, moments: "_TargetMoments") -> tuple[FloatArray, FloatArray, FloatArray]:
        """Coefficients of Q, of the ratios in the class of Q, and of the ratios in psi."""
        log, gamma, count = self._log, self._config.gamma, len(self._logged)
        q = solve_lstd_q(
            TransitionSums(log.gram, np.hstack([log.onward, moments.onward]), log.reward, count),
            gamma=gamma,
            penalty=self._penalty,
            what="the target",
        )
        backward = log.discounted - gamma * np.hstack(
            [log.discounted_onward, moments.discounted_onward]
        )
        start = np.concatenate([log.start, moments.start]) / count
        own, linear = np.zeros_like(start), self._linear
        transposed = (backward.T / count + np.diag(self._penalty))[np.ix_(linear, linear)]
        refuse_ill_conditioned(transposed, "the target")
        own[linear] = np.linalg.solve(transposed, start[linear])
        return q.coefficients, q.inverse.T @ start, own

    def _leverage(self, moments: "_TargetMoments") -> float:
        """Mean of phi' G^-1 phi at the target's actions, divided by that at the logged actions."""
        log, own = self._log, self._features.state_count
        inverse = np.linalg.inv(log.gram / len(self._logged) + np.diag(self._penalty))
        state = log.gram[:own, :own]
        gram = np.block([[state, moments.state], [moments.state.T, moments.acting]])
        return float(np.sum(inverse * gram) / np.sum(inverse * log.gram))

    @cached_property
    def _linear(self) -> IntArray:
        """Indices of the features that are linear in the observation, psi."""
        positions = np.arange(self._features.count)
        linear: IntArray = positions[
            (positions <= self._features.obs_dim) | (positions >= self._features.state_count)
        ]
        return linear

    def _pieces(self) -> Iterator[tuple[slice, FloatArray]]:
        """Chunks of rows with their logged phi, (rows, features).

        Small logs are cached, because every target reads them again.
        """
        if len(self._logged) * self._features.count <= _MAX_CACHED:
            yield from self._cached
            return
        for rows in self._logged.pieces:
            yield rows, self._logged_features(rows)

    @cached_property
    def _cached(self) -> list[tuple[slice, FloatArray]]:
        return [(rows, self._logged_features(rows)) for rows in self._logged.pieces]

    def _logged_features(self, rows: slice) -> FloatArray:
        return self._features.joint(self._logged.batch.observations[rows], self._seen[rows])


@dataclass(frozen=True)
class _ActingFeatures:
    """The part of phi that depends on the action, averaged over the target's actions."""

    features: QuadraticFeatures
    drawn: list[FloatArray]  # actions as the model sees them, each (rows, width)
    matrix: FloatArray | None
    """(state_count, count - state_count), for a target with the same action at every row; else
    None."""

    @classmethod
    def of(cls, features: QuadraticFeatures, drawn: list[FloatArray]) -> "_ActingFeatures":
        first = drawn[0]
        static = len(drawn) == 1 and bool((first == first[0]).all())
        matrix = features.at_action(first[0])[:, features.state_count :] if static else None
        return cls(features, drawn, matrix)

    def of_rows(self, rows: slice, state: FloatArray) -> FloatArray:
        """Action features of some rows with state features `state` (rows, state_count)."""
        mean = self.features.acting(state, self.drawn[0][rows])
        for sample in self.drawn[1:]:
            mean += self.features.acting(state, sample[rows])
        mean /= len(self.drawn)
        return mean


@dataclass
class _LogMoments:
    """Sums over the rows of a log."""

    gram: FloatArray  # phi phi'
    discounted: FloatArray  # gamma^t phi phi'
    onward: FloatArray  # phi x(s')'
    discounted_onward: FloatArray  # gamma^t phi x(s')'
    reward: FloatArray  # phi r
    start: FloatArray  # x(s) of first observations


@dataclass
class _TargetMoments:
    """Sums over the rows of a log that contain z, the target's mean action features."""

    onward: FloatArray  # phi z(s')'
    discounted_onward: FloatArray  # gamma^t phi z(s')'
    state: FloatArray  # x(s) z(s)'
    acting: FloatArray  # z(s) z(s)'
    start: FloatArray  # z of first observations


def _following(logged: LoggedSessions, rows: slice, values: FloatArray) -> FloatArray:
    """Values (rows, features) at the session's next request; 0 at its last."""
    following = np.zeros_like(values)
    following[:-1] = values[1:]
    batch = logged.batch
    following[batch.terminated[rows] | batch.truncated[rows]] = 0.0
    return following


def _discounts(gamma: float, requests: IntArray) -> FloatArray:
    """gamma^t, (rows, 1)."""
    discounts: FloatArray = gamma ** requests.astype(np.float64)[:, None]
    return discounts
