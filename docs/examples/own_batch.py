"""Weights that you logged yourself: from a pandas frame to a batch dataset, and to a policy.

python docs/examples/own_batch.py [FOLDER]

Your log has a row for each request: what was known, which weights were played, what they brought,
and how the session ended. Here a made-up log stands for it, in which the reward is higher the
nearer the weight of `watch` is to 0.5. The dataset goes to a new folder in FOLDER, by default a
temporary one.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from mtf_rl.agents.offline import IQL
from mtf_rl.data import BatchDataset, Transitions

OBSERVATION = ("hour_sine", "minutes_so_far")
WEIGHTS = ("click", "watch")


def made_up_log() -> pd.DataFrame:
    """Sessions of one to five requests, in order."""
    generator = np.random.default_rng(0)
    rows = []
    for session in range(1000):
        for request in range(int(generator.integers(1, 6))):
            click, watch = generator.uniform(-1.0, 1.0, 2)
            reward = 1.0 - (watch - 0.5) ** 2 + 0.1 * generator.normal()
            hour = float(np.sin(session))
            rows.append((session, request, hour, 2.0 * request, click, watch, reward))
    return pd.DataFrame(rows, columns=["session", "request", *OBSERVATION, *WEIGHTS, "reward"])


def batch_of(log: pd.DataFrame) -> BatchDataset:
    """The log's columns, as the schema wants them."""
    last = (log["session"] != log["session"].shift(-1)).to_numpy()
    return BatchDataset(
        observations=log[list(OBSERVATION)].to_numpy(np.float32),
        actions=log[list(WEIGHTS)].to_numpy(np.float32),
        log_densities=np.full(len(log), np.log(0.25)),  # NaN where you do not know it.
        behaviours=np.zeros(len(log), dtype=np.int64),
        rewards=log["reward"].to_numpy(np.float32),
        terminated=last,  # Every session ended because its user left.
        truncated=np.zeros(len(log), dtype=np.bool_),
        sessions=log["session"].to_numpy(),
        requests=log["request"].to_numpy(np.int32),
        final_observations=np.zeros((0, len(OBSERVATION)), dtype=np.float32),
        behaviour_names=("exploration of spring",),
        observation_names=OBSERVATION,
        parameter_names=WEIGHTS,
        evaluator="users",
    )


def main() -> None:
    """Write the dataset, read it back, learn, ask."""
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    path = Path(folder) / "own_batch.parquet"
    batch_of(made_up_log()).save(path)
    batch = BatchDataset.load(path)
    model = IQL(dataset=Transitions.of(batch), learning_rate=1e-3, seed=0)
    model.learn(1500)
    actions, _ = model.predict(batch.observations[:5], deterministic=True)
    print(pd.DataFrame(actions, columns=list(WEIGHTS)).round(2))
    if not np.allclose(actions[:, 1], 0.5, atol=0.2):
        raise SystemExit(f"the best weight of watch is 0.5, got {actions[:, 1]}")


if __name__ == "__main__":
    main()
