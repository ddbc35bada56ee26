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
    """Check that an extension fulfils the contract of its kind."""

    name: tyro.conf.Positional[str]
    """Your own extension as module:Name, or a registered name."""
    kind: Kind = "auto"
    """Kind of the extension; auto recognises it."""
