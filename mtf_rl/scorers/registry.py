"""The scorers that can be built by name."""

from mtf_rl.core.registry import Registry
from mtf_rl.scorers.mmoe import MMoEConfig
from mtf_rl.scorers.model import ScorerConfig
from mtf_rl.scorers.ple import PLEConfig

__all__ = ["SCORERS", "scorer_name"]

SCORERS: Registry[type[ScorerConfig]] = Registry("scorer", {"mmoe": MMoEConfig, "ple": PLEConfig})


def scorer_name(config: ScorerConfig) -> str:
    """The name under which the type of `config` is registered."""
    return next(name for name, kind in SCORERS.items() if kind is type(config))
