"""Session environments: dynamics, observations, rewards, Gymnasium wrappers."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.envs.budget import BudgetExceededError, RequestBudget
    from mtf_rl.envs.config import RetentionConfig, SessionConfig
    from mtf_rl.envs.dynamics import FusionDynamics, Outcome, SessionDynamics, SessionState
    from mtf_rl.envs.environments import (
        FusionRetentionEnv,
        FusionRetentionVectorEnv,
        FusionSessionEnv,
        FusionSessionVectorEnv,
    )
    from mtf_rl.envs.episodes import ServedRequests, play_episodes
    from mtf_rl.envs.gym_env import FusionEnv, FusionVectorEnv
    from mtf_rl.envs.observation import ObservationLayout, UserProfiles
    from mtf_rl.envs.retention import RetentionDynamics, RetentionOutcome, RetentionState
    from mtf_rl.envs.rewards import REWARDS, Reward, RewardFunction, RewardInputs
    from mtf_rl.envs.toy import ToyUserModel, toy_dynamics

__all__ = [
    "REWARDS",
    "BudgetExceededError",
    "FusionDynamics",
    "FusionEnv",
    "FusionRetentionEnv",
    "FusionRetentionVectorEnv",
    "FusionSessionEnv",
    "FusionSessionVectorEnv",
    "FusionVectorEnv",
    "ObservationLayout",
    "Outcome",
    "RequestBudget",
    "RetentionConfig",
    "RetentionDynamics",
    "RetentionOutcome",
    "RetentionState",
    "Reward",
    "RewardFunction",
    "RewardInputs",
    "ServedRequests",
    "SessionConfig",
    "SessionDynamics",
    "SessionState",
    "ToyUserModel",
    "UserProfiles",
    "play_episodes",
    "toy_dynamics",
]

__getattr__ = lazy_names(__name__, __file__)
