"""d3rlpy's side of `offline_rl`: reads jobs, a JSON a line, and answers each with a JSON line.

    .bench/d3rlpy/bin/python -m benchmarks.offline_rl_d3rlpy REPLAY.npz

Imports nothing of mtf_rl, which is not installed beside d3rlpy. Networks are d3rlpy's default, two
hidden layers of 256. Settings that are not named below are d3rlpy's.
"""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.pendulum import HORIZON, Array, Job, ReplayBatch, Stopwatch, play

Options = dict[str, Any]
LEARNING: Options = {"batch_size": 256, "gamma": 0.99}
CRITIC = LEARNING | {"tau": 0.005}


def config_of(algorithm: str) -> Any:
    """d3rlpy's configuration."""
    from d3rlpy import algos  # type: ignore[import-not-found]
    from d3rlpy.preprocessing import (  # type: ignore[import-not-found]
        StandardObservationScaler,
    )

    known: dict[str, tuple[Any, Options]] = {
        "BC": (algos.BCConfig, LEARNING | {"policy_type": "deterministic"}),
        "TD3+BC": (algos.TD3PlusBCConfig, CRITIC | {"alpha": 2.5}),
        # Without its learning rate there is no Lagrange multiplier: the weight stays.
        "CQL": (
            algos.CQLConfig,
            CRITIC
            | {"conservative_weight": 5.0, "n_action_samples": 10, "alpha_learning_rate": 0.0},
        ),
        "IQL": (
            algos.IQLConfig,
            CRITIC | {"expectile": 0.7, "weight_temp": 3.0, "max_weight": 100.0},
        ),
        "AWAC": (algos.AWACConfig, CRITIC | {"lam": 1.0, "n_action_samples": 1}),
        "BCQ": (
            algos.BCQConfig,
            CRITIC
            | {
                "n_action_samples": 10,
                "lam": 0.75,
                "action_flexibility": 0.05,
                "rl_start_step": 0,
                "beta": 0.5,
            },
        ),
    }
    kind, settings = known[algorithm]
    return kind(**settings, observation_scaler=StandardObservationScaler())


def episode_rows(replay: ReplayBatch) -> dict[str, Array]:
    """The replay in d3rlpy's form: whole episodes, each with a last row that is only arrived at.

    A cut episode of N rows makes N - 1 transitions there, for the last row's successor is not in
    it. So the state at the cut becomes a row, and all rows of the replay are used for training.
    """

    def extended(values: Array, last: Array) -> Array:
        parts = values.reshape(-1, HORIZON, values.shape[-1])  # (episodes, HORIZON, width)
        whole = np.concatenate([parts, last[:, None]], axis=1)
        return whole.reshape(-1, values.shape[-1])

    cut = replay.next_observations[HORIZON - 1 :: HORIZON]  # (episodes, 3)
    none = np.zeros((len(cut), 1), dtype=np.float32)
    flags = np.zeros((len(cut), HORIZON + 1), dtype=np.float32)
    flags[:, -1] = 1.0
    return {
        "observations": extended(replay.observations, cut),
        "actions": extended(replay.actions, none),
        "rewards": extended(replay.rewards[:, None], none),
        "terminals": np.zeros(flags.size, dtype=np.float32),
        "timeouts": flags.reshape(-1),
    }


def train(job: Job, dataset: Any) -> dict[str, Any]:
    """Train a learner by d3rlpy's own loop, and play its policy."""
    import d3rlpy

    d3rlpy.seed(job.seed)
    algo = config_of(job.algorithm).create(device="cpu:0")
    watch = Stopwatch()
    algo.fit(
        dataset,
        n_steps=job.updates,
        n_steps_per_epoch=min(job.updates, 1000),
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
        callback=watch.tick,
    )
    return {
        "library": "d3rlpy",
        **asdict(job),
        **watch.rates,
        "returns": play(algo.predict) if job.evaluated else [],
        "versions": {name: version(name) for name in ("d3rlpy", "torch", "gymnasium")},
    }


def main() -> None:
    """Serve jobs until the input ends."""
    torch.set_num_threads(1)
    # d3rlpy logs to the output, where answers go.
    answers, sys.stdout = sys.stdout, sys.stderr
    from d3rlpy.dataset import MDPDataset  # type: ignore[import-not-found]

    dataset = MDPDataset(**episode_rows(ReplayBatch.read(Path(sys.argv[1]))))
    for line in sys.stdin:
        answers.write(json.dumps(train(Job(**json.loads(line)), dataset)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
