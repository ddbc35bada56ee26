"""The registry of estimators for off-policy evaluation; each entry declares its needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry
from mtf_rl.evaluation.fitted_q.config import CONSERVATIVE_OPESTIMATOR, FQEConfig
from mtf_rl.evaluation.off_policy import (
    ESTIMATORS,
    Estimator,
    SimulatorComparison,
    SimulatorEstimate,
    composite_estimates,
    corrected_estimates,
    scaled_estimates,
    simulator_estimates,
)

__all__ = [
    "OFFLINE_ESTIMATORS",
    "RECOMMENDING",
    "NetworkEstimator",
    "OfflineEstimator",
    "SimulatorEstimator",
]


@dataclass(frozen=True)
class NetworkEstimator:
    """The direct method with a Q network that is fitted to the log."""

    settings: FQEConfig
    """Settings of the fit; discount and seed are those of the evaluation."""


@dataclass(frozen=True)
class SimulatorEstimator:
    """A combination of a simulator and the log, which needs all policies at once."""

    combine: Callable[[SimulatorComparison], list[SimulatorEstimate]]
    """Returns the estimates of all policies, in their order."""
    assumption: str | None = None
    """Assumption of an estimate without support from the log. None if the log's model enters the
    estimate, so that its leverage measures the support."""


OfflineEstimator = Estimator | NetworkEstimator | SimulatorEstimator


def _own(name: str, entry: Any) -> OfflineEstimator:
    """Check the type of a user's own estimator."""
    if isinstance(entry, Estimator | NetworkEstimator | SimulatorEstimator):
        return entry
    raise ConfigError(
        f"estimator '{name}' must be an instance of Estimator, NetworkEstimator or"
        f" SimulatorEstimator, got {entry!r}. Make one: MINE = Estimator(function,"
        " Weighting.NONE)"
    )


OFFLINE_ESTIMATORS: Registry[OfflineEstimator] = Registry(
    "estimator",
    {
        **ESTIMATORS,
        "fqe": NetworkEstimator(FQEConfig()),
        "cope": NetworkEstimator(CONSERVATIVE_OPESTIMATOR),
        "simulator": SimulatorEstimator(simulator_estimates, "the simulator alone, no log"),
        "scaled": SimulatorEstimator(
            scaled_estimates, "assumes that the simulator is wrong by one scale"
        ),
        "corrected": SimulatorEstimator(corrected_estimates),
        "composite": SimulatorEstimator(composite_estimates),
    },
    adapt=_own,
)
"""All estimators by name; a user's own is `module:NAME`."""

RECOMMENDING = ("composite", "corrected", "dm")
"""Estimators that can recommend a policy, in order of preference."""
