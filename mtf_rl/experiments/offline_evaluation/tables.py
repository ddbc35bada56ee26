"""The tables of an off-policy evaluation, as text cells."""

import math
from collections.abc import Iterable

from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import Support
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
from mtf_rl.experiments.tables import Table

__all__ = [
    "cell",
    "digits_for",
    "distribution_tables",
    "estimator_table",
    "recommended_tables",
    "support_table",
]

_SUPPORT = {
    Support.SUPPORTED: "yes",
    Support.WEAK: "weak",
    Support.NOT_SUPPORTED: "no",
    Support.NOT_CHECKED: "not checked",
}


def cell(interval: Interval, digits: int, *, signed: bool = False) -> str:
    """A value with its interval."""
    sign = "+" if signed else ""
    return (
        f"{interval.mean:{sign}.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    )


def digits_for(intervals: Iterable[Interval]) -> int:
    """Decimals that show two digits of the narrowest half-width, in [1, 4]."""
    halves = [(one.high - one.low) / 2.0 for one in intervals]
    known = [half for half in halves if math.isfinite(half) and half > 0.0]
    return min(4, max(1, 1 - math.floor(math.log10(min(known)) + 1e-9))) if known else 2


def recommended_tables(evaluation: OfflineEvaluation) -> list[Table]:
    """The estimator that orders policies: its values and gains, and its support."""
    ordering = evaluation.config.ordering
    return [estimator_table(evaluation, ordering), support_table(evaluation, ordering)]


def estimator_table(evaluation: OfflineEvaluation, estimator: str) -> Table:
    """All policies by one estimator, the largest value of the ordering estimator first."""
    confidence = evaluation.config.confidence
    found = [evaluation.of(name, estimator) for name in evaluation.policies]
    values = [one.value.interval(confidence) for one in found]
    digits = digits_for(values)
    return Table(
        title=f"Session reward by {estimator} ({_percent(confidence)} CI)",
        columns=("policy", "value", f"over {evaluation.reference_label}", "supported"),
        rows=tuple(
            (
                one.policy,
                cell(value, digits),
                _over_reference(one, evaluation, digits),
                _SUPPORT[one.check.support],
            )
            for one, value in zip(found, values, strict=True)
        ),
    )


def support_table(evaluation: OfflineEvaluation, estimator: str) -> Table:
    """Gains over the log's own policies, and the figure behind the support."""
    confidence = evaluation.config.confidence
    found = [evaluation.of(name, estimator) for name in evaluation.policies]
    gains = [one.gain.interval(confidence) for one in found]
    digits = digits_for(gains)
    return Table(
        title=f"Gain over the log's own policies and support, {estimator}",
        columns=("policy", "over the log", "support"),
        rows=tuple(
            (one.policy, cell(gain, digits, signed=True), _reason(one))
            for one, gain in zip(found, gains, strict=True)
        ),
    )


def distribution_tables(evaluation: OfflineEvaluation) -> list[Table]:
    """Quartiles of session reward, and the mean of the worst tenth."""
    if not evaluation.distributions:
        return []
    rows = tuple(
        (
            name,
            f"{found.mean:.2f}",
            f"{found.variance**0.5:.2f}",
            *(f"{found.quantile(fraction):.2f}" for fraction in (0.25, 0.5, 0.75)),
            f"{found.cvar(0.1):.2f}",
        )
        for name, found in evaluation.distributions.items()
    )
    return [
        Table(
            title="Distribution of session reward, by weights of whole sessions",
            columns=("policy", "mean", "std", "25 %", "50 %", "75 %", "CVaR 10 %"),
            rows=rows,
            note="CVaR 10 %: mean of the worst tenth. Policies without support are left out.",
        )
    ]


def _over_reference(found: Finding, evaluation: OfflineEvaluation, digits: int) -> str:
    if found.policy == evaluation.reference:
        return "reference"
    interval = found.over_reference.interval(evaluation.config.confidence)
    return cell(interval, digits, signed=True)


def _reason(found: Finding) -> str:
    if found.log_fraction is None:
        return found.check.reason
    return f"{found.check.reason}, log weight {100.0 * found.log_fraction:.0f} %"


def _percent(confidence: float) -> str:
    return f"{100.0 * confidence:g} %"
