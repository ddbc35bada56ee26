"""Quadratic features of an observation and an action."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.data.transitions import Transitions
from mtf_rl.evaluation.least_squares.config import ObservationTerms
from mtf_rl.evaluation.standardisation import Standardisation

__all__ = ["QuadraticFeatures"]


@dataclass(frozen=True)
class QuadraticFeatures:
    """phi(s, a) = (x(s), a_i, a_i a_j for i <= j, s_k a_j), with s standardised and a unchanged.

    The state part x(s) is (1, s), then optionally the squares s_i^2 or all products s_i s_j with
    i <= j.
    """

    standard: Standardisation
    action_dim: int
    observation_terms: ObservationTerms
    crossed: tuple[int, ...] | None = None
    """Columns k of the observation that interact with the action; None for all."""

    @classmethod
    def of(
        cls, transitions: Transitions, observation_terms: ObservationTerms
    ) -> "QuadraticFeatures":
        """Features standardised by the observations of `transitions`."""
        standard = Standardisation.of(transitions.observations)
        return cls(standard, transitions.action_dim, observation_terms)

    @property
    def obs_dim(self) -> int:
        """Number of features of an observation."""
        return len(self.standard.mean)

    @property
    def columns(self) -> list[int]:
        """Columns of the observation that interact with the action."""
        return list(range(self.obs_dim) if self.crossed is None else self.crossed)

    @property
    def state_count(self) -> int:
        """Number of state features: length of x(s)."""
        extra = {
            "linear": 0,
            "squares": self.obs_dim,
            "products": self.obs_dim * (self.obs_dim + 1) // 2,
        }
        return 1 + self.obs_dim + extra[self.observation_terms]

    @property
    def count(self) -> int:
        """Number of features: length of phi(s, a)."""
        pairs = self.action_dim * (self.action_dim + 1) // 2
        return self.state_count + self.action_dim * (1 + len(self.columns)) + pairs

    def state(self, observations: FloatArray) -> FloatArray:
        """x(s) of observations (rows, obs_dim): (rows, state_count).

        Raises:
            ShapeError: if the observations have another width.
        """
        standard = self.standard.apply(observations)
        parts = [np.ones((len(standard), 1)), standard]
        if self.observation_terms == "squares":
            parts.append(standard**2)
        elif self.observation_terms == "products":
            first, second = np.triu_indices(self.obs_dim)
            parts.append(standard[:, first] * standard[:, second])
        return np.concatenate(parts, axis=1)  # (rows, state_count)

    def joint(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        """phi(s, a) of observations (rows, obs_dim), actions (rows, action_dim): (rows, count).

        Raises:
            ShapeError: if observations or actions have another shape.
        """
        state = self.state(observations)
        return np.concatenate([state, self.acting(state, actions)], axis=1)

    def acting(self, state: FloatArray, actions: FloatArray) -> FloatArray:
        """The part of phi(s, a) that depends on the action: (rows, count - state_count).

        Args:
            state: x(s), (rows, state_count).
            actions: (rows, action_dim).

        Raises:
            ShapeError: if the actions do not have shape (rows, action_dim).
        """
        shape = (len(state), self.action_dim)
        check_shape("actions", actions, "rows, action_dim", shape)
        actions = actions.astype(np.float64)
        standard = state[:, 1 : 1 + self.obs_dim][:, self.columns]
        first, second = np.triu_indices(self.action_dim)
        crossed = standard[:, :, None] * actions[:, None, :]  # (rows, crossed, action_dim)
        pairs = actions[:, first] * actions[:, second]
        return np.concatenate([actions, pairs, crossed.reshape(len(state), -1)], axis=1)

    def at_action(self, action: FloatArray) -> FloatArray:
        """The matrix M for a constant action (action_dim,), such that phi(s, action) = x(s) M.

        Returns:
            (state_count, count).
        """
        check_shape("action", action, "action_dim", (self.action_dim,))
        action = action.astype(np.float64)
        matrix = np.zeros((self.state_count, self.count))
        matrix[:, : self.state_count] = np.eye(self.state_count)
        first, second = np.triu_indices(self.action_dim)
        alone = np.concatenate([action, action[first] * action[second]])
        start = self.state_count + len(alone)
        matrix[0, self.state_count : start] = alone
        matrix[1 : 1 + self.obs_dim, start:] = np.kron(
            np.eye(self.obs_dim)[:, self.columns], action
        )
        return matrix
