"""Sizes that every scorer has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_at_least, check_proper_fraction
from mtf_rl.data import FeatureLayout
from mtf_rl.scorers.model import Ensemble, Network, ScorerModel
from mtf_rl.scorers.watch_heads import WATCH_HEADS

__all__ = ["ModelConfig", "check_widths"]


def check_widths(name: str, widths: tuple[int, ...], *, at_least: int) -> None:
    """Refuse a layer of width below 1, or fewer layers than `at_least`."""
    if len(widths) < at_least:
        raise ConfigError(f"{name} must name at least {at_least} layer, got {widths}")
    if any(width < 1 for width in widths):
        raise ConfigError(f"{name} must be at least 1 each, got {widths}")


@dataclass(frozen=True)
class ModelConfig(ABC):
    """What every scorer's configuration has."""

    embedding_dim: int = 8
    """Width of each categorical field's embedding, at least 1."""

    dense_bins: int = 8
    """Quantile bins by which each dense column is also encoded, at least 0; 0 is none."""

    tower_widths: tuple[int, ...] = (32,)
    """Widths of the hidden layers of a task's tower, each at least 1; may be empty."""

    dropout: float = 0.1
    """Fraction of hidden units dropped while fitting, in [0, 1)."""

    watch_head: str = "share"
    """How play time is modelled: `fraction`, `log_normal` or `survival`."""

    members: int = 1
    """Models of this configuration that are fitted at once and averaged, at least 1."""

    def __post_init__(self) -> None:
        check_at_least("embedding_dim", self.embedding_dim, 1)
        check_widths("tower_widths", self.tower_widths, at_least=0)
        check_proper_fraction("dropout", self.dropout)
        check_at_least("dense_bins", self.dense_bins, 0)
        check_at_least("members", self.members, 1)
        _ = WATCH_HEADS[self.watch_head]

    def build(self, layout: FeatureLayout) -> ScorerModel:
        """A freshly initialised model, drawing on torch's global generator."""
        if self.members == 1:
            return self.build_member(layout)
        return Ensemble([self.build_member(layout) for _ in range(self.members)])

    @abstractmethod
    def build_member(self, layout: FeatureLayout) -> Network:
        """One freshly initialised model of the ensemble."""
