"""Recommends a policy that the log supports, or gives the reason for none."""

from dataclasses import dataclass
from enum import Enum

from scipy import stats

from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import Estimate
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation

__all__ = ["Recommendation", "Refusal", "recommendation_of", "widened"]


class Refusal(Enum):
    """Why no policy is recommended."""

    NO_ESTIMATOR = "no requested estimator can recommend a policy"
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
    """The candidate with the largest value, if the data do not support it."""
    compared: int = 1
    """Number of compared candidates; the best one's intervals are widened for this number."""

    @property
    def policy(self) -> str | None:
        """The recommended policy."""
        return self.best.policy if self.best is not None and self.refusal is None else None


def recommendation_of(evaluation: OfflineEvaluation) -> Recommendation:
    """Recommend the supported candidate with the largest value, if its gain is significant.

    The recommending estimator provides the values. The intervals of the gain over the log's own
    policies and, if given, over production must be above 0, after they are `widened` for the best
    of several candidates.
    """
    config = evaluation.config
    estimator = config.recommending
    if estimator is None:
        return Recommendation(Refusal.NO_ESTIMATOR)
    findings = [
        evaluation.of(name, estimator)
        for name in evaluation.policies
        if name in evaluation.candidates
    ]
    supported = [finding for finding in findings if not finding.check.support.is_refusal]
    first, count = findings[0], len(findings)
    if not supported:
        return Recommendation(Refusal.NOT_SUPPORTED, passed_over=first, compared=count)
    best = supported[0]
    refusal = None
    if widened(best.gain, config.confidence, count).low <= 0.0:
        refusal = Refusal.NOT_BETTER_THAN_LOG
    elif evaluation.has_production and (
        widened(best.over_reference, config.confidence, count).low <= 0.0
    ):
        refusal = Refusal.NOT_BETTER_THAN_PRODUCTION
    return Recommendation(
        refusal, best, passed_over=None if best is first else first, compared=count
    )


def widened(estimate: Estimate, confidence: float, comparisons: int) -> Interval:
    """The interval for the best of several policies, by Bonferroni with normal quantiles.

    Half-widths are scaled from the normal quantile of `confidence` to that of
    1 - (1 - confidence) / comparisons, so that a bootstrap needs no far tails.
    """
    alpha = 1.0 - confidence
    factor = stats.norm.ppf(1.0 - alpha / 2.0 / comparisons) / stats.norm.ppf(1.0 - alpha / 2.0)
    interval = estimate.interval(confidence)
    low = interval.mean - factor * (interval.mean - interval.low)
    high = interval.mean + factor * (interval.high - interval.mean)
    return Interval(interval.mean, float(low), float(high))
