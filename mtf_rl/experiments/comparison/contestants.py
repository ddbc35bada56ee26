"""The contestants of a comparison, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mtf_rl.agents import AGENTS
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.plugins import is_import_path
from mtf_rl.core.registry import Registry

__all__ = ["CONTESTANTS", "LEARNER", "PRODUCTION", "SEARCH", "STATIC", "Contestant"]

STATIC, SEARCH, LEARNER = "static", "search", "learner"
PRODUCTION = "production"
"""The contestant with the weights of `--production`."""


@dataclass(frozen=True)
class Contestant:
    """An agent with given settings."""

    agent: str
    """Its name in the registry of agents."""
    kind: str
    """static (without training), search or learner."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from the agent's defaults."""
    myopic_baseline_of: str | None = None
    """The contestant that this one is the myopic baseline (gamma 0) of."""

    @property
    def tuned_once(self) -> bool:
        """Whether it is a search for static weights."""
        settings = self.settings()
        static = (
            getattr(settings, "space", "static") == "static"
            and getattr(settings, "features", ()) == ()
        )
        return self.kind == SEARCH and static

    def settings(self) -> Any:
        """The agent's settings.

        Raises:
            UnknownNameError: if the agent is unknown.
        """
        return replace(AGENTS.resolve(self.agent).config(), **self.changes)


def _myopic_baseline(name: str) -> Contestant:
    return Contestant(name, LEARNER, {"gamma": 0.0}, myopic_baseline_of=name)


def own_contestant(name: str, own: Any) -> Contestant:
    """Make a contestant of a user's own object: a `Contestant`, or an agent, which is a learner.

    Raises:
        ConfigError: if it is neither.
    """
    if isinstance(own, Contestant):
        own.settings()
        return own
    if not is_import_path(name):
        raise ConfigError(
            f"contestant {name!r} must be a Contestant, got {own!r}; register an agent in AGENTS"
            f" and then Contestant({name!r}, LEARNER) here"
        )
    AGENTS.resolve(name)
    return Contestant(name, LEARNER)


CONTESTANTS: Registry[Contestant] = Registry(
    "contestant",
    {
        "uniform": Contestant("uniform", STATIC),
        PRODUCTION: Contestant("uniform", STATIC),  # the comparison's settings have its weights
        "reward_weighted": Contestant("reward_weighted", STATIC),
        "grid": Contestant("grid", SEARCH),
        "random_search": Contestant("random_search", SEARCH),
        "cma_es": Contestant("cma_es", SEARCH),
        "tpe": Contestant("tpe", SEARCH),
        "gp_bo": Contestant("gp_bo", SEARCH),
        "gp_ucb": Contestant("gp_bo", SEARCH, {"acquisition": "ucb"}),
        "nsga2": Contestant("nsga2", SEARCH),
        "cem": Contestant("cem", SEARCH),
        "cma_es_groups": Contestant("cma_es", SEARCH, {"space": "groups"}),
        "cma_es_schedule": Contestant("cma_es", SEARCH, {"space": "schedule"}),
        "cma_es_features": Contestant("cma_es", SEARCH, {"space": "features"}),
        "es_linear": Contestant("es", SEARCH),
        "lspi_static": Contestant("lspi", SEARCH, {"features": ()}),
        "lspi": Contestant("lspi", LEARNER),
        "td3": Contestant("td3", LEARNER),
        "sac": Contestant("sac", LEARNER),
        "ppo": Contestant("ppo", LEARNER),
        "a2c": Contestant("a2c", LEARNER),
        "batchrl_mtf": Contestant("batchrl_mtf", LEARNER),
        "cql": Contestant("cql", LEARNER),
        "iql": Contestant("iql", LEARNER),
        "td3_bc": Contestant("td3_bc", LEARNER),
        "lspi_myopic": _myopic_baseline("lspi"),
        "td3_myopic": _myopic_baseline("td3"),
        "sac_myopic": _myopic_baseline("sac"),
        "ppo_myopic": _myopic_baseline("ppo"),
        "a2c_myopic": _myopic_baseline("a2c"),
        "cql_myopic": _myopic_baseline("cql"),
        "td3_bc_myopic": _myopic_baseline("td3_bc"),
    },
    adapt=own_contestant,
)
