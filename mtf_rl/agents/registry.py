"""The registry of agents: for each name, the type of its settings and its learning function."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from mtf_rl.agents.lspi.config import LSPIConfig
from mtf_rl.agents.lspi.config import min_requests as min_requests_of_lspi
from mtf_rl.agents.offline.config import (
    AWACConfig,
    BatchRLMTFConfig,
    BatchSACConfig,
    BatchTD3Config,
    BCConfig,
    BCQConfig,
    CQLConfig,
    IQLConfig,
    TD3BCConfig,
)
from mtf_rl.agents.online.config import (
    A2CConfig,
    ActorCriticConfig,
    DDPGConfig,
    HanConfig,
    PPOConfig,
    SACConfig,
    TD3Config,
)
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
    min_requests,
)
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry

if TYPE_CHECKING:
    from mtf_rl.agents.learning import LearnedPolicy, LearningTask

__all__ = [
    "AGENTS",
    "Agent",
    "RewardWeightedConfig",
    "UniformConfig",
    "learn_reward_weighted",
    "learn_uniform",
    "own_agent",
]


@dataclass(frozen=True)
class UniformConfig:
    """Uniform weights have no settings."""


def learn_uniform(task: "LearningTask", config: UniformConfig) -> "LearnedPolicy":
    """Uniform weights: +1 for positive tasks, -1 for negative tasks such as hate; uses no requests.

    If the action map cannot give these weights (`residual`), the nearest possible ones are used.
    """
    from mtf_rl.agents.learning import LearnedPolicy
    from mtf_rl.agents.policies import ConstantPolicy

    sessions = task.learning.sessions
    uniform = sessions.formula.parameters_of(sessions.formula.tasks.signs)
    action = sessions.action_map.to_action(uniform)
    return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=0)


@dataclass(frozen=True)
class RewardWeightedConfig:
    """Reward weights have no settings."""


def learn_reward_weighted(task: "LearningTask", config: RewardWeightedConfig) -> "LearnedPolicy":
    """Weights equal to the reward's: what a prediction of 1 is worth; uses no requests.

    They come from the session's reward and are divided by the largest absolute worth. With
    `engagement` on KuaiRand's tasks: like 0.2, comment 0.6, follow and forward 1, hate -1; watch
    0.4, since a prediction of 1 stands for two minutes; click and long_view 0, since the reward
    does not count them.
    """
    from mtf_rl.agents.learning import LearnedPolicy
    from mtf_rl.agents.policies import ConstantPolicy
    from mtf_rl.envs.rewards import worth_of_labels

    sessions = task.learning.sessions
    worth = worth_of_labels(sessions.reward, sessions.tasks)
    largest = max(abs(entry) for entry in worth) or 1.0
    weights = np.array(worth, dtype=np.float32) / np.float32(largest)
    chosen = weights[sessions.formula.tasks.columns]
    action = sessions.action_map.to_action(sessions.formula.parameters_of(chosen))
    return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=0)


Learn = Callable[["LearningTask", Any], "LearnedPolicy"]
"""A function that learns a policy from a task and the agent's settings."""


def _later(module: str, name: str) -> Learn:
    """A function of `mtf_rl.agents` whose module, and torch with it, is imported at the call."""

    def learn(task: "LearningTask", config: Any) -> "LearnedPolicy":
        function: Learn = getattr(importlib.import_module(f"mtf_rl.agents.{module}"), name)
        return function(task, config)

    return learn


@dataclass(frozen=True)
class Agent:
    """The type of an agent's settings and its learning function."""

    config: type[Any]
    learn: Learn
    min_requests: Callable[[Any], int]
    """Smallest budget that the given settings work with, in requests."""
    from_batch: bool = False
    """Whether the agent learns only from a batch dataset, without sessions."""


