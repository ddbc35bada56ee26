"""User models, which respond to slates: the synthetic world, and the model fitted on logs."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.user_models.fit_config import UserModelFitConfig
    from mtf_rl.user_models.fitted import FittedUserModel
    from mtf_rl.user_models.fitting import fit_user_model
    from mtf_rl.user_models.prior import DeclaredPrior
    from mtf_rl.user_models.prior_config import DeclaredPriorConfig
    from mtf_rl.user_models.reports import FitReport, PartReport
    from mtf_rl.user_models.world import (
        SynthesisReport,
        World,
        WorldConfig,
        WorldState,
        load_world,
        synthesize,
    )

__all__ = [
    "DeclaredPrior",
    "DeclaredPriorConfig",
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

__getattr__ = lazy_names(__name__, __file__)
