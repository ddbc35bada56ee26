"""Pure functions that turn per-task scores into one ranking score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import NUM_TASKS, TASK_NAMES

__all__ = ["FORMULAS", "FusionFormula", "LogSum", "WeightedSum", "best_candidates", "make_formula"]


class FusionFormula(Protocol):
    """How predictions and weights make one ranking score.

    What does not depend on the parameters is computed once for a whole score table by `prepare`;
    `fuse` then serves every request. Sums run over the tasks in a fixed order, so that a score
    does not depend on how many users are served at once, not even in its last bit.
    """

    @property
    def num_parameters(self) -> int:
        """How many parameters the formula takes per request."""
        ...

    def prepare(self, scores: FloatArray) -> FloatArray:
        """What `fuse` wants of the scores (..., tasks); the same shape."""
        ...

    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        """Ranking scores (num_envs, candidates), larger is better.

        Args:
            prepared: the candidates' prepared scores, (num_envs, candidates, tasks).
            parameters: (num_envs, num_parameters).
        """
        ...


@dataclass(frozen=True)
class WeightedSum(FusionFormula):
    """s = sum_k w_k p_k, the linear utility of Pinterest's and KuaiSim's rankers."""

    @property
    @override
    def num_parameters(self) -> int:
        return NUM_TASKS

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        return scores

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return _weighted_sum(prepared, parameters)


@dataclass(frozen=True)
class LogSum(FusionFormula):
    """s = sum_k w_k log(p_k + beta_k) (Zhang et al., BatchRL-MTF, KDD 2022, eq. 1).

    The paper sets beta by prior knowledge; ours are the tasks' base rates, so that a score of
    zero costs log 2 against the average video, whatever the task's scale.

    Raises:
        ConfigError: unless there is one positive beta per task.
    """

    betas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.betas) != NUM_TASKS or min(self.betas) <= 0.0:
            raise ConfigError(
                f"log_sum needs a positive beta for each of {', '.join(TASK_NAMES)}, "
                f"got {self.betas}"
            )

    @property
    @override
    def num_parameters(self) -> int:
        return NUM_TASKS

    @override
    def prepare(self, scores: FloatArray) -> FloatArray:
        shifts = np.asarray(self.betas, dtype=np.float32)
        return np.asarray(np.log(scores.astype(np.float32) + shifts))

    @override
    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        return _weighted_sum(prepared, parameters)


def _weighted_sum(terms: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights[:, None, 0] * terms[:, :, 0]
    for task in range(1, terms.shape[2]):
        total += weights[:, None, task] * terms[:, :, task]
    return total  # (num_envs, candidates)


FORMULAS: Registry[Callable[[tuple[float, ...]], FusionFormula]] = Registry(
    "fusion formula", {"weighted_sum": lambda betas: WeightedSum(), "log_sum": LogSum}
)


def make_formula(name: str, base_rates: FloatArray) -> FusionFormula:
    """The formula of that name; `base_rates` (tasks,) are the shifts of those that take any.

    Raises:
        UnknownNameError: naming the known formulas.
    """
    smallest = 1e-6  # A task that was never seen still needs a finite logarithm.
    return FORMULAS[name](tuple(float(max(rate, smallest)) for rate in base_rates))


def best_candidates(
    fused: FloatArray, slate: int
) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Positions of the `slate` best candidates, best first, ties by position: (num_envs, slate)."""
    rows = np.arange(fused.shape[0])[:, None]
    chosen = np.sort(np.argpartition(-fused, slate - 1, axis=1)[:, :slate], axis=1)
    order = np.argsort(-fused[rows, chosen], axis=1, kind="stable")
    return chosen[rows, order]
