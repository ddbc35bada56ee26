"""The fixed point of fitted Q evaluation for one deterministic policy."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import Policy
from mtf_rl.data.transitions import Transitions
from mtf_rl.evaluation.least_squares.config import LeastSquaresConfig
from mtf_rl.evaluation.least_squares.features import QuadraticFeatures
from mtf_rl.evaluation.least_squares.lstd import TransitionSums, solve_lstd_q
from mtf_rl.evaluation.least_squares.regression import chunks, penalised_gram, ridge_penalty
from mtf_rl.evaluation.policy_actions import next_actions, policy_actions
from mtf_rl.evaluation.session_ends import check_starts, check_value_exists

__all__ = ["LeastSquaresQ", "least_squares_q"]


@dataclass(frozen=True)
class LeastSquaresQ:
    """Q(s, a) = phi(s, a)' theta, in reward units."""

    features: QuadraticFeatures
    coefficients: FloatArray  # (features,), theta
    spectral_radius: float
    """Largest absolute eigenvalue of one iteration of fitted Q evaluation.

    At 1 or above, the iteration diverges and does not reach the fixed point solved here.
    """

    def q(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        """Q of observations (rows, obs_dim) and actions (rows, action_dim): (rows,)."""
        values = np.empty(len(observations))
        for rows in chunks(len(observations)):
            values[rows] = (
                self.features.joint(observations[rows], actions[rows]) @ self.coefficients
            )
        return values

    def state_values(self, observations: FloatArray, policy: Policy) -> FloatArray:
        """Q(s, policy(s)) of observations (rows, obs_dim): (rows,)."""
        actions = policy_actions(policy, observations, action_dim=self.features.action_dim)
        return self.q(observations, actions)

    def value(self, first_observations: FloatArray, policy: Policy) -> float:
        """Mean of Q(s0, policy(s0)) over first observations (sessions, obs_dim)."""
        check_starts(first_observations)
        return float(self.state_values(first_observations, policy).mean())


def least_squares_q(
    transitions: Transitions, policy: Policy, config: LeastSquaresConfig | None = None
) -> LeastSquaresQ:
    """Q of a deterministic policy, by least-squares temporal differences.

    Fitted Q evaluation repeats theta <- argmin_t mean (phi' t - y)^2 + ridge |t|^2 with
    y = r + gamma (1 - terminated) phi(s', policy(s'))' theta. At its fixed point,

        mean[phi (phi - gamma (1 - terminated) phi_next)'] theta + ridge theta = mean[phi r],

    which `solve_lstd_q` solves directly. The constant has no ridge.

    Raises:
        DataError: if the features are collinear, the fixed point is singular, gamma is 1 and no
            row is terminated, or the policy's actions are not finite or outside [-1, 1].
        ShapeError: if the policy's actions have another shape.
    """
    config = config or LeastSquaresConfig()
    check_value_exists(transitions, config.gamma)
    features = QuadraticFeatures.of(transitions, config.observation_terms)
    sums = _sums(transitions, next_actions(policy, transitions), features)
    gram = penalised_gram(sums.gram / sums.rows, config.ridge)
    solved = solve_lstd_q(
        sums,
        gamma=config.gamma,
        penalty=ridge_penalty(features.count, config.ridge),
        what="this policy",
    )
    iteration = np.linalg.solve(gram, config.gamma * sums.onward / sums.rows)
    return LeastSquaresQ(
        features=features,
        coefficients=solved.coefficients,
        spectral_radius=float(np.abs(np.linalg.eigvals(iteration)).max()),
    )


def _sums(
    transitions: Transitions, onward_actions: FloatArray, features: QuadraticFeatures
) -> TransitionSums:
    gram, onward = np.zeros((2, features.count, features.count))
    rewards = np.zeros(features.count)
    for rows in chunks(len(transitions)):
        now = features.joint(transitions.observations[rows], transitions.actions[rows])
        then = features.joint(transitions.next_observations[rows], onward_actions[rows])
        then[transitions.terminated[rows]] = 0.0
        gram += now.T @ now
        onward += now.T @ then
        rewards += now.T @ transitions.rewards[rows]
    return TransitionSums(gram, onward, rewards, len(transitions))
