"""Fitted Q evaluation with a neural network, plain or conservative; the fit imports torch."""

from typing import TYPE_CHECKING

from mtf_rl.core.lazy import lazy_names

if TYPE_CHECKING:
    from mtf_rl.evaluation.fitted_q.config import CONSERVATIVE_OPESTIMATOR, FQEConfig
    from mtf_rl.evaluation.fitted_q.fitted import FittedQ, FQEDiagnostics
    from mtf_rl.evaluation.fitted_q.fitting import fit_q
    from mtf_rl.evaluation.fitted_q.losses import FQEBatch, FQELoss, fqe_loss

__all__ = [
    "CONSERVATIVE_OPESTIMATOR",
    "FQEBatch",
    "FQEConfig",
    "FQEDiagnostics",
    "FQELoss",
    "FittedQ",
    "fit_q",
    "fqe_loss",
]

__getattr__ = lazy_names(__name__, __file__)
