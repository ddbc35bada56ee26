"""The settings of `check`."""

from dataclasses import dataclass
from typing import Literal

import tyro

__all__ = ["CheckConfig"]

Kind = Literal[
    "agent", "scorer", "formula", "action_map", "estimator", "contestant", "reward", "auto"
]


@dataclass(frozen=True)
class CheckConfig:
    """Try the contract of an extension: what every agent, scorer, formula or reward must do."""

    name: tyro.conf.Positional[str]
    """Your own as module:Name, or a registered name."""
    kind: Kind = "auto"
    """What it is; `auto` finds out."""
