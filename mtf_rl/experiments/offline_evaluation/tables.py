"""The tables of an off-policy evaluation."""

from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import Support
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
from mtf_rl.experiments.tables import Cell, Column, Table

__all__ = ["distribution_tables", "estimator_table"]

_SUPPORT = {
    Support.SUPPORTED: "yes",
    Support.WEAK: "weak",
    Support.NOT_SUPPORTED: "no",
    Support.NOT_CHECKED: "not checked",
}


def estimator_table(evaluation: OfflineEvaluation, estimator: str) -> Table:
    """All policies by one estimator, in the order of the ordering estimator."""
    config = evaluation.config
    return Table(
        title=f"Session reward by {estimator}, {100.0 * config.confidence:g} % CI",
        columns=(
            "policy",
            Column("value"),
            Column(f"over {evaluation.reference_label}", signed=True, better=1),
            Column("over the log", signed=True, better=1),
            "supported",
            "reason",
        ),
        rows=tuple(
            _row(evaluation.of(name, estimator), evaluation) for name in evaluation.policies
        ),
    )


def distribution_tables(evaluation: OfflineEvaluation) -> list[Table]:
    """Mean, std and quartiles of session reward, and the mean of the worst 10 %."""
    if not evaluation.distributions:
        return []
    heads = ("mean", "std", "25 %", "50 %", "75 %", "CVaR 10 %")
    rows = tuple(
        (
            name,
            distribution.mean,
            distribution.variance**0.5,
            *(distribution.quantile(fraction) for fraction in (0.25, 0.5, 0.75)),
            distribution.cvar(0.1),
        )
        for name, distribution in evaluation.distributions.items()
    )
    return [
        Table(
            title="Distribution of session reward, by weights of whole sessions",
            columns=("policy", *(Column(head, decimals=2) for head in heads)),
            rows=rows,
            note="CVaR 10 %: mean of the worst 10 %. Policies without support are omitted.",
        )
    ]


def _row(finding: Finding, evaluation: OfflineEvaluation) -> tuple[Cell, ...]:
    value, gain, over = (
        estimate.interval(evaluation.config.confidence)
        for estimate in (finding.value, finding.gain, finding.over_reference)
    )
    reference: Interval | str = "reference" if finding.policy == evaluation.reference else over
    support = _SUPPORT[finding.check.support]
    return finding.policy, value, reference, gain, support, _reason(finding)


def _reason(finding: Finding) -> str:
    if finding.log_fraction is None:
        return finding.check.reason
    return f"{finding.check.reason}, log weight {100.0 * finding.log_fraction:.0f} %"
