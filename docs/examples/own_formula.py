"""A fusion formula of your own: a weighted sum of square roots.

python docs/examples/own_formula.py

A formula is a class; with one weight per task it inherits from `WeightFormula` and writes `fuse`.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np

import mtf_rl  # noqa: F401  (registers the environments)
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.tasks import KUAIRAND_TASKS, TaskSet
from mtf_rl.fusion import WeightFormula
from mtf_rl.fusion.arithmetic import weighted_sum


@dataclass(frozen=True)
class RootSum(WeightFormula):
    """s = sum_k w_k sqrt(p_k): between a weighted sum and a sum of logarithms."""

    is_scale_free = True  # A positive multiple of all weights leaves the order as it is.
    tasks: TaskSet = KUAIRAND_TASKS

    def prepare(self, scores: FloatArray) -> FloatArray:
        """Roots of the fused tasks' predictions, (..., pool, tasks), computed once."""
        return np.sqrt(super().prepare(scores))

    def fuse(self, prepared: FloatArray, parameters: FloatArray) -> FloatArray:
        """Ranking scores (num_envs, candidates)."""
        return weighted_sum(prepared, parameters)


def reward_per_request(formula: str) -> float:
    """Mean reward of uniform weights in the demonstration world."""
    envs = gymnasium.make_vec("mtf_rl/FusionSession-v0", num_envs=64, formula=formula)
    envs.reset(seed=0)
    uniform = np.ones((64, 8), dtype=np.float32)
    uniform[:, KUAIRAND_TASKS.index("hate")] = -1.0
    return float(np.mean([envs.step(uniform)[1].mean() for _ in range(20)]))


def main() -> None:
    """Check the formula, then serve by it and by the default."""
    words = [sys.executable, "-B", "-m", "mtf_rl.check", "own_formula:RootSum"]
    subprocess.run(words, cwd=Path(__file__).parent, check=True)
    for formula in ("own_formula:RootSum", "log_sum"):
        print(f"uniform weights, {formula}: {reward_per_request(formula):.3f} reward per request")


if __name__ == "__main__":
    main()
