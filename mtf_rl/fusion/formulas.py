"""Pure functions that turn per-task scores into one ranking score."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.fusion.arithmetic import ranks_among, weighted_sum

__all__ = [
    "FORMULAS",
    "ClickGated",
    "FusionFormula",
    "LogSum",
    "PowerProduct",
    "RankSum",
    "WeightFormula",
    "WeightedSum",
    "formula_named",
    "make_formula",
]

RANK_OFFSET = 60.0


class FusionFormula(Protocol):
    """Computes one ranking score from predictions and parameters.

    `prepare` computes once, for a whole score table, the part that does not depend on the
    parameters; `fuse` then serves every request. Sums run over the tasks in a fixed order, so a
    score is bitwise independent of the number of users served at once.

    The class attributes describe the formula completely: `blocks`, for example, decides which
    action maps fit. The constructor takes `tasks=`, and `betas=` if `needs_base_rates` is True.
    """

    blocks: ClassVar[tuple[str, ...]]
    """Kinds of parameters, each with one parameter per task: `weight`, or `power` and `bias`."""
    needs_base_rates: ClassVar[bool] = False
    """Whether the constructor takes `betas`, the positive base rate of each task."""
    is_scale_free: ClassVar[bool] = False
    """Whether scaling all parameters by a positive factor keeps the order of candidates."""
    tasks: TaskSet
    """The tasks that are fused."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """A name for each parameter that the formula takes per request."""
        names = self.tasks.names
        if len(self.blocks) == 1:
            return names
        return tuple(f"{name}_{block}" for block in self.blocks for name in names)

    def parameters_of(self, weights: FloatArray) -> FloatArray:
        """Convert weights (..., tasks) to parameters (..., action_dim)."""
        ...

    def prepare(self, scores: FloatArray) -> FloatArray:
        """Precompute the input of `fuse` from scores (..., pool, all tasks of the dataset).

        Returns:
            The prepared scores of the fused tasks, (..., pool, tasks).
        """
        ...

    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        """Ranking scores (num_envs, candidates) float32, larger is better.

        Args:
            prepared: the candidates' prepared scores, (num_envs, candidates, tasks).
            parameters: fusion parameters, (num_envs, action_dim).
        """
        ...


class WeightFormula(FusionFormula, Protocol):
    """Base class for formulas with one weight per task, including your own."""

    blocks: ClassVar[tuple[str, ...]] = ("weight",)

    @override
    def parameters_of(self, weights: FloatArray) -> FloatArray:
        return np.array(weights, dtype=np.float32)

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        return self.tasks.of_scores(scores).astype(np.float32, copy=False)


@dataclass(frozen=True)
class WeightedSum(WeightFormula):
    """s = sum_k w_k p_k, the linear utility of Pinterest's and KuaiSim's rankers."""

    is_scale_free = True
    tasks: TaskSet = KUAIRAND_TASKS

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return weighted_sum(prepared, parameters)


@dataclass(frozen=True)
class LogSum(WeightFormula):
    """s = sum_k w_k log(p_k + beta_k) (Zhang et al., BatchRL-MTF, KDD 2022, eq. 1).

    Unlike the paper, which sets beta by prior knowledge, we use the tasks' base rates. A prediction
    of 0 then costs log 2 relative to the average video on every task's scale.

    Raises:
        ConfigError: unless there is one positive beta per task.
    """

    needs_base_rates = True
    is_scale_free = True
    betas: tuple[float, ...]
    tasks: TaskSet = KUAIRAND_TASKS

    def __post_init__(self) -> None:
        _check_shifts("log_sum", "beta", self.betas, self.tasks)

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        shifts = np.asarray(self.betas, dtype=np.float32)
        return np.asarray(np.log(self.tasks.of_scores(scores).astype(np.float32) + shifts))

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return weighted_sum(prepared, parameters)


@dataclass(frozen=True)
class PowerProduct(FusionFormula):
    """s = prod_k (p_k + b_k)^a_k with powers a and biases b (Liu et al., UnifiedRL, 2404.17589).

    With b_k = beta_k and a_k = w_k the score is the exponential of `LogSum`, with the same order.

    Raises:
        ConfigError: unless there is one positive default bias per task.
    """

    blocks = ("power", "bias")
    needs_base_rates = True
    betas: tuple[float, ...]
    """Default biases, one per task, above 0; `parameters_of` uses them."""
    tasks: TaskSet = KUAIRAND_TASKS

    def __post_init__(self) -> None:
        _check_shifts("power_product", "bias", self.betas, self.tasks)

    @override
    def parameters_of(self, weights: FloatArray) -> FloatArray:
        biases = np.broadcast_to(np.asarray(self.betas, dtype=np.float32), weights.shape)
        return np.concatenate([weights.astype(np.float32), biases], axis=-1)

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        return self.tasks.of_scores(scores).astype(np.float32, copy=False)

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        width = len(self.tasks.names)
        powers, biases = parameters[:, :width], parameters[:, width:]
        logs = np.log(prepared + biases[:, None, :])  # (num_envs, candidates, tasks)
        product: FloatArray = np.exp(weighted_sum(logs, powers))
        return product


@dataclass(frozen=True)
class RankSum(WeightFormula):
    """s = sum_k w_k / (r_k + c), where r_k is the candidate's rank under task k, from 1 (best).

    Weighted reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009), as short-video
    rankers use it; c = 60 as in the paper. Ties get the best of their ranks. The score ignores
    calibration and the size of the gaps between predictions.
    """

    is_scale_free = True
    tasks: TaskSet = KUAIRAND_TASKS

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        """Ranks within the pool as integers, from 1 for the largest score."""
        values = self.tasks.of_scores(scores)
        ordered = np.sort(-values, axis=-2)  # (..., pool, tasks)
        flat, keys = (part.reshape(-1, *values.shape[-2:]) for part in (ordered, -values))
        ranks = np.empty(keys.shape, dtype=np.float32)
        for row in range(len(keys)):
            for task in range(keys.shape[2]):
                ranks[row, :, task] = 1 + np.searchsorted(flat[row, :, task], keys[row, :, task])
        return ranks.reshape(values.shape)

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        ranks = ranks_among(prepared)
        return weighted_sum(1.0 / (ranks + np.float32(RANK_OFFSET)), parameters)


@dataclass(frozen=True)
class ClickGated(WeightFormula):
    """s = p_click (1 + sum_k w_k p_k): feedback after a click counts in proportion to p_click.

    The form comes from practitioners' slides; there is no paper. The sum runs over all fused tasks.

    Raises:
        ConfigError: if click is not among the tasks.
    """

    tasks: TaskSet = KUAIRAND_TASKS
    _click: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        if "click" not in self.tasks.names:
            raise ConfigError(
                f"click_gated needs the task click, got the tasks {', '.join(self.tasks.names)}"
            )
        object.__setattr__(self, "_click", self.tasks.names.index("click"))

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        gate = prepared[:, :, self._click]  # (num_envs, candidates)
        return gate * (np.float32(1.0) + weighted_sum(prepared, parameters))


def _checked(name: str, own: Any) -> type[FusionFormula]:
    """Check that a user's own class has all attributes of a formula."""
    parts = ("blocks", "needs_base_rates", "is_scale_free", "parameters_of", "prepare", "fuse")
    missing = [part for part in parts if not hasattr(own, part)]
    if not isinstance(own, type) or missing:
        raise ConfigError(
            f"formula {name!r} must be a class such as mtf_rl.fusion.WeightFormula with"
            f" {', '.join(missing or ['fuse'])}, got {own!r}"
        )
    formula: type[FusionFormula] = own
    return formula


