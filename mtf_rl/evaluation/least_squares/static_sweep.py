"""Evaluation of many static policies with one pass over the rows."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape, refuse_rows
from mtf_rl.data.transitions import Transitions
from mtf_rl.evaluation.least_squares.config import LeastSquaresConfig
from mtf_rl.evaluation.least_squares.features import QuadraticFeatures
from mtf_rl.evaluation.least_squares.regression import (
    chunks,
    penalised_gram,
    refuse_ill_conditioned,
)
from mtf_rl.evaluation.session_ends import check_starts, check_value_exists

__all__ = ["StaticPolicies", "StaticPolicyValues", "static_policies"]


@dataclass(frozen=True)
class StaticPolicyValues:
    """Estimated values of static policies, in reward units."""

    values: FloatArray  # (policies,), mean of Q(s0, action) over the first observations
    coefficients: FloatArray  # (policies, features), theta
    spectral_radii: FloatArray  # (policies,), of the iteration; see LeastSquaresQ


@dataclass(frozen=True)
class StaticPolicies:
    """Regressions of a dataset, from which a small linear solve gives any static policy's value.

    A constant action w has phi(s, w) = x(s) M(w), with M(w) a polynomial in w, so

        theta = u + gamma H y,  y = M(w) theta  =>  (I - gamma M(w) H) y = M(w) u,

    where u and H regress the reward r and the next state features (1 - terminated) x(s') on
    phi(s, a). V(s) = x(s) y. Only M depends on w; the system has the size of x, not of phi.
    """

    features: QuadraticFeatures
    gamma: float
    reward_fit: FloatArray  # (features,), u
    onward_fit: FloatArray  # (features, state features), H

    def evaluate(self, actions: FloatArray, first_observations: FloatArray) -> StaticPolicyValues:
        """Values of constant actions (policies, action_dim) in [-1, 1].

        Args:
            actions: one static policy per row.
            first_observations: observations at the starts of sessions, (sessions, obs_dim).

        Raises:
            ShapeError: if action_dim or obs_dim differs from the data's.
            DataError: if an action is not finite or outside [-1, 1], or the Q function of a
                policy is singular; the message names the row.
        """
        shape = (len(actions), self.features.action_dim)
        check_shape("actions", actions, "policies, action_dim", shape)
        refuse_rows(~(np.abs(actions) <= 1.0), "static actions must be in [-1, 1]")
        start = self._mean_state(first_observations)
        values, radii = np.empty((2, len(actions)))
        coefficients = np.empty((len(actions), self.features.count))
        for number, action in enumerate(actions):
            state_values, radii[number] = self._solve(action, f"static policy {number}")
            values[number] = start @ state_values
            coefficients[number] = self.reward_fit + self.gamma * self.onward_fit @ state_values
        return StaticPolicyValues(values, coefficients, radii)

    def _mean_state(self, observations: FloatArray) -> FloatArray:
        check_starts(observations)
        total = np.zeros(self.features.state_count)
        for rows in chunks(len(observations)):
            total += self.features.state(observations[rows]).sum(axis=0)
        return total / len(observations)

    def _solve(self, action: FloatArray, what: str) -> tuple[FloatArray, float]:
        """The coefficients y of V, (state features,), and the spectral radius."""
        at_action = self.features.at_action(action)
        iteration = self.gamma * at_action @ self.onward_fit  # (state features, state features)
        step = np.eye(len(iteration)) - iteration
        refuse_ill_conditioned(step, what)
        state_values = np.linalg.solve(step, at_action @ self.reward_fit)
        return state_values, float(np.abs(np.linalg.eigvals(iteration)).max())


def static_policies(
    transitions: Transitions, config: LeastSquaresConfig | None = None
) -> StaticPolicies:
    """Fit the regressions of `StaticPolicies`, which gives the values of `least_squares_q`.

    Raises:
        DataError: if the features are collinear, or gamma is 1 and no row is terminated.
    """
    config = config or LeastSquaresConfig()
    check_value_exists(transitions, config.gamma)
    features = QuadraticFeatures.of(transitions, config.observation_terms)
    gram, outcomes = _moments(transitions, features)
    fits = np.linalg.solve(penalised_gram(gram, config.ridge), outcomes)
    return StaticPolicies(features, config.gamma, fits[:, 0], fits[:, 1:])


def _moments(
    transitions: Transitions, features: QuadraticFeatures
) -> tuple[FloatArray, FloatArray]:
    """Means of phi phi', and of phi r next to phi (1 - terminated) x(s')'."""
    gram = np.zeros((features.count, features.count))
    onward = np.zeros((features.count, features.state_count))
    rewards = np.zeros(features.count)
    for rows in chunks(len(transitions)):
        now = features.joint(transitions.observations[rows], transitions.actions[rows])
        then = features.state(transitions.next_observations[rows])
        then[transitions.terminated[rows]] = 0.0
        gram += now.T @ now
        onward += now.T @ then
        rewards += now.T @ transitions.rewards[rows]
    count = len(transitions)
    return gram / count, np.column_stack([rewards / count, onward / count])
