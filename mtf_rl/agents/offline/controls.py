"""Negative controls: online actor-critics that use a dataset as their replay buffer.

Nothing keeps their actors near the logged actions, and the critics are accurate only there.
"""

from typing import Any, ClassVar

from stable_baselines3 import SAC, TD3
from stable_baselines3.common.type_aliases import GymEnv
from typing_extensions import Unpack

from mtf_rl.agents.offline.batch_learning import BatchArguments, BatchLearning
from mtf_rl.agents.offline.config import BatchConfig, BatchSACConfig, BatchTD3Config

__all__ = ["BatchSAC", "BatchTD3"]


class BatchTD3(BatchLearning, TD3):
    """SB3's TD3, with its unmodified update, on a fixed dataset."""

    settings: ClassVar[type[BatchConfig]] = BatchTD3Config


class BatchSAC(BatchLearning, SAC):
    """SB3's SAC, with its unmodified update, on a fixed dataset."""

    settings: ClassVar[type[BatchConfig]] = BatchSACConfig

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        ent_coef: str | float = f"auto_{BatchSACConfig.initial_temperature}",
        **common: Unpack[BatchArguments],
    ) -> None:
        super().__init__(policy, env, own={"ent_coef": ent_coef}, **common)
