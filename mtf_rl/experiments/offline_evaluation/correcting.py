"""A simulator's answers, corrected by the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation import Interval, combined
from mtf_rl.evaluation.off_policy import composite_of, leverage_verdict
from mtf_rl.experiments.offline_evaluation.findings import Finding

__all__ = ["PolicyReplay", "simulated_findings"]

# Of sessions that are all alike, and in the place of a single one's, whose interval is infinite.
_LEAST_ERROR, _LARGEST_ERROR = 1e-9, 1e9
_SURE_SHARE = 0.1  # error over value, below which a value is surely above 0


@dataclass(frozen=True)
class PolicyReplay:
    """What simulator and log say of one policy, all in session reward."""

    policy: str
    played: Interval
    """The policy, in the simulator."""
    told: Interval
    """What `dm` tells of it from the log."""
    told_gain: Interval
    """The same over the log's own policies, in pairs."""
    replayed: Interval
    """What `dm` tells of it from the log's actions replayed in the simulator."""
    replayed_gain: Interval
    """The same over what those actions earn there, in pairs."""
    leverage: float | None


def simulated_findings(
    replays: Sequence[PolicyReplay],
    estimators: Sequence[str],
    *,
    own: Interval,
    own_replayed: Interval,
    confidence: float,
) -> list[Finding]:
    """Findings of some of simulator, scaled, corrected and composite.

    With S what a policy is worth in the simulator, D what dm tells of it from the log, D' what dm
    tells from the log's actions replayed in the simulator, O and O' what the log's own policies
    earned and what their actions earn in the replay:

    - `simulator`: S;
    - `scaled`: O + k (S - O'), k = O / O': S O / O', the simulator right but for one scale;
    - `corrected`: S + D - D'; the model's bias, about the same on both sides, is gone;
    - `composite`: `scaled` plus lambda (D - O - k (D' - O')), lambda by `composite_of` over the
      policies: as much of the log's departure from the scaled simulator as rises above its error,
      which is its noise and what dm gets wrong of the policy in the simulator, k |D' - S|.

    Where O or O' is not surely above 0 (an error of less than a tenth), k is 1. Errors of the parts
    are added as if independent, though O and D, and O' and D', are of the same sessions.

    Args:
        replays: of all policies.
        estimators: which of them.
        own: O.
        own_replayed: O'.
        confidence: of all intervals, given and made.
    """
    scaled = _Scaled.of(replays, own, own_replayed, confidence)
    makers: dict[str, Callable[[], list[Finding]]] = {
        "simulator": lambda: [_simulator(one, own_replayed) for one in replays],
        "scaled": scaled.findings,
        "corrected": lambda: [_corrected(one) for one in replays],
        "composite": scaled.composites,
    }
    found: list[Finding] = []
    for estimator in estimators:
        found += makers[estimator]()
    return found


def _simulator(replay: PolicyReplay, own_replayed: Interval) -> Finding:
    """The simulator's own answer."""
    gain = combined(replay.played, minus=[own_replayed])
    verdict = "as far as the simulator can be trusted"
    return Finding(replay.policy, "simulator", replay.played, gain, verdict)


def _corrected(replay: PolicyReplay) -> Finding:
    """Errors of the parts are added as if independent."""
    return Finding(
        replay.policy,
        "corrected",
        combined(replay.played, plus=[replay.told], minus=[replay.replayed]),
        combined(replay.played, plus=[replay.told_gain], minus=[replay.replayed]),
        leverage_verdict(replay.leverage),
        leverage=replay.leverage,
    )


