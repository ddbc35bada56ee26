"""Negative controls: online actor-critics that are handed a dataset as if it were their replay.

Nothing keeps their actors near actions that were logged, where alone the critics are right.
"""

from typing import Any

from stable_baselines3 import SAC, TD3
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from mtf_rl.agents.offline.batch_learning import BatchLearning, batch_policy_kwargs, spaces_of
from mtf_rl.data import Transitions

__all__ = ["BatchSAC", "BatchTD3"]


class BatchTD3(BatchLearning, TD3):
    """SB3's TD3 on a fixed dataset; its update is untouched."""

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        dataset: Transitions | None = None,
        learning_rate: float | Schedule = 3e-4,
        batch_size: int = 256,
        gamma: float = 0.99,
        tau: float = 0.005,
        reward_scale: float = 1.0,
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        self._dataset = dataset
        self.reward_scale = reward_scale
        super().__init__(
            policy,
            spaces_of(env, dataset),  # type: ignore[arg-type]
            learning_rate,
            buffer_size=1,
            learning_starts=0,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            policy_kwargs=batch_policy_kwargs(policy_kwargs),
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )


class BatchSAC(BatchLearning, SAC):
    """SB3's SAC on a fixed dataset; its update is untouched."""

    def __init__(
        self,
        policy: str | type[Any] = "MlpPolicy",
        env: GymEnv | str | None = None,
        *,
        dataset: Transitions | None = None,
        learning_rate: float | Schedule = 3e-4,
        batch_size: int = 256,
        gamma: float = 0.99,
        tau: float = 0.005,
        ent_coef: str | float = "auto",
        reward_scale: float = 1.0,
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        self._dataset = dataset
        self.reward_scale = reward_scale
        super().__init__(
            policy,
            spaces_of(env, dataset),  # type: ignore[arg-type]
            learning_rate,
            buffer_size=1,
            learning_starts=0,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            ent_coef=ent_coef,
            policy_kwargs=batch_policy_kwargs(policy_kwargs),
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )
