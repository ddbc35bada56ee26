"""A Gymnasium environment with the spaces of a dataset, which cannot be stepped."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mtf_rl.core.errors import DataError
from mtf_rl.data import Transitions

__all__ = ["DatasetEnv"]


class DatasetEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Gives the spaces to a learner that has a dataset and no environment.

    `reset` returns zeros; `step` raises a DataError, since a dataset cannot respond to new actions.
    """

    def __init__(self, obs_dim: int, action_dim: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (obs_dim,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (action_dim,), np.float32)
        self._obs_dim = obs_dim

    @classmethod
    def of(cls, dataset: Transitions) -> "DatasetEnv":
        """The spaces of a dataset's rows."""
        return cls(dataset.obs_dim, dataset.action_dim)

    @override
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self._obs_dim, dtype=np.float32), {}

    @override
    def step(self, action: NDArray[np.float32]) -> Any:
        raise DataError(
            "a dataset cannot respond to new actions; evaluate the policy in a session environment"
        )