def own_agent(name: str, own: Any) -> Agent:
    """Make an `Agent` from a user's own object: an `Agent`, or a dataclass with a `learn` method.

    The dataclass needs a default for each setting, and `learn(task) -> LearnedPolicy`. It may have
    `min_requests` (a number or a method) and `from_batch = True`.

    Raises:
        ConfigError: if the object is neither.
    """
    if isinstance(own, Agent):
        return own
    expected = (
        f"agent {name!r} must be a dataclass of settings with a default each and a method"
        " learn(self, task: LearningTask) -> LearnedPolicy, or an mtf_rl.agents.Agent"
    )
    if not (isinstance(own, type) and is_dataclass(own) and callable(getattr(own, "learn", None))):
        raise ConfigError(f"{expected}; got {own!r}")
    try:
        own()
    except TypeError as error:
        raise ConfigError(f"{expected}; without arguments it raises: {error}") from error

    def learn(task: "LearningTask", settings: Any) -> "LearnedPolicy":
        from mtf_rl.agents.learning import LearnedPolicy
        from mtf_rl.agents.policies import SavedPolicy

        learned = settings.learn(task)
        policy = getattr(learned, "policy", None)
        if not isinstance(learned, LearnedPolicy) or not isinstance(policy, get_args(SavedPolicy)):
            raise ConfigError(
                f"agent {name!r} must return a LearnedPolicy whose policy is one of"
                f" {', '.join(kind.__name__ for kind in get_args(SavedPolicy))}, got {learned!r}"
            )
        return learned

    def min_requests(settings: Any) -> int:
        minimum = getattr(settings, "min_requests", 0)
        return int(minimum() if callable(minimum) else minimum)

    return Agent(own, learn, min_requests, from_batch=bool(getattr(own, "from_batch", False)))


def _past_warmup(config: ActorCriticConfig) -> int:
    return config.requests_before_learning + 2 * config.num_envs


def _search(config: type[SearchConfig], name: str) -> Agent:
    return Agent(config, _later("search.learners", name), min_requests)


def _of_batch(config: type[Any], name: str, *, min_requests: int = 2) -> Agent:
    learn = _later("offline.learners", name)
    return Agent(config, learn, lambda settings: min_requests, from_batch=True)


AGENTS: Registry[Agent] = Registry(
    "agent",
    {
        "td3": Agent(TD3Config, _later("online.off_policy", "learn_td3"), _past_warmup),
        "sac": Agent(SACConfig, _later("online.off_policy", "learn_sac"), _past_warmup),
        "ddpg": Agent(DDPGConfig, _later("online.off_policy", "learn_ddpg"), _past_warmup),
        "ppo": Agent(PPOConfig, _later("online.on_policy", "learn_ppo"), _past_warmup),
        "a2c": Agent(A2CConfig, _later("online.on_policy", "learn_a2c"), _past_warmup),
        "han_actor_critic": Agent(HanConfig, _later("online.han", "learn_han"), _past_warmup),
        "lspi": Agent(LSPIConfig, _later("lspi.learning", "learn_lspi"), min_requests_of_lspi),
        "bc": _of_batch(BCConfig, "learn_bc"),
        "td3_bc": _of_batch(TD3BCConfig, "learn_td3_bc"),
        "bcq": _of_batch(BCQConfig, "learn_bcq"),
        "cql": _of_batch(CQLConfig, "learn_cql"),
        "iql": _of_batch(IQLConfig, "learn_iql"),
        "awac": _of_batch(AWACConfig, "learn_awac"),
        "batchrl_mtf": _of_batch(BatchRLMTFConfig, "learn_batchrl_mtf", min_requests=200),
        "batch_td3": _of_batch(BatchTD3Config, "learn_batch_td3"),
        "batch_sac": _of_batch(BatchSACConfig, "learn_batch_sac"),
        "grid": _search(GridConfig, "learn_grid"),
        "random_search": _search(RandomSearchConfig, "learn_random_search"),
        "cma_es": _search(CmaEsConfig, "learn_cma_es"),
        "tpe": _search(TpeConfig, "learn_tpe"),
        "gp_bo": _search(GpBoConfig, "learn_gp_bo"),
        "nsga2": _search(Nsga2Config, "learn_nsga2"),
        "cem": _search(CemConfig, "learn_cem"),
        "es": _search(EsConfig, "learn_es"),
        "uniform": Agent(UniformConfig, learn_uniform, lambda config: 0),
        "reward_weighted": Agent(RewardWeightedConfig, learn_reward_weighted, lambda config: 0),
    },
    adapt=own_agent,
)
