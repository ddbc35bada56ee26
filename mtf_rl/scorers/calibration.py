"""Calibration: from a task's logit to a probability that means what it says.

A calibration is fitted on validation rows, after the model, and travels with it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from mtf_rl.core.arrays import BoolArray, FloatArray
from mtf_rl.core.registry import Registry

__all__ = ["CALIBRATORS", "Calibration", "Calibrator", "identity", "platt"]

MIN_POSITIVES = 20
RATE_FLOOR = 1e-6
NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-10

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(scale z + shift) of each task's logit z; scale > 0 keeps the order."""

    scale: tuple[float, ...]  # (tasks,), positive
    shift: tuple[float, ...]  # (tasks,)
    methods: tuple[str, ...]  # (tasks,): how each was found: `identity`, `platt` or `shift`

    def apply(self, logits: FloatArray) -> FloatArray:
        """Probabilities (rows, tasks) float32 of logits (rows, tasks)."""
        straight = logits.astype(np.float64) * np.array(self.scale) + np.array(self.shift)
        probabilities: FloatArray = expit(straight).astype(np.float32)
        return probabilities


Calibrator = Callable[[FloatArray, FloatArray, BoolArray, FloatArray], Calibration]


def identity(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """Trust the model: sigmoid(z). The arguments are those of `platt`."""
    tasks = logits.shape[1]
    return Calibration((1.0,) * tasks, (0.0,) * tasks, ("identity",) * tasks)


def platt(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """Scale a and shift b of least cross-entropy per task, on 0/1 labels or shares.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    Differs from the paper: instead of smoothed targets, a pseudo-observation (a - 1)^2 / 2 keeps a
    finite where the rows are separable.

    A task with fewer than 20 positives or 20 negatives (in total target) is only shifted, a = 1,
    so that its mean prediction is the rows' base rate, shrunk towards that of the training rows as
    if they were 20 positives. So is a task whose fit would turn the order around (a <= 0).

    Args:
        logits: (rows, tasks).
        targets: (rows, tasks) in [0, 1].
        mask: (rows, tasks), True where the row is in the task's sample space.
        base_rates: (tasks,) mean targets of the training rows.
    """
    fits = [
        _platt_task(*_valid(logits[:, task], targets[:, task], mask[:, task]), float(rate))
        for task, rate in enumerate(base_rates)
    ]
    scale, shift, methods = zip(*fits, strict=True)
    return Calibration(scale, shift, methods)


CALIBRATORS: Registry[Calibrator] = Registry("calibration", {"platt": platt, "identity": identity})


def _valid(z: FloatArray, y: FloatArray, m: BoolArray) -> tuple[Float64Array, Float64Array]:
    return z[m].astype(np.float64), y[m].astype(np.float64)


def _platt_task(z: Float64Array, y: Float64Array, base_rate: float) -> tuple[float, float, str]:
    if min(y.sum(), (1.0 - y).sum()) >= MIN_POSITIVES:
        scale, shift = _newton(z, y)
        if scale > 0.0:
            return scale, shift, "platt"
    return 1.0, _shift_to_rate(z, y, base_rate), "shift"


def _newton(z: Float64Array, y: Float64Array) -> tuple[float, float]:
    """Minimise sum_n l(a z_n + b, y_n) + (a - 1)^2 / 2, which is strictly convex."""
    design = np.stack([z, np.ones_like(z)], axis=1)  # (rows, 2)
    ridge = np.diag([1.0, 0.0])
    start = np.array([1.0, 0.0])
    parameters = start

    def objective(candidate: Float64Array) -> float:
        straight = design @ candidate
        loss = np.sum(np.logaddexp(0.0, straight) - y * straight)
        return float(loss + 0.5 * (candidate[0] - 1.0) ** 2)

    for _ in range(NEWTON_STEPS):
        p = expit(design @ parameters)
        gradient = design.T @ (p - y) + ridge @ (parameters - start)
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design + ridge
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        if gradient @ step < NEWTON_TOLERANCE:
            break
        parameters = _descend(objective, parameters, step)
    return float(parameters[0]), float(parameters[1])


def _descend(
    objective: Callable[[Float64Array], float], parameters: Float64Array, step: Float64Array
) -> Float64Array:
    """The longest of the steps 1, 1/2, 1/4 ... that lowers the objective."""
    before, size = objective(parameters), 1.0
    while size > 1e-8 and objective(parameters - size * step) > before:
        size /= 2.0
    return parameters - size * step


def _shift_to_rate(z: Float64Array, y: Float64Array, base_rate: float) -> float:
    """The b for which the mean of sigmoid(z + b) is the shrunk base rate."""
    prior = min(max(base_rate, RATE_FLOOR), 1.0 - RATE_FLOOR)
    prior_rows = MIN_POSITIVES / min(prior, 1.0 - prior)
    rate = (y.sum() + prior_rows * prior) / (len(y) + prior_rows)
    if len(z) == 0:
        return 0.0
    bound = float(np.abs(z).max()) + abs(float(logit(rate))) + 1.0
    return float(brentq(lambda b: float(expit(z + b).mean()) - rate, -bound, bound))
