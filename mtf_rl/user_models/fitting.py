"""Fits the simulator's user model on its half of a log."""

import numpy as np

from mtf_rl.core.arrays import BoolArray, IntArray
from mtf_rl.data import Dataset, Split
from mtf_rl.user_models.fit_config import Progress, UserModelFitConfig
from mtf_rl.user_models.fit_log import ReplayedLog, hour_fractions
from mtf_rl.user_models.fit_responses import fit_responses
from mtf_rl.user_models.fit_sessions import fit_session_parts
from mtf_rl.user_models.fit_torch import reproducible_torch
from mtf_rl.user_models.fit_traces import fit_traces
from mtf_rl.user_models.fitted import FittedUserModel
from mtf_rl.user_models.reports import FitReport

__all__ = ["Progress", "fit_user_model"]


def fit_user_model(
    dataset: Dataset,
    split: Split,
    half: BoolArray,
    *,
    pools: IntArray | None = None,
    config: UserModelFitConfig | None = None,
    on_progress: Progress | None = None,
    device: str = "cpu",
) -> FittedUserModel:
    """Fit a user model on the rows of `half` that are not test rows.

    Weights are fitted on the training rows of the half. Its validation rows are used for early
    stopping, calibration and the report. From the other half, only the days before the test on
    which a user was active are used, because returns cannot be observed otherwise.

    Args:
        dataset: the log.
        split: split of its rows into training, validation and test.
        half: (rows,) bool, True for the rows of the half.
        pools: (users, pool) videos that retrieval proposes in simulation; by default all videos.
        config: settings of the fit.
        on_progress: called with the stage and the completed fraction of the fit.
        device: torch device of the fit; only `cpu` gives reproducible weights.

    Raises:
        DataError: if the half has no training or no validation rows, or if `config.prior` is
            `never` and the log has no data to fit a part on.
    """
    config = config or UserModelFitConfig()
    report_progress = on_progress or (lambda stage, fraction: None)
    report_progress("replay", 0.0)
    log = ReplayedLog.make(dataset, split, half, config, pools)
    with reproducible_torch(config.seed, device):
        responses, reports = fit_responses(log, config, report_progress)
        traces, after = fit_traces(log, responses)
        parts = fit_session_parts(log, after, config, report_progress)
    report_progress("done", 1.0)
    return FittedUserModel(
        responses=responses,
        traces=traces,
        leaving=parts.leaving,
        pausing=parts.pausing,
        returning=parts.returning,
        hour_fractions=hour_fractions(log),
        catalogue=dataset.catalogue,
        row_keys=np.unique(dataset.impressions.keys[log.rows_used]).astype(np.uint64),
        prior_parts=parts.prior_parts,
        report=FitReport((*reports, *parts.reports)),
    )
