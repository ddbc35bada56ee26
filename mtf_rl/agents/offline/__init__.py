"""Batch RL: learning from a fixed dataset, with Stable-Baselines3's interface."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.agents.offline.awac import AWAC
    from mtf_rl.agents.offline.batch_learning import BatchLearning
    from mtf_rl.agents.offline.bc import BC
    from mtf_rl.agents.offline.bcq import BCQ
    from mtf_rl.agents.offline.controls import BatchSAC, BatchTD3
    from mtf_rl.agents.offline.cql import CQL
    from mtf_rl.agents.offline.dataset_env import DatasetEnv
    from mtf_rl.agents.offline.iql import IQL
    from mtf_rl.agents.offline.td3_bc import TD3BC

__all__ = [
    "AWAC",
    "BC",
    "BCQ",
    "CQL",
    "IQL",
    "TD3BC",
    "BatchLearning",
    "BatchSAC",
    "BatchTD3",
    "DatasetEnv",
]

__getattr__ = lazy_names(__name__, __file__)
