"""A reward of your own: videos watched to the end, less what was shown before.

python docs/examples/own_reward.py [FOLDER]

A reward is a function of `RewardInputs`: the response, the slate, durations, positions and the
session so far. `train` tries it on made-up requests before anything is fitted. Files go to a new
folder in FOLDER, by default a temporary one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.envs import RewardInputs


def finished(inputs: RewardInputs) -> FloatArray:
    """Finished videos, of which later positions count less, and likes: (num_envs,)."""
    whole = inputs.watch_seconds >= 0.95 * inputs.duration_seconds  # (num_envs, slate)
    discounted = (whole / np.log2(2.0 + inputs.positions)).sum(axis=1)
    return discounted + 3.0 * inputs.count("like") - 0.5 * inputs.history.repetition


def main() -> None:
    """Check the reward, search weights for it, and evaluate them on more sessions."""
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    train = (
        "mtf_rl.train random_search --preset smoke --session.reward own_reward:finished"
        " --world.users 80 --world.videos 320 --requests 2500 --sessions 60 --tuning-sessions 30"
        f" --user-model.max-rows 4000 --user-model.max-epochs 1 --run-dir {folder}/run"
    )
    # A run's folder names the reward, and brings no code along: name it again.
    evaluate = f"mtf_rl.evaluate {folder}/run --reward own_reward:finished --sessions 200"
    for command in ("mtf_rl.check own_reward:finished", train, evaluate):
        words = [sys.executable, "-B", "-m", *command.split()]
        # Modules are looked for in the current folder.
        subprocess.run(words, cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()
