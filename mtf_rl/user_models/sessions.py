"""Leaving, pausing and returning: the protocols of these parts, and the fitted parts."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit
from typing_extensions import override

from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.history import VisibleHistory
from mtf_rl.user_models.array_records import ArrayRecord
from mtf_rl.user_models.networks import SessionNetwork, Standardiser, round_to_grid
from mtf_rl.user_models.play import slice_means
from mtf_rl.user_models.session_features import history_features
from mtf_rl.user_models.traces import SessionTrace, trace_features

__all__ = [
    "MAX_PAUSE_SECONDS",
    "MIN_PAUSE_SECONDS",
    "FittedLeaving",
    "FittedPausing",
    "FittedReturning",
    "Leaving",
    "Pausing",
    "Returning",
    "log_gap",
    "pause_features",
    "session_features",
]

MIN_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 1800.0
NUM_PAUSE_BUCKETS = 8
NUM_PAUSE_SLICES = 128
PAUSE_KNOTS_SECONDS = (5.0, 15.0, 45.0, 120.0, 300.0)
PAUSE_RIDGE = 1.0


class Leaving(Protocol):
    """Probability of leaving the session after a request."""

    def leave_probability(
        self, users: IntArray, history: VisibleHistory, trace: SessionTrace
    ) -> FloatArray:
        """(num_envs,) in [0, 1]; `history` and `trace` include the latest slate."""
        ...


class Pausing(Protocol):
    """Time until the next request of users who stay."""

    def pause_seconds(self, history: VisibleHistory, uniforms: FloatArray) -> FloatArray:
        """Seconds (num_envs,) in [1, 1800], non-decreasing in `uniforms` (num_envs,)."""
        ...


class Returning(Protocol):
    """Probabilities of being active again on later days."""

    def return_probabilities(
        self, users: IntArray, history: VisibleHistory, trace: SessionTrace
    ) -> FloatArray:
        """(num_envs, 2): for the next day, and for each later day if not active before it."""
        ...


@dataclass(frozen=True)
class FittedLeaving(ArrayRecord, Leaving):
    """A discrete-time hazard: the probability that a request is the session's last."""

    network: SessionNetwork

    @override
    def leave_probability(
        self, users: IntArray, history: VisibleHistory, trace: SessionTrace
    ) -> FloatArray:
        logits = self.network.logits(users, session_features(history, trace))  # (num_envs, 1)
        return np.asarray(expit(logits[:, 0]))


@dataclass(frozen=True)
class FittedReturning(ArrayRecord, Returning):
    """A hazard over days: depends on user and session for the next day, constant afterwards."""

    network: SessionNetwork
    later_day_probability: FloatArray  # (), in (0, 1)

    @override
    def return_probabilities(
        self, users: IntArray, history: VisibleHistory, trace: SessionTrace
    ) -> FloatArray:
        logits = self.network.logits(users, session_features(history, trace))  # (num_envs, 1)
        next_day = expit(logits[:, 0])
        return np.stack([next_day, np.full_like(next_day, self.later_day_probability)], axis=1)


@dataclass(frozen=True)
class FittedPausing(ArrayRecord, Pausing):
    """A linear regression of the log gap, with the empirical distribution of its residuals."""

    features: Standardiser
    weights: FloatArray  # (features,)
    bias: FloatArray  # ()
    edges: FloatArray  # (buckets - 1,), bucket edges of the predicted log gap
    residuals: FloatArray  # (buckets, slices), quantile function of the residual per bucket
    std: FloatArray  # (), std of all residuals, for the reported likelihood

    @classmethod
    def fit(cls, history: VisibleHistory, gap_seconds: FloatArray) -> "FittedPausing":
        """Fit the regression of logged gaps (rows,) on the history before each gap."""
        raw = pause_features(history)
        features = Standardiser.fit(raw)
        inputs = features(raw)
        target = log_gap(gap_seconds)
        bias = target.mean()
        gram = inputs.T @ inputs + PAUSE_RIDGE * np.eye(inputs.shape[1])
        weights = np.linalg.solve(gram, inputs.T @ (target - bias))
        predicted = round_to_grid(inputs @ weights + bias)
        residual = target - predicted
        fractions = np.linspace(0.0, 1.0, NUM_PAUSE_BUCKETS + 1)[1:-1]
        edges = np.quantile(predicted, fractions)
        buckets = np.searchsorted(edges, predicted)
        table = np.stack(
            [
                slice_means(
                    residual[buckets == bucket],
                    NUM_PAUSE_SLICES,
                    empty=np.zeros(NUM_PAUSE_SLICES),
                )
                for bucket in range(NUM_PAUSE_BUCKETS)
            ]
        )
        return cls(features, weights, bias, edges, table, residual.std())

    def predict(self, history: VisibleHistory) -> FloatArray:
        """The predicted mean of ln(gap seconds), (num_envs,)."""
        return round_to_grid(self.features(pause_features(history)) @ self.weights + self.bias)

    @override
    def pause_seconds(self, history: VisibleHistory, uniforms: FloatArray) -> FloatArray:
        predicted = self.predict(history)
        buckets = np.searchsorted(self.edges, predicted)
        slices = (uniforms * NUM_PAUSE_SLICES).astype(np.int64)
        gap = np.exp(predicted + self.residuals[buckets, slices])
        return np.clip(gap, MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS)


def session_features(history: VisibleHistory, trace: SessionTrace) -> FloatArray:
    """Session features for leaving and returning, (num_envs, features) float64."""
    return np.concatenate([history_features(history), trace_features(trace)], axis=1)


def log_gap(gap_seconds: FloatArray) -> FloatArray:
    """Logarithm of gaps in seconds, clipped to [1, 1800]."""
    logarithm: FloatArray = np.log(np.clip(gap_seconds, MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS))
    return logarithm


def pause_features(history: VisibleHistory) -> FloatArray:
    """History features and hinge functions of the last slate's play time: (num_envs, features)."""
    watched = np.log1p(history.last_watch_seconds.astype(np.float64))[:, None]
    hinges = np.maximum(watched - np.log1p(PAUSE_KNOTS_SECONDS), 0.0)  # (num_envs, knots)
    return np.concatenate([history_features(history), hinges], axis=1)
