"""Features of the visible history for user models."""

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.history import FAST_RATE, SLOW_RATE, VisibleHistory
from mtf_rl.core.tasks import TaskSet

__all__ = ["history_feature_names", "history_features", "mean_signals"]

_CLOCK_FEATURES = (
    "ln_requests",
    "first_request",
    "ln_elapsed_minutes",
    "ln_watch_minutes",
    "ln_last_watch_seconds",
    "repetition",
    "hour_sin",
    "hour_cos",
    "half_day_sin",
    "half_day_cos",
)


def history_feature_names(tasks: TaskSet) -> tuple[str, ...]:
    """Names of the columns of `history_features` for a log with these tasks."""
    paces = ("last", "fast", "slow")
    return (
        *_CLOCK_FEATURES,
        *(f"{pace}_{name}" for pace in paces for name in tasks.signal_names),
    )


def history_features(history: VisibleHistory) -> FloatArray:
    """Features of each session, (num_envs, features) float64; see `history_feature_names`."""
    num_signals = history.last.shape[1]
    angle = history.hours.astype(np.float64) * (2.0 * np.pi / 24.0)
    features = np.empty((len(history.requests), len(_CLOCK_FEATURES) + 3 * num_signals))
    columns = (
        np.log1p(history.requests),
        history.requests == 0,
        np.log1p(history.elapsed_seconds / 60.0),
        np.log1p(history.watch_seconds / 60.0),
        np.log1p(history.last_watch_seconds),
        history.repetition,
        np.sin(angle),
        np.cos(angle),
        np.sin(2.0 * angle),
        np.cos(2.0 * angle),
    )
    for index, column in enumerate(columns):
        features[:, index] = column
    fast, slow = mean_signals(history)
    signals = features[:, len(columns) :].reshape(-1, 3, num_signals)
    signals[:, 0] = history.last
    signals[:, 1] = fast
    signals[:, 2] = slow
    return features


def mean_signals(history: VisibleHistory) -> tuple[FloatArray, FloatArray]:
    """The fast and slow averages with bias correction: (num_envs, signals) each.

    A moving average at rate r that starts at zero has a total weight of 1 - (1 - r)^n after n
    requests.
    """
    requests = np.maximum(history.requests, 1).astype(np.float64)[:, None]
    fast = history.fast / (1.0 - (1.0 - FAST_RATE) ** requests)
    slow = history.slow / (1.0 - (1.0 - SLOW_RATE) ** requests)
    return fast, slow
