"""Calibration: from a task's logit to a probability that means what it says.

A calibration is fitted on validation rows, after the model, and travels with it.
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
    """A monotone curve from logit to probability: straight lines between knots, flat outside."""

    logits: tuple[float, ...]  # (knots,) ascending
    probabilities: tuple[float, ...]  # (knots,) in (0, 1), not descending


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(scale z + shift) of each task's logit z; scale > 0 keeps the order.

    A task with steps follows these instead.
    """

    scale: tuple[float, ...]  # (tasks,), positive
    shift: tuple[float, ...]  # (tasks,)
    methods: tuple[str, ...]  # (tasks,): `identity`, `platt`, `temperature`, `isotonic` or `shift`
    steps: tuple[Steps | None, ...] = ()  # (tasks,), or empty where no task has any

    def apply(self, logits: FloatArray, tabs: IntArray | None = None) -> FloatArray:
        """Probabilities (rows, tasks) float32 of logits (rows, tasks); `tabs` does not matter."""
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
        """Read what `to_json` wrote."""
        values = {name: tuple(value) for name, value in document.items()}
        steps = tuple(
            None if curve is None else Steps(**{name: tuple(v) for name, v in curve.items()})
            for curve in values.pop("steps")
        )
        return cls(**values, steps=steps)


@dataclass(frozen=True)
class TabCalibration:
    """A calibration for each tab with enough rows, and one for all others."""

    overall: Calibration
    tabs: tuple[int, ...]  # codes of the `tab` field
    by_tab: tuple[Calibration, ...]  # one for each of `tabs`

    def apply(self, logits: FloatArray, tabs: IntArray | None = None) -> FloatArray:
        """Probabilities (rows, tasks) float32 of logits (rows, tasks) in `tabs` (rows,)."""
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
        """Read what `to_json` wrote."""
        return cls(
            overall=Calibration.from_json(document["overall"]),
            tabs=tuple(document["tabs"]),
            by_tab=tuple(Calibration.from_json(each) for each in document["by_tab"]),
        )


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
    return _per_task(_platt_task, logits, targets, mask, base_rates)


def temperature(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """sigmoid(z / T) with one T per task of least cross-entropy; the arguments are `platt`'s.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2. It
    cannot mend a wrong base rate. Tasks with too few positives or negatives are shifted, as in
    `platt`.
    """
    return _per_task(_temperature_task, logits, targets, mask, base_rates)


def isotonic(
    logits: FloatArray, targets: FloatArray, mask: BoolArray, base_rates: FloatArray
) -> Calibration:
    """The non-descending curve of least squared error per task; the arguments are `platt`'s.

    Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD 2002. Differs from the paper: straight lines join the middles of its steps, so
    that fewer rows tie, and levels keep off 0 and 1. Tasks with too few positives or negatives are
    shifted, as in `platt`.
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
    """`calibrator` on all rows and on each tab of at least 1000; `tabs` is (rows,) codes.

    A task with too few positives in a tab is calibrated there as overall.
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
    """`own`, but for the tasks that it could only shift."""
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
        """Of the cross-entropy in the scale 1 / T, whose sign tells on which side T lies."""
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
    floor = 0.5 / len(z)  # No finite number of rows shows that something never happens.
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
