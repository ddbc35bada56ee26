"""Estimates of policies' values that combine a simulator with a log."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.off_policy.composite import composite_of
from mtf_rl.evaluation.off_policy.estimate import Estimate
from mtf_rl.evaluation.off_policy.sums import mean_estimate

__all__ = [
    "PolicyReplay",
    "SampleMeans",
    "SimulatorComparison",
    "SimulatorEstimate",
    "composite_estimates",
    "corrected_estimates",
    "scaled_estimates",
    "simulator_estimates",
]

# Bounds of standard errors: identical sessions have error 0, a single session an infinite one.
_MIN_ERROR, _MAX_ERROR = 1e-9, 1e9
_MAX_RELATIVE_ERROR = 0.1  # standard error over value, below which a value can be a denominator


@dataclass(frozen=True)
class SampleMeans:
    """A sum of means over up to three independent samples of sessions, plus a shift.

    The samples are the log, rollouts of the policy in the simulator, and rollouts of the logged
    actions in the simulator. All policies use the same samples, so `minus` pairs their sessions.
    """

    logged: FloatArray | None = None  # (logged sessions,)
    played: FloatArray | None = None  # (played sessions,), on common random numbers
    replayed: FloatArray | None = None  # (replayed sessions,)
    shift: float = 0.0
    variance: float = 0.0
    """Variance of the shift, independent of the samples."""

    @property
    def estimate(self) -> Estimate:
        """The sum with the combined error of its parts, and their minimum degrees of freedom."""
        parts = [
            mean_estimate(sample)
            for sample in (self.logged, self.played, self.replayed)
            if sample is not None
        ]
        variance = sum(part.stderr**2 for part in parts) + self.variance
        return Estimate(
            value=sum(part.value for part in parts) + self.shift,
            stderr=float(np.sqrt(variance)),
            degrees=min((part.degrees for part in parts), default=np.inf),
        )

    def minus(self, other: "SampleMeans") -> "SampleMeans":
        """The difference, paired by session; errors of shifts are treated as independent.

        Two policies with equal values in every session differ by exactly 0.
        """
        logged, played, replayed = (
            _difference(first, second)
            for first, second in (
                (self.logged, other.logged),
                (self.played, other.played),
                (self.replayed, other.replayed),
            )
        )
        parts = [part for part in (logged, played, replayed) if part is not None]
        shift = self.shift - other.shift
        is_same = shift == 0.0 and not any(part.any() for part in parts)
        variance = 0.0 if is_same else self.variance + other.variance
        return SampleMeans(logged, played, replayed, shift, variance)


def _difference(first: FloatArray | None, second: FloatArray | None) -> FloatArray | None:
    if second is None:
        return first
    difference: FloatArray = -second if first is None else first - second
    return difference


@dataclass(frozen=True)
class PolicyReplay:
    """One policy's rollouts in the simulator, and its `dm` estimates from log and replay.

    Each array holds one term per session, in session reward; the estimate is the array's mean.
    """

    played: FloatArray  # (played sessions,), S: rewards of the policy in the simulator
    logged: FloatArray  # (logged sessions,), D: dm from the log
    replayed: FloatArray  # (replayed sessions,), D': dm from the replay of the log's actions


@dataclass(frozen=True)
class SimulatorComparison:
    """Results of all policies, and of the behaviour policy, in the simulator and in the log."""

    replays: Sequence[PolicyReplay]
    own: FloatArray  # (logged sessions,), O: session reward of the behaviour policy
    own_replayed: FloatArray  # (replayed sessions,), O': session reward of its actions, replayed
    pooled: int | None = None
    """Number of policies that estimate the variance of departures (see `composite_estimates`): the
    first ones; None for all. Put a policy that is only a reference for differences after them."""


@dataclass(frozen=True)
class SimulatorEstimate:
    """The value of one policy, and its gain over the behaviour policy."""

    value: SampleMeans
    gain: SampleMeans
    log_fraction: float | None = None
    """lambda, in [0, 1]: weight of the log's departure from the scaled simulator; None if the
    estimator has no such weight."""


def simulator_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """S, and S - O': the simulator alone."""
    return [
        SimulatorEstimate(
            value=SampleMeans(played=policy.played),
            gain=SampleMeans(played=policy.played, replayed=-comparison.own_replayed),
        )
        for policy in comparison.replays
    ]


