"""A learnt policy in a service of your own: loaded from its folder, it ranks a table of candidates.

python docs/examples/rank.py [FOLDER]

Ranking needs the policy's folder and your predictions; no environment, no simulator, no user. The
run goes to a new folder in FOLDER, by default a temporary one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from mtf_rl.agents import FusionPolicy, context_of, load_policy, rank, start_session

TRAIN = (
    "-m mtf_rl.train lspi --preset smoke --no-myopic-baseline --world.users 80"
    " --world.videos 320 --requests 2200 --sessions 50 --tuning-sessions 20"
    " --user-model.max-rows 4000 --user-model.max-epochs 1"
)
HOURS = {"morning": 8.0, "evening": 20.0}
USERS = {
    "morning": {"follow_user_num": 3, "exposures": 40, "like": 0},
    "evening": {"follow_user_num": 210, "exposures": 900, "like": 31},
}


def candidates(policy: FusionPolicy) -> pd.DataFrame:
    """Two requests of different size, with predictions as your model might make them."""
    frame = pd.DataFrame(
        {"request": ["evening"] * 5 + ["morning"] * 3, "video_id": range(101, 109)}
    )
    generator = np.random.default_rng(0)
    for task, base_rate in zip(policy.tasks, policy.setting.base_rates, strict=True):
        frame[task] = np.clip(base_rate * generator.lognormal(size=len(frame)), 0.0, 1.0)
    # What the policy reads of user and session. The policy folder holds the constants that turn
    # counts into these numbers. Here a session has just begun: nothing was shown or answered.
    context = {
        request: context_of(policy, user=USERS[request], history=start_session(policy, hour))
        for request, hour in HOURS.items()
    }
    for name in policy.context:
        frame[name] = [context[request][name] for request in frame["request"]]
    return frame


def main() -> None:
    """Train a small policy, load it, rank."""
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    words = [*TRAIN.split(), "--run-dir", str(folder / "run")]
    subprocess.run([sys.executable, *words], check=True)
    print("2,200 requests teach LSPI little; see the intervals. Here it only has to rank.")
    policy = load_policy(folder / "run" / "policy" / "lspi")
    ranked = rank(candidates(policy), policy)
    print(ranked[["request", "rank", "video_id", "score", "weight/click", "weight/watch"]])


if __name__ == "__main__":
    main()
