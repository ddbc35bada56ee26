"""The agents by name: what configures each, and what makes it learn."""

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
    """Uniform weights have nothing to set."""


def learn_uniform(task: "LearningTask", config: UniformConfig) -> "LearnedPolicy":
    """+1 for every task of which more is better, -1 for hate, or the nearest that can be made.

    The action map `residual` makes what is near its base alone. Costs nothing.
    """
    from mtf_rl.agents.learning import LearnedPolicy
    from mtf_rl.agents.policies import ConstantPolicy

    sessions = task.learning.sessions
    uniform = sessions.formula.parameters_of(sessions.formula.tasks.signs)
    action = sessions.action_map.to_action(uniform)
    return LearnedPolicy(ConstantPolicy(action), untrained=None, requests_used=0)


@dataclass(frozen=True)
class RewardWeightedConfig:
    """Hand-set weights have nothing to set."""


def learn_reward_weighted(task: "LearningTask", config: RewardWeightedConfig) -> "LearnedPolicy":
    """What a person would set: each task's weight is what a prediction of 1 is worth in the reward.

    It is the reward that the session is set to, over the largest worth. Of `engagement` on
    KuaiRand's tasks: like 0.2, comment 0.6, follow and forward 1, hate -1; watch 0.4, what two
    minutes are worth, since its prediction is of at most so many; click and long_view, which are
    worth nothing in themselves, 0. Costs nothing.
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
"""Learns with settings of the agent's type."""


def _later(module: str, name: str) -> Learn:
    """A function of `mtf_rl.agents` whose module, and torch with it, is imported when it learns."""

    def learn(task: "LearningTask", config: Any) -> "LearnedPolicy":
        found: Learn = getattr(importlib.import_module(f"mtf_rl.agents.{module}"), name)
        return found(task, config)

    return learn


@dataclass(frozen=True)
class Agent:
    """The type of an agent's settings, and the function that learns with them."""

    config: type[Any]
    learn: Learn
    min_requests: Callable[[Any], int]
    """The smallest budget that settings of this type can work with."""
    from_batch: bool = False
    """Whether it learns from a batch dataset alone, and touches no session."""


def own_agent(name: str, own: Any) -> Agent:
    """The agent that a user's own object makes: an `Agent`, or a dataclass of settings that learns.

    The dataclass has a default for each setting, and `learn(task) -> LearnedPolicy`. It may have
    `min_requests`, a number or a method, and `from_batch = True`.

    Raises:
        ConfigError: if it is neither.
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
        least = getattr(settings, "min_requests", 0)
        return int(least() if callable(least) else least)

    return Agent(own, learn, min_requests, from_batch=bool(getattr(own, "from_batch", False)))


def _past_warmup(config: ActorCriticConfig) -> int:
    return config.requests_before_learning + 2 * config.num_envs


def _search(config: type[SearchConfig], name: str) -> Agent:
    return Agent(config, _later("search.learners", name), min_requests)


def _of_batch(config: type[Any], name: str, *, least: int = 2) -> Agent:
    learn = _later("offline.learners", name)
    return Agent(config, learn, lambda settings: least, from_batch=True)


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
        "batchrl_mtf": _of_batch(BatchRLMTFConfig, "learn_batchrl_mtf", least=200),
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
