"""Pendulum-v1 as two libraries see it that live in two environments: replay, work and verdict.

Imports numpy and Gymnasium alone, since the interpreter of the other library runs it too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ACTION_SCALE",
    "ALGORITHMS",
    "EPISODES",
    "HORIZON",
    "REWARD_SCALE",
    "WARM_UP",
    "Job",
    "ReplayBatch",
    "Stopwatch",
    "play",
]

ALGORITHMS = ("BC", "TD3+BC", "IQL", "AWAC", "BCQ", "CQL")  # cheap ones first
ACTION_SCALE = 2.0  # the torque of an action of 1
REWARD_SCALE = 0.1  # on the rewards used for training; returns are in the environment's units
EPISODES = 20
FIRST_EPISODE_SEED = 1000
HORIZON = 200
WARM_UP = 100  # updates before the clock starts

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """One learner to train."""

    algorithm: str
    """One of `ALGORITHMS`."""
    seed: int
    """Of the learner."""
    updates: int
    """Gradient steps, more than the warm-up."""
    evaluated: bool
    """Whether its policy is played afterwards."""


@dataclass(frozen=True)
class ReplayBatch:
    """Rows in the order they were lived: whole episodes of `HORIZON`, all cut by the clock."""

    observations: Array  # (rows, 3)
    actions: Array  # (rows, 1) in [-1, 1]
    rewards: Array  # (rows,), times REWARD_SCALE
    next_observations: Array  # (rows, 3), at the clock's end too

    @classmethod
    def read(cls, path: Path) -> "ReplayBatch":
        """From an .npz without pickle."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})


class Stopwatch:
    """Updates a second, from the end of the warm-up on; call `tick` once an update.

    Told twice: by the wall, and by the processor, which does not count waiting for other programs.
    """

    def __init__(self) -> None:
        self._ticks = 0
        self._start = self._last = (0.0, 0.0)

    def tick(self, *_: Any) -> None:
        """An update is done."""
        self._ticks += 1
        self._last = time.perf_counter(), time.process_time()
        if self._ticks == WARM_UP:
            self._start = self._last

    @property
    def rates(self) -> dict[str, float]:
        """Of the updates after the warm-up."""
        wall, processor = (
            (self._ticks - WARM_UP) / (last - start)
            for last, start in zip(self._last, self._start, strict=True)
        )
        return {"updates_per_second": wall, "updates_per_processor_second": processor}


def play(act: Callable[[Array], NDArray[np.floating[Any]]]) -> list[float]:
    """Returns of the fixed episodes; `act` maps (EPISODES, 3) to (EPISODES, 1) in [-1, 1]."""
    envs = [gymnasium.make("Pendulum-v1") for _ in range(EPISODES)]
    first = [env.reset(seed=FIRST_EPISODE_SEED + k)[0] for k, env in enumerate(envs)]
    observations = np.stack(first).astype(np.float32)
    returns = np.zeros(EPISODES)
    for _ in range(HORIZON):
        torques = ACTION_SCALE * np.asarray(act(observations), dtype=np.float32)
        steps = [env.step(torque) for env, torque in zip(envs, torques, strict=True)]
        observations = np.stack([step[0] for step in steps]).astype(np.float32)
        returns += [float(step[1]) for step in steps]
    return [float(value) for value in returns]
