"""Calibration: maps each task's logit to a calibrated probability.

A calibration is fitted on validation rows after the model, and is saved with it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, logit

from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.registry import Registry

__all__ = [
    "CALIBRATORS",
    "Calibration",
    "Calibrator",
    "Steps",
    "TabCalibration",
    "calibrate_by_tab",
    "identity",
    "isotonic",
    "platt",
    "temperature",
]

MIN_POSITIVES = 20
MIN_TAB_ROWS = 1000
RATE_FLOOR = 1e-6
LOG_TEMPERATURE = 5.0
NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-10

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """A monotone map from logit to probability: linear between knots, constant outside."""

    logits: tuple[float, ...]  # (knots,) ascending
    probabilities: tuple[float, ...]  # (knots,) in (0, 1), non-decreasing


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(scale z + shift) of each task's logit z; scale > 0 keeps the order.

    A task with `steps` uses these instead.
    """

    scale: tuple[float, ...]  # (tasks,), positive
    shift: tuple[float, ...]  # (tasks,)
    methods: tuple[str, ...]  # (tasks,): `identity`, `platt`, `temperature`, `isotonic` or `shift`
    steps: tuple[Steps | None, ...] = ()  # (tasks,), or empty if no task has steps

    def apply(self, logits: FloatArray, tabs: IntArray | None = None) -> FloatArray:
        """Probabilities (rows, tasks) float32 from logits (rows, tasks); `tabs` is ignored."""
        straight = logits.astype(np.float64) * np.array(self.scale) + np.array(self.shift)
        probabilities: FloatArray = expit(straight).astype(np.float32)
        for task, steps in enumerate(self.steps):
            if steps is not None:
                probabilities[:, task] = np.interp(
                    logits[:, task], steps.logits, steps.probabilities
                )
        return probabilities

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Calibration":
        """Build the calibration from a document of `to_json`."""
        values = {name: tuple(value) for name, value in document.items()}
        steps = tuple(
            None if curve is None else Steps(**{name: tuple(v) for name, v in curve.items()})
            for curve in values.pop("steps")
        )
        return cls(**values, steps=steps)


@dataclass(frozen=True)
class TabCalibration:
    """A separate calibration for each tab with enough rows, and one for all other tabs."""

    overall: Calibration
    tabs: tuple[int, ...]  # codes of the `tab` field
    by_tab: tuple[Calibration, ...]  # one for each of `tabs`

    def apply(self, logits: FloatArray, tabs: IntArray | None = None) -> FloatArray:
        """Probabilities (rows, tasks) float32 from logits (rows, tasks) and `tabs` (rows,)."""
        probabilities = self.overall.apply(logits)
        if tabs is None:
            return probabilities
        for code, calibration in zip(self.tabs, self.by_tab, strict=True):
            rows = tabs == code
            probabilities[rows] = calibration.apply(logits[rows])
        return probabilities

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "TabCalibration":
        """Build the calibration from a document of `to_json`."""
        return cls(
            overall=Calibration.from_json(document["overall"]),
            tabs=tuple(document["tabs"]),
            by_tab=tuple(Calibration.from_json(each) for each in document["by_tab"]),
        )


Calibrator = Callable[[FloatArray, FloatArray, BoolArray, FloatArray], Calibration]


