"""Who answers a slate: the synthetic world with its truth, the model fitted on logs."""

from typing import TYPE_CHECKING, Any

from mtf_rl.user_models.fit_config import UserModelFitConfig
from mtf_rl.user_models.fitted import FittedUserModel
from mtf_rl.user_models.prior import DeclaredPrior
from mtf_rl.user_models.reports import FitReport, PartReport
from mtf_rl.user_models.world import (
    SynthesisReport,
    World,
    WorldConfig,
    WorldState,
    load_world,
    synthesize,
)

if TYPE_CHECKING:
    from mtf_rl.user_models.fitting import fit_user_model

__all__ = [
    "DeclaredPrior",
    "FitReport",
    "FittedUserModel",
    "PartReport",
    "SynthesisReport",
    "UserModelFitConfig",
    "World",
    "WorldConfig",
    "WorldState",
    "fit_user_model",
    "load_world",
    "synthesize",
]


def __getattr__(name: str) -> Any:
    # Fitting needs torch; user models as they run do not, so it is imported on first use only.
    if name == "fit_user_model":
        from mtf_rl.user_models.fitting import fit_user_model

        return fit_user_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
