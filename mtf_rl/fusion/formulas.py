"""Pure functions that turn per-task scores into one ranking score."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.compiled import compiled
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import ALL_TASKS, TaskSet

__all__ = [
    "FORMULAS",
    "ClickGated",
    "FusionFormula",
    "LogSum",
    "PowerProduct",
    "RankSum",
    "WeightedSum",
    "best_candidates",
    "make_formula",
]

RANK_OFFSET = 60.0


class FusionFormula(Protocol):
    """How predictions and weights make one ranking score.

    What does not depend on the parameters is computed once for a whole score table by `prepare`;
    `fuse` then serves every request. Sums run over the tasks in a fixed order, so that a score
    does not depend on how many users are served at once, not even in its last bit.
    """

    tasks: TaskSet
    """The tasks that are fused."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """A name for each parameter that the formula takes per request."""
        ...

    def parameters_of(self, weights: FloatArray) -> FloatArray:
        """The parameters (..., action_dim) that stand for weights (..., tasks)."""
        ...

    def prepare(self, scores: FloatArray) -> FloatArray:
        """What `fuse` wants of the scores of whole pools (..., pool, 8): (..., pool, tasks)."""
        ...

    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        """Ranking scores (num_envs, candidates) float32, larger is better.

        Args:
            prepared: the candidates' prepared scores, (num_envs, candidates, tasks).
            parameters: (num_envs, action_dim).
        """
        ...


class _Weighted(FusionFormula, Protocol):
    """A formula whose parameters are one weight per task."""

    @property
    @override
    def parameter_names(self) -> tuple[str, ...]:
        return self.tasks.names

    @override
    def parameters_of(self, weights: FloatArray) -> FloatArray:
        return np.array(weights, dtype=np.float32)

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        return self.tasks.of_scores(scores).astype(np.float32, copy=False)


@dataclass(frozen=True)
class WeightedSum(_Weighted):
    """s = sum_k w_k p_k, the linear utility of Pinterest's and KuaiSim's rankers."""

    tasks: TaskSet = ALL_TASKS

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return _weighted_sum(prepared, parameters)


@dataclass(frozen=True)
class LogSum(_Weighted):
    """s = sum_k w_k log(p_k + beta_k) (Zhang et al., BatchRL-MTF, KDD 2022, eq. 1).

    The paper sets beta by prior knowledge; ours are the tasks' base rates, so that a score of
    zero costs log 2 against the average video, whatever the task's scale.

    Raises:
        ConfigError: unless there is one positive beta per task.
    """

    betas: tuple[float, ...]
    tasks: TaskSet = ALL_TASKS

    def __post_init__(self) -> None:
        _check_shifts("log_sum", "beta", self.betas, self.tasks)

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        shifts = np.asarray(self.betas, dtype=np.float32)
        return np.asarray(np.log(self.tasks.of_scores(scores).astype(np.float32) + shifts))

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return _weighted_sum(prepared, parameters)


@dataclass(frozen=True)
class PowerProduct(FusionFormula):
    """s = prod_k (p_k + b_k)^a_k with powers a and biases b (Liu et al., UnifiedRL, 2404.17589).

    With b_k = beta_k and a_k = w_k it orders candidates as `LogSum` does, being its exponential.

    Raises:
        ConfigError: unless there is one positive usual bias per task.
    """

    betas: tuple[float, ...]
    """The biases of parameters that stand for weights."""
    tasks: TaskSet = ALL_TASKS

    def __post_init__(self) -> None:
        _check_shifts("power_product", "bias", self.betas, self.tasks)

    @property
    @override
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(f"{name}_{part}" for part in ("power", "bias") for name in self.tasks.names)

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
        product: FloatArray = np.exp(_weighted_sum(logs, powers))
        return product


@dataclass(frozen=True)
class RankSum(_Weighted):
    """s = sum_k w_k / (r_k + c), r_k the candidate's rank under task k, from 1 for the largest.

    Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009) with weights, as short-video
    rankers use it; c = 60 as in the paper. Equal predictions share the best of their ranks. It
    ignores calibration and the size of gaps.
    """

    tasks: TaskSet = ALL_TASKS

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        """Ranks within the pool, from 1 for the largest: whole numbers that order as scores do."""
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
        ranks = np.empty(prepared.shape, dtype=np.float32)
        _ranks_among(prepared, int(prepared.max(initial=0)), ranks)
        return _weighted_sum(1.0 / (ranks + np.float32(RANK_OFFSET)), parameters)


@dataclass(frozen=True)
class ClickGated(_Weighted):
    """s = p_click (1 + sum_k w_k p_k): what follows a click counts as far as there is one.

    A form told in practitioners' slides, without a paper; the sum is over all tasks of the set.

    Raises:
        ConfigError: if click is not among the tasks.
    """

    tasks: TaskSet = ALL_TASKS
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
        return gate * (np.float32(1.0) + _weighted_sum(prepared, parameters))


FORMULAS: Registry[Callable[[tuple[float, ...], TaskSet], FusionFormula]] = Registry(
    "fusion formula",
    {
        "weighted_sum": lambda betas, tasks: WeightedSum(tasks),
        "log_sum": LogSum,
        "power_product": PowerProduct,
        "rank": lambda betas, tasks: RankSum(tasks),
        "click_gated": lambda betas, tasks: ClickGated(tasks),
    },
)


def make_formula(name: str, base_rates: FloatArray, tasks: TaskSet = ALL_TASKS) -> FusionFormula:
    """The formula of that name over some tasks.

    Args:
        name: in `FORMULAS`.
        base_rates: of all tasks, (8,): the shifts of formulas that take any.
        tasks: those that are fused.

    Raises:
        UnknownNameError: naming the known formulas.
        ConfigError: if the formula needs a task that is not there.
    """
    smallest = 1e-6  # A task that was never seen still needs a finite logarithm.
    rates = np.asarray(base_rates)[tasks.columns]
    return FORMULAS[name](tuple(float(max(rate, smallest)) for rate in rates), tasks)


def best_candidates(fused: FloatArray, slate: int) -> IntArray:
    """Positions of the `slate` best candidates, best first, ties by position: (num_envs, slate).

    `slate` is at most the number of candidates.
    """
    best = np.empty((len(fused), slate), dtype=np.int64)
    _best_into(np.ascontiguousarray(fused), best)
    return best


def _check_shifts(formula: str, what: str, betas: tuple[float, ...], tasks: TaskSet) -> None:
    if len(betas) != len(tasks.names) or min(betas) <= 0.0:
        raise ConfigError(
            f"{formula} needs a positive {what} for each of {', '.join(tasks.names)}, got {betas}"
        )


def _weighted_sum(terms: FloatArray, weights: FloatArray) -> FloatArray:
    total = np.empty(terms.shape[:2], dtype=np.float32)  # (num_envs, candidates)
    _weighted_sum_into(
        np.ascontiguousarray(terms, dtype=np.float32),
        np.ascontiguousarray(weights, dtype=np.float32),
        total,
    )
    return total


# Compiled loops: each row's sums run in one fixed order, whatever the other rows are.


@compiled
def _weighted_sum_into(terms: Any, weights: Any, total: Any) -> None:
    for row in range(terms.shape[0]):
        for position in range(terms.shape[1]):
            value = np.float32(0.0)
            for task in range(terms.shape[2]):
                value += weights[row, task] * terms[row, position, task]
            total[row, position] = value


@compiled
def _best_into(fused: Any, best: Any) -> None:
    """Insertion into a short sorted list; a later equal score goes behind an earlier one."""
    slate = best.shape[1]
    kept = np.empty(slate, dtype=fused.dtype)
    for row in range(fused.shape[0]):
        size = 0
        for position in range(fused.shape[1]):
            value = fused[row, position]
            if size == slate and not value > kept[slate - 1]:
                continue
            hole = min(size, slate - 1)
            while hole > 0 and value > kept[hole - 1]:
                kept[hole] = kept[hole - 1]
                best[row, hole] = best[row, hole - 1]
                hole -= 1
            kept[hole] = value
            best[row, hole] = position
            size = min(size + 1, slate)


@compiled
def _ranks_among(pool_ranks: Any, highest: Any, ranks: Any) -> None:
    """Ranks among the candidates, by counting how many have a smaller rank in the pool."""
    counts = np.empty(highest + 2, dtype=np.int64)
    for row in range(pool_ranks.shape[0]):
        for task in range(pool_ranks.shape[2]):
            counts[:] = 0
            for position in range(pool_ranks.shape[1]):
                counts[int(pool_ranks[row, position, task]) + 1] += 1
            for rank in range(1, highest + 2):
                counts[rank] += counts[rank - 1]
            for position in range(pool_ranks.shape[1]):
                ranks[row, position, task] = 1 + counts[int(pool_ranks[row, position, task])]
