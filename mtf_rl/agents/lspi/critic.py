"""What a policy's actions are worth, by least squares, and how surely that is known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import Policy
from mtf_rl.data import Transitions
from mtf_rl.evaluation.least_squares import QuadraticFeatures
from mtf_rl.evaluation.least_squares.regression import refuse_ill_conditioned
from mtf_rl.evaluation.policy_actions import next_actions

__all__ = ["ActionValues", "CriticEvaluation"]


@dataclass(frozen=True)
class ActionValues:
    """The part of Q(s, a) = phi(s, a)' theta that depends on the action.

    Entries are those of phi past its state part: the action, the products of its entries, and
    those with the crossed observations.
    """

    coefficients: FloatArray  # (action features,), in reward units
    covariance: FloatArray  # (action features, action features), of the coefficients
    td_error: float
    """Root mean square of r + gamma Q(s', pi(s')) - Q(s, a), in reward units."""


@dataclass(frozen=True)
class CriticEvaluation:
    """LSTD-Q of policies on fixed rows (Lagoudakis and Parr, JMLR 2003, section 5).

    theta solves A theta = mean[phi r] with A = mean[phi (phi - gamma (1 - terminated) phi')'] +
    ridge, phi' at the policy's action. With TD errors delta its covariance is estimated by

        A^-1 mean[delta^2 phi phi'] A^-T / rows,

    the sandwich of a linear estimator: under the true Q errors of a session are uncorrelated, so
    that rows need no clustering. What the features cannot express is not in it.
    """

    transitions: Transitions
    features: QuadraticFeatures
    gamma: float
    ridge: float

    @cached_property
    def _now(self) -> FloatArray:
        """Phi of the rows, (rows, features)."""
        return self.features.joint(self.transitions.observations, self.transitions.actions)

    @cached_property
    def _gram(self) -> FloatArray:
        penalty = np.full(self.features.count, self.ridge)
        penalty[0] = 0.0
        gram: FloatArray = self._now.T @ self._now / len(self._now) + np.diag(penalty)
        return gram

    def of(self, policy: Policy) -> ActionValues:
        """What actions are worth if the policy acts from the next request on.

        Raises:
            DataError: if Q has no single fixed point, as where gamma is 1 and no session ends.
        """
        rows, rewards = self.transitions, self.transitions.rewards.astype(np.float64)
        then = self.features.joint(rows.next_observations, next_actions(policy, rows))
        then[rows.terminated] = 0.0
        count = len(rewards)
        matrix = self._gram - self.gamma * (self._now.T @ then) / count
        refuse_ill_conditioned(matrix, "this policy")
        inverse = np.linalg.inv(matrix)
        theta = inverse @ (self._now.T @ rewards) / count
        errors = rewards + self.gamma * (then @ theta) - self._now @ theta  # (rows,)
        meat = (self._now * (errors**2)[:, None]).T @ self._now / count
        action = slice(self.features.state_count, None)
        return ActionValues(
            coefficients=theta[action],
            covariance=(inverse[action] @ meat @ inverse[action].T) / count,
            td_error=float(np.sqrt((errors**2).mean())),
        )
