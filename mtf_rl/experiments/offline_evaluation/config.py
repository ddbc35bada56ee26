"""The settings of an offline evaluation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.ranges import check_above, check_at_least, check_proper_fraction, check_seed
from mtf_rl.core.registry import Registry
from mtf_rl.evaluation.off_policy import ESTIMATORS, KERNELS, ModelConfig

__all__ = ["OFFLINE_ESTIMATORS", "RECOMMENDING", "OfflineConfig"]

CLOSED_FORM, NETWORK, SIMULATED = "closed form", "network", "simulated"

OFFLINE_ESTIMATORS: Registry[str] = Registry(
    "estimator",
    {
        **dict.fromkeys(ESTIMATORS, CLOSED_FORM),
        "fqe": NETWORK,
        "cope": NETWORK,
        "simulator": SIMULATED,
        "scaled": SIMULATED,
        "corrected": SIMULATED,
        "composite": SIMULATED,
    },
)
"""Every estimator that can be asked for, by how it is made."""

RECOMMENDING = ("composite", "corrected", "dm")
"""Estimators that may recommend a policy, the preferred one first."""
_SHOWN_SIMULATED = ("composite", "corrected", "scaled", "simulator")
_SHOWN = ("dm", "sn_pdis", "clipped_dr", "drl", "request_sn")


@dataclass(frozen=True)
class OfflineConfig:
    """Estimate from logged sessions what policies are worth that did not serve them.

    Raises:
        ConfigError: if a number is out of range, no policy is given, or an estimator needs a
            simulator that is not.
        UnknownNameError: if there is no such estimator or kernel.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BATCH")]
    """The batch dataset: a Parquet file as `python -m mtf_rl.collect` writes it."""
    policies: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")]
    """Folders of policies, or of runs, which stand for all policies in them; at least one."""
    simulator: Path | None = None
    """Folder of a run with the log's data, whose simulator the policies are played in too."""
    estimators: tuple[str, ...] = ()
    """Which ones; by default the recommended one, and a few of each kind beside it."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Of Q and visits, and constants of the estimators."""
    kernel: str = "gaussian"
    """By which a deterministic policy is smoothed: gaussian, epanechnikov, triangle or box."""
    bandwidth: float | None = None
    """Of the kernel, in units of the action, in (0, 2]; by default SLOPE chooses around Scott's
    rule."""
    interval: Literal["bootstrap", "t"] = "bootstrap"
    """Of the closed-form estimators, over sessions."""
    resamples: int = 1_000
    """Of the bootstrap, at least 100."""
    confidence: float = 0.95
    """Of the intervals, in (0, 1)."""
    sessions: int = 4_000
    """Simulated sessions for each policy, at least 2."""
    seed: int = 0
    """Of resampling, networks and simulated random numbers."""
    out: Path | None = None
    """Folder of the results; by default one beside the batch dataset, named after it."""

    def __post_init__(self) -> None:
        if not self.policies:
            raise ConfigError("at least one policy is needed: name its folder, or a run's")
        check_at_least("resamples", self.resamples, 100)
        check_above("confidence", self.confidence, 0.0)
        check_proper_fraction("confidence", self.confidence)
        check_at_least("sessions", self.sessions, 2)
        check_seed("seed", self.seed)
        if self.bandwidth is not None and not 0.0 < self.bandwidth <= 2.0:
            raise ConfigError(f"bandwidth must be in (0, 2], got {self.bandwidth}")
        if self.model.gamma != 1.0:
            raise ConfigError(
                f"model.gamma must be 1, since values are undiscounted here, got"
                f" {self.model.gamma}; for another, use mtf_rl.evaluation.off_policy"
            )
        KERNELS[self.kernel]
        for name in self.asked:
            if OFFLINE_ESTIMATORS[name] == SIMULATED and self.simulator is None:
                raise ConfigError(
                    f"estimator '{name}' plays policies in a simulator: name its run with"
                    " --simulator"
                )

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the estimators."""
        simulated = () if self.simulator is None else _SHOWN_SIMULATED
        return self.estimators or (*simulated, *_SHOWN)

    def asked_of(self, kind: str) -> list[str]:
        """Those of a kind."""
        return [name for name in self.asked if OFFLINE_ESTIMATORS[name] == kind]

    @property
    def weighs_densities(self) -> bool:
        """Whether an estimator needs the density of the log's actions under a policy."""
        return any(ESTIMATORS[name].weighs_densities for name in self.asked_of(CLOSED_FORM))

    @property
    def recommended(self) -> str | None:
        """By which policies are recommended; None if no such estimator was asked for."""
        return next((name for name in RECOMMENDING if name in self.asked), None)

    @property
    def ordering(self) -> str:
        """By which policies are put in order."""
        return self.recommended or self.asked[0]

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.out or self.data.with_name(f"{self.data.stem}-evaluation")
