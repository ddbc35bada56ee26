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

_KEPT_NUMBERS = 100_000_000  # features of a log that are kept in memory, 800 MB


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
    """What logged sessions tell of any target, by features that are quadratic.

    Q solves mean[phi (phi - gamma phi')'] theta = mean[phi r] (LSTD-Q), phi' being the target's
    mean features at the next observation and 0 after the last request of a session, left or cut, so
    that V counts what J counts. Visits zeta = psi' alpha solve the transposed question of minimax
    weight learning (Uehara, Huang and Jiang, ICML 2020) in features psi of their own, those of phi
    that are linear in the observation:

        mean over sessions of sum_t zeta_t (psi_t - gamma psi'_t) = mean over sessions of psi'_0

    with every request's term weighed by gamma^t, and psi'_0 the target's mean features at the first
    observation; this is the saddle point of the DICE family's Lagrangian without regularisers, but
    for the ridge. State visits are the same with features of the state and ratios in the place of
    drawn actions. With one class for both, Q and zeta would give one and the same estimate.
    `model_visits` are in the class of Q, without the gamma^t, as Q's own equation has none: they
    tell how far the fit moves with the sessions.

    All are fitted on the sessions that are evaluated. Rows go by in pieces of whole sessions.
    """

    def __init__(
        self, logged: LoggedSessions, config: ModelConfig, view: ActionView = as_it_is
    ) -> None:
        """Take the log as it is.

        Args:
            logged: sessions of a behaviour policy.
            config: of the model.
            view: what of an action the model looks at.
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
        """Everything that the closed-form estimators ask for.

        Args:
            target: the policy that is evaluated.
            rng: of the actions that are drawn of a stochastic target.

        Raises:
            DataError: if a fit is not determined, or the target's density is no number.
        """
        drawn = target.draws(self._logged.batch.observations, rng, self._config.draws)
        return replace(self.direct(drawn), log_ratios=log_ratios(self._logged, target))

    def direct(self, actions: Sequence[FloatArray]) -> OPEInputs:
        """What needs no density: Q, V and visits; ratios are NaN.

        Args:
            actions: one or more draws of the target's actions at the rows, each (rows,
                action_dim); a deterministic target has one.

        Raises:
            DataError: if a fit is not determined.
        """
        logged, config = self._logged, self._config
        answers, leverage = self._answers([self._view(one) for one in actions])
        q, v, model_visits, visits = (logged.padded(one, fill=0.0) for one in answers)
        return OPEInputs(
            log_ratios=np.full_like(logged.rewards, np.nan),
            rewards=logged.rewards,
            live=logged.live,
            gamma=config.gamma,
            q=q,
            v=v,
            model_visits=model_visits,
            leverage=leverage,
            visits=visits,
            bound=config.bound,
        )

    @cached_property
    def _log(self) -> "_LogMoments":
        """What does not depend on the target: x(s) of the next observation is as logged."""
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
            weighed = self._weighed(rows, now)
            sums.gram += now.T @ now
            sums.onward += now.T @ following
            sums.reward += now.T @ batch.rewards[rows].astype(np.float64)
            sums.start += now[batch.requests[rows] == 0, :own].sum(axis=0)
            if weighed is not now:
                sums.discounted += weighed.T @ now
                sums.discounted_onward += weighed.T @ following
        if self._config.gamma == 1.0:
            sums.discounted, sums.discounted_onward = sums.gram, sums.onward
        return sums

    def _weighed(self, rows: slice, now: FloatArray) -> FloatArray:
        """Features times gamma^t; themselves where gamma is 1."""
        gamma = self._config.gamma
        if gamma == 1.0:
            return now
        return _discounts(gamma, self._logged.batch.requests[rows]) * now

    def _answers(self, drawn: list[FloatArray]) -> tuple[FloatArray, float]:
        """Q, V, visits in the class of Q, and in their own, of the rows, (4, rows); leverage."""
        own, acting = self._features.state_count, _ActingFeatures.of(self._features, drawn)
        moments = self._moments(acting)
        q, model_visits, visits = self._coefficients(moments)
        v = np.concatenate([q[:own], np.zeros(len(q) - own)])  # of the state part of phi
        if acting.matrix is not None:
            v[:own] += acting.matrix @ q[own:]
        together = np.stack([q, v, model_visits, visits], axis=1)  # (features, 4)
        found = np.empty((4, len(self._logged)))
        for rows, now in self._pieces():
            found[:, rows] = (now @ together).T
            if acting.matrix is None:
                found[1, rows] += acting.of_rows(rows, now[:, :own]) @ q[own:]
        return found, self._leverage(moments)

    def _moments(self, acting: "_ActingFeatures") -> "_TargetMoments":
        log, own = self._log, self._features.state_count
        if acting.matrix is not None:
            seen = acting.matrix  # x(s) times it is the acting part, at every observation
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
            weighed = self._weighed(rows, now)
            sums.onward += now.T @ following
            if weighed is not now:
                sums.discounted_onward += weighed.T @ following
            sums.state += now[:, :own].T @ here
            sums.acting += here.T @ here
            sums.start += here[self._logged.batch.requests[rows] == 0].sum(axis=0)
        if self._config.gamma == 1.0:
            sums.discounted_onward = sums.onward
        return sums

    def _coefficients(self, moments: "_TargetMoments") -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of Q, of visits in its class, and of those that are linear in the observation."""
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
        """Mean of phi' G^-1 phi at the target's actions over that at the log's."""
        log, own = self._log, self._features.state_count
        inverse = np.linalg.inv(log.gram / len(self._logged) + np.diag(self._penalty))
        state = log.gram[:own, :own]
        gram = np.block([[state, moments.state], [moments.state.T, moments.acting]])
        return float(np.sum(inverse * gram) / np.sum(inverse * log.gram))

    @cached_property
    def _linear(self) -> IntArray:
        """Positions of the features that are linear in the observation."""
        positions = np.arange(self._features.count)
        linear: IntArray = positions[
            (positions <= self._features.obs_dim) | (positions >= self._features.state_count)
        ]
        return linear

    def _pieces(self) -> Iterator[tuple[slice, FloatArray]]:
        """Rows of some sessions at a time, and phi of what was logged there, (rows, features).

        Kept where they are small enough, since every target asks for them anew.
        """
        if self._keeps:
            yield from self._kept
            return
        for rows in self._logged.pieces:
            yield rows, self._logged_features(rows)

    @property
    def _keeps(self) -> bool:
        return len(self._logged) * self._features.count <= _KEPT_NUMBERS

    @cached_property
    def _kept(self) -> list[tuple[slice, FloatArray]]:
        return [(rows, self._logged_features(rows)) for rows in self._logged.pieces]

    def _logged_features(self, rows: slice) -> FloatArray:
        return self._features.joint(self._logged.batch.observations[rows], self._seen[rows])


