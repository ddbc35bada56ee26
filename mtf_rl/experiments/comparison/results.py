"""What a comparison has found so far: one record for each contestant, seed and share of budget."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Judged", "Result"]


@dataclass(frozen=True)
class Judged:
    """A policy's sessions with final users under one judge, in means."""

    reward: float
    """Undiscounted reward of a session."""
    depth: float
    """Requests of a session."""
    watch_seconds: float
    """Watch time of a session."""
    rates: Mapping[str, float]
    """Feedback per shown video, by task: click, long_view, like, follow, comment, forward, hate."""
    weights: Mapping[str, float]
    """Mean fusion parameter, by name."""
    weights_spread: Mapping[str, float]
    """Mean deviation of a parameter within a session, by name."""


@dataclass(frozen=True)
class Result:
    """What a contestant learnt with one seed and one share of the budget, and what it is worth."""

    contestant: str
    """Its name in the table, such as `ppo`, `ppo_myopic`, `cma_es`, `cma_es groups`."""
    agent: str
    """Its name in the registry of agents."""
    seed: int
    share: float
    """Of the budget, in (0, 1]."""
    requests_used: int
    seconds: float
    """Wall time of learning."""
    tuning_reward: float
    """Mean session reward on tuning users in the simulator, by which the best are named."""
    judged: Mapping[str, Judged]
    """By judge: `simulator`, and `synthetic_truth` where the truth is known."""
    curve: NDArray[np.float64]
    """(points, 2): requests spent, and reward on tuning users of the policy at that moment."""
