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

# Bounds of errors: of sessions that are all alike, and of a single session, whose error is unknown.
_MIN_ERROR, _MAX_ERROR = 1e-9, 1e9
_SURE_FRACTION = 0.1  # error over value, below which a value is clearly above 0


@dataclass(frozen=True)
class SampleMeans:
    """A sum of means over up to three independent samples of sessions, and of a shift.

    The samples are the log, the policy played in the simulator, and the log's actions replayed
    there. All policies share the samples, so that `minus` pairs their sessions.
    """

    logged: FloatArray | None = None  # (logged sessions,)
    played: FloatArray | None = None  # (played sessions,), on common random numbers
    replayed: FloatArray | None = None  # (replayed sessions,)
    shift: float = 0.0
    variance: float = 0.0
    """Variance of the shift, independent of the samples."""

    @property
    def estimate(self) -> Estimate:
        """The sum, with the errors of its independent parts; the fewest degrees of freedom."""
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
        """The difference, paired by session; errors of shifts are added as if independent.

        Policies with the same values in every session act alike, and differ by exactly 0.
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
    """One policy in the simulator, and its `dm` estimates from the log and from the replay.

    Each array holds what every session adds to a mean, in session reward.
    """

    played: FloatArray  # (played sessions,), S: rewards of the policy in the simulator
    logged: FloatArray  # (logged sessions,), D: dm from the log
    replayed: FloatArray  # (replayed sessions,), D': dm from the replay of the log's actions


@dataclass(frozen=True)
class SimulatorComparison:
    """Policies in a simulator and in a log, beside the log's own policies in both."""

    replays: Sequence[PolicyReplay]
    own: FloatArray  # (logged sessions,), O: session reward of the log's own policies
    own_replayed: FloatArray  # (replayed sessions,), O': session reward of their actions replayed
    pooled: int | None = None
    """The first so many policies tell how large departures are (see `composite_estimates`); by
    default all. A reference policy that only serves for differences comes after them."""


@dataclass(frozen=True)
class SimulatorEstimate:
    """The value of one policy, and its gain over the log's own policies."""

    value: SampleMeans
    gain: SampleMeans
    log_fraction: float | None = None
    """lambda, in [0, 1]: weight of the log's departure from the scaled simulator."""


def simulator_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """S, and S - O': the simulator alone."""
    return [
        SimulatorEstimate(
            value=SampleMeans(played=one.played),
            gain=SampleMeans(played=one.played, replayed=-comparison.own_replayed),
        )
        for one in comparison.replays
    ]


def corrected_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """S + D - D', and S + (D - O) - D': the bias of dm, about the same in D and D', cancels."""
    return [
        SimulatorEstimate(
            value=SampleMeans(one.logged, one.played, -one.replayed),
            gain=SampleMeans(one.logged - comparison.own, one.played, -one.replayed),
        )
        for one in comparison.replays
    ]


def scaled_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """O + k (S - O'), k = O / O', which is S O / O': a simulator that is wrong by one scale.

    Where O or O' is not clearly above 0 (an error of less than a tenth), k is 1. Errors are those
    of the linearised ratio: (S / O') O + k S - k (S / O') O'. Each sample's term has the mean of
    its part.
    """
    scale, is_scaled = _scale_of(comparison)
    estimates = []
    for one in comparison.replays:
        ratio = float(one.played.mean() / comparison.own_replayed.mean()) if is_scaled else 1.0
        played, replayed = scale * one.played, -scale * ratio * comparison.own_replayed
        estimates.append(
            SimulatorEstimate(
                value=SampleMeans(ratio * comparison.own, played, replayed),
                gain=SampleMeans((ratio - 1.0) * comparison.own, played, replayed),
            )
        )
    return estimates


def composite_estimates(comparison: SimulatorComparison) -> list[SimulatorEstimate]:
    """`scaled_estimates` plus lambda (D - O - k (D' - O')): empirical-Bayes shrinkage.

    lambda comes from `composite_of` over the pooled policies. The error of a departure has two
    parts: its noise, and the error that dm makes for the policy in the simulator, k |D' - S| beyond
    noise. The error of k is left out of it.
    """
    scale, _ = _scale_of(comparison)
    told = [mean_estimate(one.logged - comparison.own) for one in comparison.replays]
    replayed = [mean_estimate(one.replayed - comparison.own_replayed) for one in comparison.replays]
    departures = np.array(
        [here.value - scale * there.value for here, there in zip(told, replayed, strict=True)]
    )
    noise = np.array(
        [
            np.hypot(_finite(here.stderr), scale * _finite(there.stderr))
            for here, there in zip(told, replayed, strict=True)
        ]
    )
    hidden = np.array([scale * _hidden_error(one) for one in comparison.replays])
    errors = np.maximum(np.hypot(noise, hidden), _MIN_ERROR)
    pooled = slice(None, comparison.pooled)
    spread = composite_of(departures[pooled], errors[pooled]).spread
    fractions = np.ones_like(errors)
    if np.isfinite(spread):
        fractions = spread**2 / (spread**2 + errors**2)
    variances = fractions * errors**2  # Mean squared error of lambda d; see `Composite.variance`.
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
    """k, and whether it is O / O'."""
    here, there = mean_estimate(comparison.own), mean_estimate(comparison.own_replayed)
    is_scaled = all(_finite(one.stderr) < _SURE_FRACTION * one.value for one in (here, there))
    return (here.value / there.value if is_scaled else 1.0), is_scaled


def _hidden_error(replay: PolicyReplay) -> float:
    """Error of dm for the policy in the simulator, where the value is known, beyond noise."""
    replayed, played = mean_estimate(replay.replayed), mean_estimate(replay.played)
    noise = _finite(replayed.stderr) ** 2 + _finite(played.stderr) ** 2
    return float(np.sqrt(max(0.0, (replayed.value - played.value) ** 2 - noise)))


def _finite(error: float) -> float:
    return min(error, _MAX_ERROR)


def _shifted(means: SampleMeans, shift: float, variance: float) -> SampleMeans:
    return SampleMeans(means.logged, means.played, means.replayed, float(shift), float(variance))