def identity(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """No calibration: sigmoid(z). The arguments are those of `platt`."""
    tasks = logits.shape[1]
    return Calibration((1.0,) * tasks, (0.0,) * tasks, ("identity",) * tasks)


def platt(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """Scale a and shift b that minimise each task's cross-entropy, on labels in [0, 1].

    Source: Platt, "Probabilistic outputs for support vector machines", 1999. Unlike the paper, we
    do not smooth the targets: a penalty (a - 1)^2 / 2 keeps a finite on separable rows.

    A task with fewer than 20 positives or 20 negatives (in total target) is only shifted (a = 1).
    Its mean prediction then equals the rows' base rate, shrunk towards the training rows' base rate
    with a prior worth 20 positives. The same holds if the fit would reverse the order (a <= 0).

    Args:
        logits: (rows, tasks).
        targets: (rows, tasks) in [0, 1].
        mask: (rows, tasks), True where the row is in the task's sample space.
        base_rates: (tasks,) mean targets of the training rows.
    """
    return _per_task(_platt_task, logits, targets, mask, base_rates)


def temperature(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """sigmoid(z / T) with the T per task that minimises cross-entropy; arguments as in `platt`.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2. It
    cannot correct a wrong base rate. Tasks with too few positives or negatives are shifted, as in
    `platt`.
    """
    return _per_task(_temperature_task, logits, targets, mask, base_rates)


def isotonic(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """Isotonic regression per task; the arguments are those of `platt`.

    Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD 2002. Unlike the paper, we interpolate linearly between the middles of the
    steps, so that fewer rows tie, and we keep the levels away from 0 and 1. Tasks with too few
    positives or negatives are shifted, as in `platt`.
    """
    straight = _per_task(_shift_task, logits, targets, mask, base_rates)
    steps = tuple(
        _isotonic_task(*_valid(logits[:, task], targets[:, task], mask[:, task]))
        for task in range(logits.shape[1])
    )
    methods = tuple("shift" if curve is None else "isotonic" for curve in steps)
    return Calibration(straight.scale, straight.shift, methods, steps)


CALIBRATORS: Registry[Calibrator] = Registry(
    "calibration",
    {"platt": platt, "temperature": temperature, "isotonic": isotonic, "identity": identity},
)


def calibrate_by_tab(
    calibrator: Calibrator,
    logits: FloatArray,
    targets: FloatArray,
    mask: BoolArray,
    base_rates: FloatArray,
    tabs: IntArray,
) -> TabCalibration:
    """Fit `calibrator` on all rows, and separately on each tab with at least 1000 rows.

    In a tab with too few positives of a task, the task uses the overall calibration. `tabs` (rows,)
    holds tab codes; the other arguments are those of `platt`.
    """
    overall = calibrator(logits, targets, mask, base_rates)
    codes, counts = np.unique(tabs, return_counts=True)
    kept = tuple(int(code) for code in codes[counts >= MIN_TAB_ROWS])
    by_tab = tuple(
        _or_overall(calibrator(logits[rows], targets[rows], mask[rows], base_rates), overall)
        for rows in (tabs == code for code in kept)
    )
    return TabCalibration(overall, kept, by_tab)


def _or_overall(own: Calibration, overall: Calibration) -> Calibration:
    """`own`, with `overall` for the tasks that `own` only shifts."""
    tasks = range(len(own.methods))
    chosen = [overall if own.methods[task] == "shift" else own for task in tasks]
    return Calibration(
        scale=tuple(chosen[task].scale[task] for task in tasks),
        shift=tuple(chosen[task].shift[task] for task in tasks),
        methods=tuple(chosen[task].methods[task] for task in tasks),
        steps=tuple((chosen[task].steps or (None,) * len(tasks))[task] for task in tasks),
    )


def _per_task(
    fit: Callable[[Float64Array, Float64Array, float], tuple[float, float, str]],
    logits: FloatArray,
    targets: FloatArray,
    mask: BoolArray,
    base_rates: FloatArray,
) -> Calibration:
    fits = [
        fit(*_valid(logits[:, task], targets[:, task], mask[:, task]), float(rate))
        for task, rate in enumerate(base_rates)
    ]
    scale, shift, methods = zip(*fits, strict=True)
    return Calibration(scale, shift, methods)


def _valid(z: FloatArray, y: FloatArray, m: BoolArray) -> tuple[Float64Array, Float64Array]:
    return z[m].astype(np.float64), y[m].astype(np.float64)


def _platt_task(z: Float64Array, y: Float64Array, base_rate: float) -> tuple[float, float, str]:
    if _enough(y):
        scale, shift = _newton(z, y)
        if scale > 0.0:
            return scale, shift, "platt"
    return 1.0, _shift_to_rate(z, y, base_rate), "shift"


def _shift_task(z: Float64Array, y: Float64Array, base_rate: float) -> tuple[float, float, str]:
    return 1.0, _shift_to_rate(z, y, base_rate), "shift"


def _temperature_task(
    z: Float64Array, y: Float64Array, base_rate: float
) -> tuple[float, float, str]:
    if not _enough(y):
        return 1.0, _shift_to_rate(z, y, base_rate), "shift"

    def slope(log_scale: float) -> float:
        """Derivative of the cross-entropy in the scale 1 / T; its root is the optimum."""
        return float(z @ (expit(np.exp(log_scale) * z) - y))

    if slope(-LOG_TEMPERATURE) >= 0.0:
        return float(np.exp(-LOG_TEMPERATURE)), 0.0, "temperature"
    if slope(LOG_TEMPERATURE) <= 0.0:
        return float(np.exp(LOG_TEMPERATURE)), 0.0, "temperature"
    log_scale = brentq(slope, -LOG_TEMPERATURE, LOG_TEMPERATURE)
    return float(np.exp(log_scale)), 0.0, "temperature"


def _isotonic_task(z: Float64Array, y: Float64Array) -> Steps | None:
    if not _enough(y):
        return None
    values, positions, counts = np.unique(z, return_inverse=True, return_counts=True)
    means = np.bincount(positions, weights=y) / counts
    fitted = isotonic_regression(means, weights=counts)
    starts = fitted.blocks[:-1]  # of each run of equal probabilities
    weights = np.add.reduceat(counts, starts)
    middles = np.add.reduceat(values * counts, starts) / weights
    floor = 0.5 / len(z)  # A finite sample cannot show that a rate is 0.
    levels = np.clip(fitted.x[starts], floor, 1.0 - floor)
    return Steps(tuple(middles.tolist()), tuple(levels.tolist()))


def _enough(y: Float64Array) -> bool:
    return bool(min(y.sum(), (1.0 - y).sum()) >= MIN_POSITIVES)


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
    """Backtracking line search: halve the step, from 1, until the objective does not rise."""
    before, size = objective(parameters), 1.0
    while size > 1e-8 and objective(parameters - size * step) > before:
        size /= 2.0
    return parameters - size * step


def _shift_to_rate(z: Float64Array, y: Float64Array, base_rate: float) -> float:
    """The shift b at which the mean of sigmoid(z + b) equals the shrunk base rate."""
    prior = min(max(base_rate, RATE_FLOOR), 1.0 - RATE_FLOOR)
    prior_rows = MIN_POSITIVES / min(prior, 1.0 - prior)
    rate = (y.sum() + prior_rows * prior) / (len(y) + prior_rows)
    if len(z) == 0:
        return 0.0
    bound = float(np.abs(z).max()) + abs(float(logit(rate))) + 1.0
    return float(brentq(lambda b: float(expit(z + b).mean()) - rate, -bound, bound))