@dataclass(frozen=True)
class _ActingFeatures:
    """The target's mean of the part of phi that depends on actions, at any observation."""

    features: QuadraticFeatures
    drawn: list[FloatArray]  # actions as the model sees them, each (rows, width)
    matrix: FloatArray | None
    """(state_count, count - state_count), of a target with the same action at every row."""

    @classmethod
    def of(cls, features: QuadraticFeatures, drawn: list[FloatArray]) -> "_ActingFeatures":
        first = drawn[0]
        static = len(drawn) == 1 and bool((first == first[0]).all())
        matrix = features.at_action(first[0])[:, features.state_count :] if static else None
        return cls(features, drawn, matrix)

    def of_rows(self, rows: slice, state: FloatArray) -> FloatArray:
        """Of some rows, whose x(s) is (rows, state_count)."""
        found = self.features.acting(state, self.drawn[0][rows])
        for one in self.drawn[1:]:
            found += self.features.acting(state, one[rows])
        found /= len(self.drawn)
        return found


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
    """Sums over the rows of a log that hold z, the target's mean of phi's acting part."""

    onward: FloatArray  # phi z(s')'
    discounted_onward: FloatArray  # gamma^t phi z(s')'
    state: FloatArray  # x(s) z(s)'
    acting: FloatArray  # z(s) z(s)'
    start: FloatArray  # z of first observations


def _following(logged: LoggedSessions, rows: slice, values: FloatArray) -> FloatArray:
    """Values of rows (rows, features) at the session's next request; 0 after its last."""
    following = np.zeros_like(values)
    following[:-1] = values[1:]
    batch = logged.batch
    following[batch.terminated[rows] | batch.truncated[rows]] = 0.0
    return following


def _discounts(gamma: float, requests: IntArray) -> FloatArray:
    """gamma^t, (rows, 1)."""
    discounts: FloatArray = gamma ** requests.astype(np.float64)[:, None]
    return discounts