@dataclass(frozen=True)
class _Scaled:
    """The simulator's gains over the log's own policies, times a scale; arrays are (policies,)."""

    replays: Sequence[PolicyReplay]
    confidence: float
    own: float
    scale: float
    """O / O', or 1 where one of them is not surely above 0: then the simulator is moved."""
    gains: FloatArray
    gain_errors: FloatArray
    value_errors: FloatArray

    @classmethod
    def of(
        cls,
        replays: Sequence[PolicyReplay],
        own: Interval,
        own_replayed: Interval,
        confidence: float,
    ) -> "_Scaled":
        (here, there), (here_error, there_error) = _figures([own, own_replayed], confidence)
        played, errors = _figures([one.played for one in replays], confidence)
        scales = here_error < _SURE_SHARE * here and there_error < _SURE_SHARE * there
        scale = here / there if scales else 1.0
        ratios = played / there if scales else np.ones_like(played)
        # Of O + scale (S - O'), by S, O' and O; errors are independent.
        simulated = scale**2 * (errors**2 + (ratios * there_error) ** 2)
        return cls(
            replays=replays,
            confidence=confidence,
            own=here,
            scale=scale,
            gains=scale * (played - there),
            gain_errors=np.sqrt(simulated + ((ratios - 1.0) * here_error) ** 2),
            value_errors=np.sqrt(simulated + (ratios * here_error) ** 2),
        )

    def findings(self) -> list[Finding]:
        """The scaled simulator."""
        nothing = np.zeros(len(self.replays))
        verdict = "as far as the simulator is right but for its scale"
        return self._findings("scaled", nothing, nothing, [verdict] * len(self.replays))

    def composites(self) -> list[Finding]:
        """With what is believed of the log's departures from it."""
        told, told_errors = self._figures_of("told_gain")
        replayed, replayed_errors = self._figures_of("replayed_gain")
        departures = told - self.scale * replayed  # the scale's own error is left out
        noise = np.hypot(told_errors, self.scale * replayed_errors)
        errors = np.maximum(np.hypot(noise, self._hidden_errors()), _LEAST_ERROR)
        believed = composite_of(departures, errors)
        verdicts = [
            f"{leverage_verdict(one.leverage)}, log believed {fraction:.0%}"
            for one, fraction in zip(self.replays, believed.fractions, strict=True)
        ]
        variances = believed.variance(errors)
        return self._findings("composite", believed.fractions * departures, variances, verdicts)

    def _hidden_errors(self) -> FloatArray:
        """How wrong dm is of each policy in the simulator, where the truth is known, beyond noise.

        What it gets wrong about the simulator it may get wrong about the log, and not by as much.
        """
        replayed, noise = self._figures_of("replayed")
        played, rng = self._figures_of("played")
        excess = np.maximum(0.0, (replayed - played) ** 2 - noise**2 - rng**2)
        found: FloatArray = self.scale * np.sqrt(excess)
        return found

    def _figures_of(self, what: str) -> tuple[FloatArray, FloatArray]:
        return _figures([getattr(one, what) for one in self.replays], self.confidence)

    def _findings(
        self, estimator: str, added: FloatArray, variances: FloatArray, verdicts: Sequence[str]
    ) -> list[Finding]:
        quantile, gains = _quantile(self.confidence), self.gains + added
        over = quantile * np.sqrt(self.gain_errors**2 + variances)
        whole = quantile * np.sqrt(self.value_errors**2 + variances)
        return [
            Finding(
                policy=replay.policy,
                estimator=estimator,
                value=_around(self.own + gains[position], whole[position]),
                gain=_around(gains[position], over[position]),
                verdict=verdicts[position],
                leverage=replay.leverage if estimator == "composite" else None,
            )
            for position, replay in enumerate(self.replays)
        ]


def _quantile(confidence: float) -> float:
    """Half an interval over the deviation of its error; sessions are too many for t to matter."""
    return float(stats.norm.ppf(0.5 + confidence / 2.0))


def _figures(intervals: Sequence[Interval], confidence: float) -> tuple[FloatArray, FloatArray]:
    """Means and deviations of their errors."""
    means = np.array([one.mean for one in intervals])
    halves = np.array([(one.high - one.low) / 2.0 for one in intervals])
    return means, np.minimum(halves / _quantile(confidence), _LARGEST_ERROR)


def _around(mean: float, half: float) -> Interval:
    return Interval(float(mean), float(mean - half), float(mean + half))
