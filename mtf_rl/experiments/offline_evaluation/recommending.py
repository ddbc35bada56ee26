"""Which policy the log supports, or why none."""

from dataclasses import dataclass
from enum import Enum

from scipy import stats

from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import Estimate
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation

__all__ = ["Recommendation", "Refusal", "recommendation_of", "widened"]


class Refusal(Enum):
    """Why no policy is recommended."""

    NO_ESTIMATOR = "no requested estimator may recommend"
    NOT_SUPPORTED = "the data support no policy's value"
    NOT_BETTER_THAN_LOG = "the gain over the log's own policies is not significant"
    NOT_BETTER_THAN_PRODUCTION = "the gain over production is not significant"


@dataclass(frozen=True)
class Recommendation:
    """A policy, or the reason for none."""

    refusal: Refusal | None
    """None if the best policy is recommended."""
    best: Finding | None = None
    """The supported candidate with the largest value; None if there is none."""
    passed_over: Finding | None = None
    """The candidate with the largest value, where the data do not support it."""
    compared: int = 1
    """Candidates among which the best was chosen; its intervals are widened for so many."""

    @property
    def policy(self) -> str | None:
        """The recommended policy."""
        return self.best.policy if self.best is not None and self.refusal is None else None


def recommendation_of(evaluation: OfflineEvaluation) -> Recommendation:
    """The supported candidate of the largest value, if its gain is significant.

    The estimate is the recommending estimator's. The gain over the log's own policies must be
    above 0, and over production where production was given; both with intervals that are `widened`
    for the best of several candidates.
    """
    config = evaluation.config
    estimator = config.recommending
    if estimator is None:
        return Recommendation(Refusal.NO_ESTIMATOR)
    found = [
        evaluation.of(name, estimator)
        for name in evaluation.policies
        if name in evaluation.candidates
    ]
    supported = [one for one in found if not one.check.support.is_refusal]
    first = found[0]
    if not supported:
        return Recommendation(Refusal.NOT_SUPPORTED, passed_over=first, compared=len(found))
    best = supported[0]
    refusal = None
    if widened(best.gain, config.confidence, len(found)).low <= 0.0:
        refusal = Refusal.NOT_BETTER_THAN_LOG
    elif evaluation.has_production and (
        widened(best.over_reference, config.confidence, len(found)).low <= 0.0
    ):
        refusal = Refusal.NOT_BETTER_THAN_PRODUCTION
    return Recommendation(
        refusal, best, passed_over=None if best is first else first, compared=len(found)
    )


def widened(estimate: Estimate, confidence: float, comparisons: int) -> Interval:
    """The interval for the best of several policies: Bonferroni, by normal quantiles.

    Half-widths grow from the quantile of `confidence` to that of 1 - (1 - confidence) /
    comparisons, so that a bootstrap needs no resamples in the far tails.
    """
    alpha = 1.0 - confidence
    factor = stats.norm.ppf(1.0 - alpha / 2.0 / comparisons) / stats.norm.ppf(1.0 - alpha / 2.0)
    interval = estimate.interval(confidence)
    low = interval.mean - factor * (interval.mean - interval.low)
    high = interval.mean + factor * (interval.high - interval.mean)
    return Interval(interval.mean, float(low), float(high))
