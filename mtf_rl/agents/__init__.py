"""What learns a policy: actor-critics, searches, static weights."""

from mtf_rl.agents.artifact import load_policy, save_policy
from mtf_rl.agents.behaviour import (
    BehaviourPolicy,
    BoundedUniform,
    Choice,
    Mixture,
    TruncatedGaussian,
    UniformRandom,
)
from mtf_rl.agents.collection import collect
from mtf_rl.agents.fusion_policy import FusionPolicy, FusionSetting
from mtf_rl.agents.learning import (
    LearnedPolicy,
    LearningInterruptedError,
    LearningTask,
    MetricSink,
)
from mtf_rl.agents.networks import Mlp
from mtf_rl.agents.online.actor_critic import ActorCriticConfig, SACConfig, TD3Config
from mtf_rl.agents.policies import ConstantPolicy, GenerativePolicy, MlpPolicy, SavedPolicy
from mtf_rl.agents.ranking import rank
from mtf_rl.agents.registry import AGENTS, Agent, UniformConfig
from mtf_rl.agents.search.random_search import RandomSearchConfig
from mtf_rl.agents.vec_env import SessionVecEnv

__all__ = [
    "AGENTS",
    "ActorCriticConfig",
    "Agent",
    "BehaviourPolicy",
    "BoundedUniform",
    "Choice",
    "ConstantPolicy",
    "FusionPolicy",
    "FusionSetting",
    "GenerativePolicy",
    "LearnedPolicy",
    "LearningInterruptedError",
    "LearningTask",
    "MetricSink",
    "Mixture",
    "Mlp",
    "MlpPolicy",
    "RandomSearchConfig",
    "SACConfig",
    "SavedPolicy",
    "SessionVecEnv",
    "TD3Config",
    "TruncatedGaussian",
    "UniformConfig",
    "UniformRandom",
    "collect",
    "load_policy",
    "rank",
    "save_policy",
]
