"""The settings of an off-policy evaluation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_proper_fraction, check_seed
from mtf_rl.evaluation.off_policy import ModelConfig
from mtf_rl.experiments.offline_evaluation.estimators import (
    OFFLINE_ESTIMATORS,
    RECOMMENDING,
    OfflineEstimator,
    SimulatorEstimator,
)

__all__ = ["OfflineConfig"]

_SHOWN_SIMULATED = ("composite", "corrected", "scaled", "simulator")
_SHOWN = ("dm", "sn_pdis", "clipped_dr", "drl", "request_sn")


@dataclass(frozen=True)
class OfflineConfig:
    """Estimate the session reward of policies from sessions that other policies served.

    Raises:
        ConfigError: if a number is out of range, no policy is given, or an estimator needs a
            simulator that is not given.
        UnknownNameError: if there is no such estimator.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BATCH")]
    """Batch dataset: a Parquet file as `python -m mtf_rl.collect` writes it."""
    policies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """Folders of policies, or of runs, which stand for all their policies; at least one."""
    production: str | None = None
    """Fusion weights that serve today: a JSON file with a weight by task name, or 0.4,0.8,... in
    task order. Gains are also given over them; without them, over uniform weights."""
    simulator: Path | None = None
    """Folder of a run on the log's data; policies are also played in its simulator."""
    estimators: tuple[str, ...] = ()
    """Estimators to compute, by name or as your own module:NAME; by default the recommended one and
    some of each kind."""
    all: bool = False
    """Also print the estimates of all estimators, and the distributions of session reward."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The linear model of Q and density ratios, and constants of the estimators."""
    kernel: Literal["gaussian", "epanechnikov", "triangle", "box"] = "gaussian"
    """Kernel that smooths a deterministic policy."""
    bandwidth: float | None = None
    """Bandwidth of the kernel, in units of the action, in (0, 2]; by default SLOPE selects a
    multiple of Scott's rule."""
    interval: Literal["bootstrap", "t"] = "bootstrap"
    """Confidence intervals of estimators that need no simulator, over sessions."""
    resamples: int = 1_000
    """Resamples of the bootstrap, at least 100."""
    confidence: float = 0.95
    """Nominal coverage of the intervals, in (0, 1)."""
    sessions: int = 4_000
    """Simulated sessions of each policy, at least 2."""
    seed: int = 0
    """Seed of resampling, networks and simulated random numbers."""
    out: Path | None = None
    """Folder of the results; by default BATCH-evaluation beside the batch dataset."""

    def __post_init__(self) -> None:
        if not self.policies:
            raise ConfigError(
                "at least one policy is needed, got none: name its folder, or a run's"
            )
        check_at_least("resamples", self.resamples, 100)
        check_above("confidence", self.confidence, 0.0)
        check_proper_fraction("confidence", self.confidence)
        check_at_least("sessions", self.sessions, 2)
        check_seed("seed", self.seed)
        if self.bandwidth is not None and not 0.0 < self.bandwidth <= 2.0:
            raise ConfigError(f"bandwidth must be in (0, 2], got {self.bandwidth}")
        if self.model.gamma != 1.0:
            raise ConfigError(
                f"model.gamma must be 1, since session reward is undiscounted, got"
                f" {self.model.gamma}; for another, use mtf_rl.evaluation.off_policy"
            )
        for name in self.asked:
            OFFLINE_ESTIMATORS.check(name)
            if self.simulator is None and isinstance(
                OFFLINE_ESTIMATORS.get(name), SimulatorEstimator
            ):
                raise ConfigError(
                    f"estimator '{name}' plays policies in a simulator: name its run with"
                    " --simulator"
                )

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the estimators."""
        simulated = () if self.simulator is None else _SHOWN_SIMULATED
        return self.estimators or (*simulated, *_SHOWN)

    def entries(self) -> dict[str, OfflineEstimator]:
        """The estimators by name; this imports a user's own.

        Raises:
            ConfigError: if an own one cannot be imported, or is none.
        """
        return {name: OFFLINE_ESTIMATORS.resolve(name) for name in self.asked}

    @property
    def recommending(self) -> str | None:
        """The estimator that recommends; None if no such estimator was asked for."""
        return next((name for name in RECOMMENDING if name in self.asked), None)

    @property
    def ordering(self) -> str:
        """The estimator that orders policies."""
        return self.recommending or self.asked[0]

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.out or self.data.with_name(f"{self.data.stem}-evaluation")