FORMULAS: Registry[type[FusionFormula]] = Registry(
    "fusion formula",
    {
        "weighted_sum": WeightedSum,
        "log_sum": LogSum,
        "power_product": PowerProduct,
        "rank": RankSum,
        "click_gated": ClickGated,
    },
    adapt=_checked,
)


def formula_named(name: str) -> type[FusionFormula]:
    """Look up a formula's class by its registered name, or import it from `module:Class`.

    Raises:
        UnknownNameError: if there is no such formula; the message lists the known ones.
        ConfigError: if `module:Class` cannot be imported or is not a formula.
    """
    return FORMULAS.resolve(name)


def make_formula(
    name: str, base_rates: FloatArray, tasks: TaskSet = KUAIRAND_TASKS
) -> FusionFormula:
    """Make a formula over some tasks.

    Args:
        name: a registered name or `module:Class`.
        base_rates: mean feedback of each task of the dataset, (whole,), in [0, 1]; used as `betas`
            by formulas that need them.
        tasks: the fused tasks.

    Raises:
        UnknownNameError: if there is no such formula; the message lists the known ones.
        ConfigError: if a task that the formula needs is missing, or the import fails.
    """
    kind: Any = formula_named(name)
    if not kind.needs_base_rates:
        formula: FusionFormula = kind(tasks=tasks)
        return formula
    min_rate = 1e-6  # A task without any positive feedback still needs a finite logarithm.
    rates = np.asarray(base_rates)[tasks.columns]
    with_rates: FusionFormula = kind(
        betas=tuple(float(max(rate, min_rate)) for rate in rates), tasks=tasks
    )
    return with_rates


def _check_shifts(formula: str, what: str, betas: tuple[float, ...], tasks: TaskSet) -> None:
    if len(betas) != len(tasks.names) or min(betas) <= 0.0:
        raise ConfigError(
            f"{formula} needs a positive {what} for each of {', '.join(tasks.names)}, got {betas}"
        )
