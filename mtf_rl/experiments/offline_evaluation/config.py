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
        UnknownNameError: if an estimator is unknown.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BATCH")]
    """Batch dataset: a Parquet file in the format of `python -m mtf_rl.collect`."""
    policies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """Folders of policies, or of runs for all their policies; at least one."""
    production: str | None = None
    """Fusion weights in production, the reference of all gains: a JSON file with a weight by task
    name, or 0.4,0.8,... in task order. By default the reference is uniform weights."""
    simulator: Path | None = None
    """Folder of a run on the log's data; policies are also rolled out in its simulator."""
    estimators: tuple[str, ...] = ()
    """Estimators by name, or your own as module:NAME; by default a recommended one and some of
    each kind."""
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
    """Method for confidence intervals over sessions, for estimators without a simulator."""
    resamples: int = 1_000
    """Number of bootstrap resamples, at least 100."""
    confidence: float = 0.95
    """Nominal coverage of the intervals, in (0, 1)."""
    sessions: int = 4_000
    """Number of simulated sessions of each policy, at least 2."""
    seed: int = 0
    """Seed of resampling, networks and simulated sessions, at least 0."""
    out: Path | None = None
    """Folder of the results; by default BATCH-evaluation beside the batch dataset."""

    def __post_init__(self) -> None:
        if not self.policies:
            raise ConfigError(
                "at least one policy is needed, got none; give the folder of a policy or of a run"
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
                f"model.gamma must be 1, because session reward is undiscounted, got"
                f" {self.model.gamma}; for another gamma, use mtf_rl.evaluation.off_policy"
            )
        for name in self.asked:
            OFFLINE_ESTIMATORS.check(name)
            if self.simulator is None and isinstance(
                OFFLINE_ESTIMATORS.get(name), SimulatorEstimator
            ):
                raise ConfigError(
                    f"estimator '{name}' needs a simulator, got none; give its run with --simulator"
                )

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the estimators."""
        simulated = () if self.simulator is None else _SHOWN_SIMULATED
        return self.estimators or (*simulated, *_SHOWN)

    def entries(self) -> dict[str, OfflineEstimator]:
        """The estimators by name; this imports the user's own.

        Raises:
            ConfigError: if the user's own cannot be imported, or is not an estimator.
        """
        return {name: OFFLINE_ESTIMATORS.resolve(name) for name in self.asked}

    @property
    def recommending(self) -> str | None:
        """The estimator that recommends a policy; None if none of them is requested."""
        return next((name for name in RECOMMENDING if name in self.asked), None)

    @property
    def ordering(self) -> str:
        """The estimator that orders policies."""
        return self.recommending or self.asked[0]

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.out or self.data.with_name(f"{self.data.stem}-evaluation")
