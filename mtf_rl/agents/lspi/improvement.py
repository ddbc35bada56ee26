"""Policy improvement: maximise the critic's estimated gain minus its uncertainty."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from mtf_rl.agents.lspi.critic import ActionValues
from mtf_rl.core.arrays import FloatArray

__all__ = ["Gain", "improved"]

_MIN_VARIANCE = 1e-6  # keeps the square root differentiable at the reference
_MAX_STEPS = 100


@dataclass(frozen=True)
class Gain:
    """Penalised gain of a policy over a reference policy, with its gradient by the weights.

    The gain is the difference in mean Q over some states, minus `caution` standard errors of this
    difference, minus squashing / 2 times the mean of |W z|^2.
    """

    values: ActionValues
    inputs: FloatArray  # (states, 1 + crossed), z of each state, with a 1 first
    reference: FloatArray  # (1 + crossed, action_dim), weights of the reference policy
    caution: float
    squashing: float

    def moments(self, weights: FloatArray) -> FloatArray:
        """Mean action features over the states, (action features,); actions are tanh(z W)."""
        actions = np.tanh(self.inputs @ weights)  # (states, action_dim)
        first, second = np.triu_indices(actions.shape[1])
        pairs = (actions.T @ actions / len(actions))[first, second]
        crossed = self.inputs.T @ actions / len(actions)  # (1 + crossed, action_dim)
        return np.concatenate([crossed[0], pairs, crossed[1:].ravel()])

    def plain(self, weights: FloatArray) -> tuple[float, float]:
        """The difference in mean Q without penalties, and its standard error."""
        moved = self.moments(weights) - self.moments(self.reference)
        variance = float(moved @ self.values.covariance @ moved)
        return float(moved @ self.values.coefficients), float(np.sqrt(max(variance, 0.0)))

    def __call__(self, weights: FloatArray, at_reference: FloatArray) -> tuple[float, FloatArray]:
        """Gain and gradient; `at_reference` holds the moments of the reference."""
        moved = self.moments(weights) - at_reference
        covariance = self.values.covariance @ moved
        error = float(np.sqrt(moved @ covariance + _MIN_VARIANCE))
        inner = self.inputs @ weights  # (states, action_dim)
        gain = moved @ self.values.coefficients - self.caution * error
        gain -= 0.5 * self.squashing * (inner**2).sum() / len(inner)
        # Derivatives of the gain by the moments, then by the actions and the inputs of tanh.
        slope = self.values.coefficients - self.caution * covariance / error
        actions = np.tanh(inner)
        by_inner = self._by_actions(slope, actions) * (1.0 - actions**2) - self.squashing * inner
        return float(gain), self.inputs.T @ by_inner / len(inner)

    def _by_actions(self, slope: FloatArray, actions: FloatArray) -> FloatArray:
        """Derivative of `slope` times the action features, (states, action_dim)."""
        width = actions.shape[1]
        count = width * (width + 1) // 2
        first, second = np.triu_indices(width)
        squares = np.zeros((width, width))
        squares[first, second] = slope[width : width + count]
        linear = np.vstack([slope[:width], slope[width + count :].reshape(-1, width)])
        return self.inputs @ linear + actions @ (squares + squares.T)


def improved(gain: Gain, starts: list[FloatArray]) -> FloatArray:
    """The best weights, (1 + crossed, action_dim), of L-BFGS-B from several starts."""
    shape = gain.reference.shape
    at_reference = gain.moments(gain.reference)

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = gain(flat.reshape(shape), at_reference)
        return -value, -gradient.ravel()

    results = [
        minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS})
        for start in starts
    ]
    best: FloatArray = min(results, key=lambda result: float(result.fun)).x.reshape(shape)
    return best
