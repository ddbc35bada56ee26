"""The session simulator: pure dynamics, observation, reward, Gymnasium faces."""

from mtf_rl.envs.budget import BudgetExceededError, RequestBudget
from mtf_rl.envs.config import SessionConfig
from mtf_rl.envs.dynamics import Outcome, SessionDynamics, SessionState
from mtf_rl.envs.observation import ObservationLayout, UserProfiles
from mtf_rl.envs.rewards import REWARDS, Reward
from mtf_rl.envs.session import FusionSessionEnv, FusionSessionVectorEnv
from mtf_rl.envs.toy import ToyUserModel, toy_dynamics

__all__ = [
    "REWARDS",
    "BudgetExceededError",
    "FusionSessionEnv",
    "FusionSessionVectorEnv",
    "ObservationLayout",
    "Outcome",
    "RequestBudget",
    "Reward",
    "SessionConfig",
    "SessionDynamics",
    "SessionState",
    "ToyUserModel",
    "UserProfiles",
    "toy_dynamics",
]
