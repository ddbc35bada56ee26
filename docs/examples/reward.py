"""A reward of your own, and weights learnt for it.

python docs/examples/reward.py

A reward is any function of a `Response`. Commands take it as `module:function`: this script writes
such a module and names it to `train`; a run's folder never brings code along, so `evaluate` wants
to be told its name again.
"""

import subprocess
import sys
from pathlib import Path

MODULE = '''
"""What a request is worth here: valid plays, and a like as much as three of them."""

import numpy as np

from mtf_rl.core.slates import Response


def worth(response: Response) -> np.ndarray:
    """(num_envs,), of the clicks and likes of each slate."""
    counts = response.feedback.sum(axis=1)  # (num_envs, 7), in the order of the tasks
    return counts[:, 0] + 3.0 * counts[:, 2]
'''

TRAIN = (
    "-m mtf_rl.train random_search --preset smoke --session.reward own_reward:worth"
    " --run-dir own_reward_run --world.users 80 --world.videos 320 --requests 2500 --sessions 100"
    " --tuning-sessions 50 --sessions-per-trial 16"
    " --user-model.max-rows 10000 --user-model.max-epochs 1"
)
EVALUATE = "-m mtf_rl.evaluate own_reward_run --reward own_reward:worth --sessions 200"


def main() -> None:
    """Write the module, search weights for its reward, evaluator them on more sessions."""
    Path("own_reward.py").write_text(MODULE.lstrip())
    for command in (TRAIN, EVALUATE):
        subprocess.run([sys.executable, *command.split()], check=True)


if __name__ == "__main__":
    main()
