"""Agents that learn policies (actor-critics, searches, static weights), and saved policies."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.agents.artifact import load_policy, save_policy
    from mtf_rl.agents.behaviour import (
        BehaviourPolicy,
        BoundedUniform,
        Choice,
        LoggedActions,
        Mixture,
        TruncatedGaussian,
        UniformRandom,
    )
    from mtf_rl.agents.checkpoint import load_checkpoint
    from mtf_rl.agents.collection import collect, setting_of
    from mtf_rl.agents.context import after_slate, context_of, start_session
    from mtf_rl.agents.fusion_policy import FusionPolicy, FusionSetting, Ranking
    from mtf_rl.agents.learning import (
        CheckpointPlan,
        LearnedPolicy,
        LearningInterruptedError,
        LearningTask,
        MetricSink,
        Watch,
    )
    from mtf_rl.agents.lspi.config import LSPIConfig
    from mtf_rl.agents.networks import Mlp
    from mtf_rl.agents.online.config import (
        A2CConfig,
        ActorCriticConfig,
        DDPGConfig,
        HanConfig,
        PPOConfig,
        SACConfig,
        TD3Config,
    )
    from mtf_rl.agents.policies import (
        ConstantPolicy,
        GenerativePolicy,
        MlpPolicy,
        SavedPolicy,
        TablePolicy,
    )
    from mtf_rl.agents.ranking import rank
    from mtf_rl.agents.registry import AGENTS, Agent, UniformConfig
    from mtf_rl.agents.sb3_policy import save_sb3_policy
    from mtf_rl.agents.search.config import (
        CemConfig,
        CmaEsConfig,
        EsConfig,
        GpBoConfig,
        GridConfig,
        Nsga2Config,
        RandomSearchConfig,
        SearchConfig,
        TpeConfig,
    )
    from mtf_rl.agents.vec_env import SessionVecEnv

__all__ = [
    "AGENTS",
    "A2CConfig",
    "ActorCriticConfig",
    "Agent",
    "BehaviourPolicy",
    "BoundedUniform",
    "CemConfig",
    "CheckpointPlan",
    "Choice",
    "CmaEsConfig",
    "ConstantPolicy",
    "DDPGConfig",
    "EsConfig",
    "FusionPolicy",
    "FusionSetting",
    "GenerativePolicy",
    "GpBoConfig",
    "GridConfig",
    "HanConfig",
    "LSPIConfig",
    "LearnedPolicy",
    "LearningInterruptedError",
    "LearningTask",
    "LoggedActions",
    "MetricSink",
    "Mixture",
    "Mlp",
    "MlpPolicy",
    "Nsga2Config",
    "PPOConfig",
    "RandomSearchConfig",
    "Ranking",
    "SACConfig",
    "SavedPolicy",
    "SearchConfig",
    "SessionVecEnv",
    "TD3Config",
    "TablePolicy",
    "TpeConfig",
    "TruncatedGaussian",
    "UniformConfig",
    "UniformRandom",
    "Watch",
    "after_slate",
    "collect",
    "context_of",
    "load_checkpoint",
    "load_policy",
    "rank",
    "save_policy",
    "save_sb3_policy",
    "setting_of",
    "start_session",
]

__getattr__ = lazy_names(__name__, __file__)
