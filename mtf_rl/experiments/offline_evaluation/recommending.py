"""Which policy the log speaks for, or why none."""

from dataclasses import dataclass

from scipy import stats

from mtf_rl.evaluation import Interval
from mtf_rl.experiments.offline_evaluation.config import RECOMMENDING
from mtf_rl.experiments.offline_evaluation.findings import OfflineEvaluation

__all__ = ["Recommendation", "recommendation_of"]


@dataclass(frozen=True)
class Recommendation:
    """A policy, or none, and the reason."""

    policy: str | None
    reason: str


def recommendation_of(evaluation: OfflineEvaluation) -> Recommendation:
    """The supported policy of the largest estimate, if it surely beats the log's own policies.

    The estimate is the recommended estimator's. Since the best of several is chosen, its interval
    over the log is widened to confidence 1 - (1 - confidence) / policies (Bonferroni).
    """
    config = evaluation.config
    estimator = config.recommended
    if estimator is None:
        return Recommendation(
            None,
            f"None: no estimator was asked for that may recommend; ask for one of"
            f" {', '.join(RECOMMENDING)} (--estimators).",
        )
    found = [evaluation.of(name, estimator) for name in evaluation.policies]
    supported = [one for one in found if one.supported]
    if not supported:
        return Recommendation(
            None, f"None: no policy's value is supported by this data. {found[0].verdict}."
        )
    best = supported[0]
    gain = _widened(best.gain, config.confidence, len(found))
    beyond = (
        f" ({found[0].policy} is estimated higher, but {found[0].verdict}.)"
        if found[0] is not best
        else ""
    )
    figures = (
        f"by {estimator} a session is worth {best.value.mean:.2f} [{best.value.low:.2f},"
        f" {best.value.high:.2f}], {gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] over the"
        f" log's own policies ({config.confidence:.0%}, widened for the best of {len(found)});"
        f" {best.verdict}"
    )
    if gain.low <= 0.0:
        return Recommendation(
            None,
            f"None: {best.policy} is the best supported, but not surely better than the log's own"
            f" policies: {figures}.{beyond}",
        )
    return Recommendation(best.policy, f"{best.policy}: {figures}.{beyond}")


def _widened(interval: Interval, confidence: float, policies: int) -> Interval:
    """The interval at Bonferroni's confidence, by the normal distribution's quantiles."""
    alpha = 1.0 - confidence
    factor = stats.norm.ppf(1.0 - alpha / 2.0 / policies) / stats.norm.ppf(1.0 - alpha / 2.0)
    low = interval.mean - factor * (interval.mean - interval.low)
    high = interval.mean + factor * (interval.high - interval.mean)
    return Interval(interval.mean, float(low), float(high))