def corrected_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """S + D - D', and S + (D - O) - D'. The bias of dm is similar in D and D', so it cancels."""
    return [
        SimulatorEstimate(
            value=SampleMeans(policy.logged, policy.played, -policy.replayed),
            gain=SampleMeans(policy.logged - comparison.own, policy.played, -policy.replayed),
        )
        for policy in comparison.replays
    ]


def scaled_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """O + k (S - O') with k = O / O', which equals S O / O'.

    It assumes that the simulator is wrong by one scale factor. k is 1 unless the standard errors
    of O and O' are below a tenth of their values. Errors are those of the linearised ratio,
    (S / O') O + k S - k (S / O') O', one term per sample.
    """
    scale, is_scaled = _scale_of(comparison)
    estimates = []
    for policy in comparison.replays:
        ratio = float(policy.played.mean() / comparison.own_replayed.mean()) if is_scaled else 1.0
        played, replayed = scale * policy.played, -scale * ratio * comparison.own_replayed
        estimates.append(
            SimulatorEstimate(
                value=SampleMeans(ratio * comparison.own, played, replayed),
                gain=SampleMeans((ratio - 1.0) * comparison.own, played, replayed),
            )
        )
    return estimates


def composite_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """`scaled_estimates` plus lambda (D - O - k (D' - O')): empirical-Bayes shrinkage.

    `composite_of` estimates lambda from the pooled policies. The error of a departure has two
    parts: sampling noise, and the error of dm for the policy in the simulator, k |D' - S| beyond
    noise. The error of k is not included.
    """
    scale, _ = _scale_of(comparison)
    logged = [mean_estimate(policy.logged - comparison.own) for policy in comparison.replays]
    replayed = [
        mean_estimate(policy.replayed - comparison.own_replayed) for policy in comparison.replays
    ]
    departures = np.array(
        [log.value - scale * replay.value for log, replay in zip(logged, replayed, strict=True)]
    )
    noise = np.array(
        [
            np.hypot(_finite(log.stderr), scale * _finite(replay.stderr))
            for log, replay in zip(logged, replayed, strict=True)
        ]
    )
    model_errors = np.array([scale * _model_error(policy) for policy in comparison.replays])
    errors = np.maximum(np.hypot(noise, model_errors), _MIN_ERROR)
    pooled = slice(None, comparison.pooled)
    spread = composite_of(departures[pooled], errors[pooled]).spread
    fractions = np.ones_like(errors)
    if np.isfinite(spread):
        fractions = spread**2 / (spread**2 + errors**2)
    variances = fractions * errors**2  # mean squared error of lambda d; see `Composite.variance`
    return [
        SimulatorEstimate(
            value=_shifted(scaled.value, shift, variance),
            gain=_shifted(scaled.gain, shift, variance),
            log_fraction=float(fraction),
        )
        for scaled, shift, variance, fraction in zip(
            scaled_estimates(comparison),
            fractions * departures,
            variances,
            fractions,
            strict=True,
        )
    ]


def _scale_of(comparison: SimulatorComparison) -> tuple[float, bool]:
    """k, and whether it is O / O'; otherwise k is 1."""
    logged, replayed = mean_estimate(comparison.own), mean_estimate(comparison.own_replayed)
    is_scaled = all(
        _finite(mean.stderr) < _MAX_RELATIVE_ERROR * mean.value for mean in (logged, replayed)
    )
    return (logged.value / replayed.value if is_scaled else 1.0), is_scaled


def _model_error(replay: PolicyReplay) -> float:
    """Error of dm for the policy in the simulator, beyond noise; rollouts give the value there."""
    replayed, played = mean_estimate(replay.replayed), mean_estimate(replay.played)
    noise = _finite(replayed.stderr) ** 2 + _finite(played.stderr) ** 2
    return float(np.sqrt(max(0.0, (replayed.value - played.value) ** 2 - noise)))


def _finite(error: float) -> float:
    return min(error, _MAX_ERROR)


def _shifted(means: SampleMeans, shift: float, variance: float) -> SampleMeans:
    return SampleMeans(means.logged, means.played, means.replayed, float(shift), float(variance))
