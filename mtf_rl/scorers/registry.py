"""Registry of the scorers that can be built by name."""

from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.scorers.configs import (
    AITMConfig,
    CGCConfig,
    ESCM2DRConfig,
    ESCM2IPSConfig,
    ESMMConfig,
    MMoEConfig,
    MultiDRConfig,
    MultiIPWConfig,
    OMoEConfig,
    PLEConfig,
    SharedBottomConfig,
    SingleTaskConfig,
)

if TYPE_CHECKING:
    from mtf_rl.scorers.model import ScorerConfig

__all__ = ["SCORERS", "own_scorer", "scorer_name"]


def own_scorer(name: str, own: Any) -> "type[ScorerConfig]":
    """Check a custom settings class, which builds a `ScorerModel`, and return it.

    Raises:
        ConfigError: if it is not a dataclass with defaults for all fields and a method `build`.
    """
    expected = (
        f"scorer {name!r} must be a dataclass with a default for every field and a method"
        " build(self, layout: FeatureLayout, tasks: TaskSet) -> ScorerModel"
    )
    if not (isinstance(own, type) and is_dataclass(own) and callable(getattr(own, "build", None))):
        raise ConfigError(f"{expected}; got {own!r}")
    try:
        own()
    except TypeError as error:
        raise ConfigError(f"{expected}; calling it without arguments raises: {error}") from error
    kind: Any = own
    config: type[ScorerConfig] = kind
    return config


SCORERS: "Registry[type[ScorerConfig]]" = Registry(
    "scorer",
    {
        "mmoe": MMoEConfig,
        "ple": PLEConfig,
        "cgc": CGCConfig,
        "omoe": OMoEConfig,
        "shared_bottom": SharedBottomConfig,
        "single_task": SingleTaskConfig,
        "esmm": ESMMConfig,
        "escm2_ips": ESCM2IPSConfig,
        "escm2_dr": ESCM2DRConfig,
        "multi_ipw": MultiIPWConfig,
        "multi_dr": MultiDRConfig,
        "aitm": AITMConfig,
    },
    adapt=own_scorer,
)


def scorer_name(config: "ScorerConfig") -> str:
    """The registered name of the type of `config`, or `module:Class` for a custom type."""
    kind = type(config)
    return SCORERS.name_of(kind) or f"{kind.__module__}:{kind.__qualname__}"
