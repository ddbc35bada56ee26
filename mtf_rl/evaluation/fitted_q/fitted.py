"""A fitted Q function as plain arrays."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.protocols import Policy
from mtf_rl.evaluation.fitted_q.config import FQEConfig
from mtf_rl.evaluation.policy_actions import policy_actions
from mtf_rl.evaluation.session_ends import check_starts
from mtf_rl.evaluation.standardisation import Standardisation

__all__ = ["FQEDiagnostics", "FittedQ", "Layer", "QNetwork"]

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class FQEDiagnostics:
    """Diagnostics of a fit; good values do not prove that the fit is accurate.

    TD errors are r + gamma (1 - terminated) Q(s', policy(s')) - Q(s, a).
    """

    td_error: float
    """Root mean square TD error on the fitted rows, in reward units; includes the noise of r and
    s'."""
    held_out_td_error: float | None
    """Root mean square TD error on held-out sessions; None without any."""
    td_bias: float
    """Mean TD error on the fitted rows, in reward units; 0 if a fit without penalty has converged.

    Otherwise the value is too low by about this amount times the number of remaining requests.
    """
    mean_absolute_q: float
    """Mean |Q(s, a)| on the fitted rows, in reward units."""
    largest_plausible_q: float
    """Largest |r| times a horizon: 1 / (1 - gamma), or 10 times the rows per terminated one."""

    @property
    def diverged(self) -> bool:
        """Whether Q is not finite, or larger than any possible sum of rewards."""
        return not self.mean_absolute_q <= self.largest_plausible_q


@dataclass(frozen=True)
class Layer:
    """inputs @ weight + bias."""

    weight: FloatArray  # (inputs, outputs)
    bias: FloatArray  # (outputs,)


@dataclass(frozen=True)
class QNetwork:
    """A float64 network with ReLU between its layers, multiplied by the scale of rewards."""

    layers: tuple[Layer, ...]
    standard: Standardisation
    action_dim: int
    reward_scale: float
    """Std of the fitted rewards, by which they were divided."""

    def q(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        """Q in reward units; see `FittedQ.q`."""
        shape = (len(observations), self.action_dim)
        check_shape("actions", actions, "rows, action_dim", shape)
        values = np.empty(len(observations))
        for start in range(0, len(values), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            standard = self.standard.apply(observations[rows])
            inputs = np.concatenate([standard, actions[rows]], axis=1)
            values[rows] = self.reward_scale * self._forward(inputs)
        return values

    def _forward(self, inputs: FloatArray) -> FloatArray:
        """Outputs (rows,) of inputs (rows, obs_dim + action_dim)."""
        for layer in self.layers[:-1]:
            inputs = np.maximum(inputs @ layer.weight + layer.bias, 0.0)
        outputs: FloatArray = inputs @ self.layers[-1].weight + self.layers[-1].bias
        return outputs[:, 0]  # (rows,)


@dataclass(frozen=True)
class FittedQ:
    """Q(s, a) of a policy in reward units, with diagnostics of the fit."""

    network: QNetwork
    config: FQEConfig
    diagnostics: FQEDiagnostics

    @property
    def alpha_in_reward_units(self) -> float:
        """Alpha times the scale of rewards.

        With Q = c q and scaled rewards r / c, c^2 (1/2 (q - y / c)^2 + alpha dq) is
        1/2 (Q - y)^2 + alpha c dQ: alpha on scaled rewards equals alpha c on unscaled rewards.
        """
        return self.config.alpha * self.network.reward_scale

    def q(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        """Q of observations (rows, obs_dim) and actions (rows, action_dim): (rows,).

        Raises:
            ShapeError: if observations or actions have another shape.
        """
        return self.network.q(observations, actions)

    def state_values(self, observations: FloatArray, policy: Policy) -> FloatArray:
        """Q(s, policy(s)) of observations (rows, obs_dim): (rows,).

        The policy must be the one that Q was fitted to. Errors are those of `policy_actions`.
        """
        count = self.network.action_dim
        return self.q(observations, policy_actions(policy, observations, action_dim=count))

    def value(self, first_observations: FloatArray, policy: Policy) -> float:
        """Mean of Q(s0, policy(s0)) over first observations (sessions, obs_dim)."""
        check_starts(first_observations)
        return float(self.state_values(first_observations, policy).mean())
