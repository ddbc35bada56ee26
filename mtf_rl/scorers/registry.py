"""The scorers that can be built by name."""

from typing import TYPE_CHECKING

from mtf_rl.core.registry import Registry
from mtf_rl.scorers.configs import (
    AITMConfig,
    CGCConfig,
    ESCM2DRConfig,
    ESCM2IPSConfig,
    ESMMConfig,
    MMoEConfig,
    ModelConfig,
    MultiDRConfig,
    MultiIPWConfig,
    OMoEConfig,
    PLEConfig,
    SharedBottomConfig,
    SingleTaskConfig,
)

if TYPE_CHECKING:
    from mtf_rl.scorers.model import ScorerConfig

__all__ = ["SCORERS", "scorer_name"]

SCORERS: Registry[type[ModelConfig]] = Registry(
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
)


def scorer_name(config: "ScorerConfig") -> str:
    """The name under which the type of `config` is registered."""
    return next(name for name, kind in SCORERS.items() if kind is type(config))
