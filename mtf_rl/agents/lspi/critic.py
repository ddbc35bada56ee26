"""Least-squares Q of a policy, with the covariance of its coefficients."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import Policy
from mtf_rl.data import Transitions
from mtf_rl.evaluation.least_squares import QuadraticFeatures, TransitionSums, solve_lstd_q
from mtf_rl.evaluation.least_squares.regression import ridge_penalty
from mtf_rl.evaluation.policy_actions import next_actions

__all__ = ["ActionValues", "CriticEvaluation"]


@dataclass(frozen=True)
class ActionValues:
    """The part of Q(s, a) = phi(s, a)' theta that depends on the action.

    Entries follow phi after its state part: the action entries, their products with each other, and
    their products with the crossed observations.
    """

    coefficients: FloatArray  # (action features,), in reward units
    covariance: FloatArray  # (action features, action features), of the coefficients
    td_error: float
    """Root mean square of r + gamma Q(s', pi(s')) - Q(s, a), in reward units."""


@dataclass(frozen=True)
class CriticEvaluation:
    """LSTD-Q of policies on fixed rows, with the covariance of its coefficients.

    theta and A are those of `solve_lstd_q`. With TD errors delta the covariance of theta is
    estimated by

        A^-1 mean[delta^2 phi phi'] A^-T / rows,

    the sandwich covariance of a linear estimator. Under the true Q the TD errors of a session are
    uncorrelated, so rows need no clustering. The covariance does not include the approximation
    error of the features.
    """

    transitions: Transitions
    features: QuadraticFeatures
    gamma: float
    ridge: float

    @cached_property
    def _now(self) -> FloatArray:
        """Features phi of the rows, (rows, features)."""
        return self.features.joint(self.transitions.observations, self.transitions.actions)

    @cached_property
    def _gram(self) -> FloatArray:
        """Sum of phi phi', (features, features)."""
        gram: FloatArray = self._now.T @ self._now
        return gram

    def of(self, policy: Policy) -> ActionValues:
        """Estimate Q of a policy: the value of an action if the policy acts at later requests.

        Raises:
            DataError: if Q has no unique fixed point, for example if gamma is 1 and no session
                ends.
        """
        rows, rewards = self.transitions, self.transitions.rewards.astype(np.float64)
        then = self.features.joint(rows.next_observations, next_actions(policy, rows))
        then[rows.terminated] = 0.0
        count = len(rewards)
        solved = solve_lstd_q(
            TransitionSums(self._gram, self._now.T @ then, self._now.T @ rewards, count),
            gamma=self.gamma,
            penalty=ridge_penalty(self.features.count, self.ridge),
            what="this policy",
        )
        theta, inverse = solved.coefficients, solved.inverse
        errors = rewards + self.gamma * (then @ theta) - self._now @ theta  # (rows,)
        meat = (self._now * (errors**2)[:, None]).T @ self._now / count
        action = slice(self.features.state_count, None)
        return ActionValues(
            coefficients=theta[action],
            covariance=(inverse[action] @ meat @ inverse[action].T) / count,
            td_error=float(np.sqrt((errors**2).mean())),
        )
