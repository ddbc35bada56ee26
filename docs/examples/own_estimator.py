"""An estimator of your own for off-policy evaluation: capped per-decision importance sampling.

python docs/examples/own_estimator.py [FOLDER]

An estimator is an object: a function of `OPEInputs`, and what it needs. `ope` takes its name. Files
go to a new folder in FOLDER, by default a temporary one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mtf_rl.agents import (
    ConstantPolicy,
    FusionPolicy,
    FusionSetting,
    UniformRandom,
    collect,
    save_policy,
)
from mtf_rl.envs import toy_dynamics
from mtf_rl.evaluation.off_policy import Estimator, OPEInputs, RatioSum, Weighting


def capped(inputs: OPEInputs) -> RatioSum:
    """Mean of sum_t gamma^t min(w_t, 5) r_t: biased towards the log, with less variance."""
    return RatioSum.mean((np.minimum(inputs.weights, 5.0) * inputs.rewards) @ inputs.discounts)


CAPPED = Estimator(capped, Weighting.CLIPPED_SESSIONS)


def main() -> None:
    """Check the estimator, then estimate a policy by it from a small log."""
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    dynamics = toy_dynamics()
    batch = collect(dynamics, UniformRandom(dynamics.action_dim), requests=6000, seed=0)
    batch.save(folder / "batch.parquet")
    # The toy's users feel likes alone, so a policy that ranks by likes earns more than the log's.
    action = np.full(dynamics.action_dim, -0.2, dtype=np.float32)
    action[2] = 0.6
    policy = FusionPolicy(ConstantPolicy(action), FusionSetting.of(dynamics))
    save_policy(folder / "likes", policy)
    ope = (
        f"mtf_rl.ope {folder}/batch.parquet {folder}/likes --bandwidth 1.5"
        " --estimators own_estimator:CAPPED sn_pdis --resamples 200"
    )
    for command in ("mtf_rl.check own_estimator:CAPPED", ope):
        words = [sys.executable, "-B", "-m", *command.split()]
        # Modules are looked for in the current folder.
        subprocess.run(words, cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()
