"""The policy to be evaluated, as a density over actions."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError
from mtf_rl.core.protocols import Policy
from mtf_rl.evaluation.off_policy.kernels import ProductKernel
from mtf_rl.evaluation.off_policy.logged import LoggedSessions
from mtf_rl.evaluation.policy_actions import policy_actions

__all__ = ["DensityTarget", "SmoothedTarget", "log_ratios", "log_ratios_of"]


class DensityTarget(Protocol):
    """A policy with a density over actions, from which actions are sampled."""

    def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        """Log density over [-1, 1]^action_dim of each row's action, (rows,); -inf where it is 0."""
        ...

    def draws(
        self, observations: FloatArray, rng: np.random.Generator, count: int
    ) -> list[FloatArray]:
        """Up to `count` samples of the rows' actions, each (rows, action_dim) in [-1, 1].

        Their mean approximates the policy's expectation. A deterministic policy returns one.
        """
        ...


@dataclass(frozen=True)
class SmoothedTarget(DensityTarget):
    """A deterministic policy, smoothed by a kernel.

    Importance weights are those of the smoothed policy, which biases the estimate. For one request
    with a reward quadratic in the action, and away from the bounds, the bias is the sum over j of
    k h_j^2 / 2 times the second derivative by a_j, with k the kernel's variance (1 for the
    Gaussian). The models of Q and of density ratios use the policy without smoothing, so `dr` has
    no such bias if its model has the right curvature.
    """

    policy: Policy
    kernel: ProductKernel

    @override
    def draws(
        self, observations: FloatArray, rng: np.random.Generator, count: int
    ) -> list[FloatArray]:
        """The policy's own actions, not smoothed."""
        width = len(self.kernel.bandwidths)
        return [policy_actions(self.policy, observations, action_dim=width)]

    @override
    def log_density(self, observations: FloatArray, actions: FloatArray) -> FloatArray:
        width = actions.shape[1]
        centres = policy_actions(self.policy, observations, action_dim=width)
        return self.kernel.log_density(actions, centres)


def log_ratios(logged: LoggedSessions, target: DensityTarget) -> FloatArray:
    """Log p(a|s) - log b(a|s) of each request, (sessions, time); 0 past the end.

    Raises:
        DataError: if the target's density is NaN or infinite; the message names the first such row.
    """
    batch = logged.batch
    return log_ratios_of(logged, target.log_density(batch.observations, batch.actions))


def log_ratios_of(logged: LoggedSessions, densities: FloatArray) -> FloatArray:
    """`log_ratios` from the target's log densities (rows,).

    Raises:
        DataError: if a density is NaN or infinite; the message names the first such row.
    """
    densities = np.asarray(densities, dtype=np.float64)
    if densities.shape != (len(logged),):
        raise DataError(
            f"the target's log density must have shape (rows,) = ({len(logged)},), got"
            f" {densities.shape}. Return the joint log density of each action, summed over its"
            " entries"
        )
    bad = np.isnan(densities) | (densities == np.inf)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"the target's log density must be finite or -inf, got {densities[row]} in row {row}"
        )
    return logged.padded(densities - logged.batch.log_densities, fill=0.0)
