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
    """All policies by one estimator, the largest value of the ordering estimator first."""
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
    """Quartiles of session reward, and the mean of the worst tenth."""
    if not evaluation.distributions:
        return []
    heads = ("mean", "std", "25 %", "50 %", "75 %", "CVaR 10 %")
    rows = tuple(
        (
            name,
            found.mean,
            found.variance**0.5,
            *(found.quantile(fraction) for fraction in (0.25, 0.5, 0.75)),
            found.cvar(0.1),
        )
        for name, found in evaluation.distributions.items()
    )
    return [
        Table(
            title="Distribution of session reward, by weights of whole sessions",
            columns=("policy", *(Column(head, decimals=2) for head in heads)),
            rows=rows,
            note="CVaR 10 %: mean of the worst tenth. Policies without support are left out.",
        )
    ]


def _row(found: Finding, evaluation: OfflineEvaluation) -> tuple[Cell, ...]:
    value, gain, over = (
        one.interval(evaluation.config.confidence)
        for one in (found.value, found.gain, found.over_reference)
    )
    reference: Interval | str = "reference" if found.policy == evaluation.reference else over
    return found.policy, value, reference, gain, _SUPPORT[found.check.support], _reason(found)


def _reason(found: Finding) -> str:
    if found.log_fraction is None:
        return found.check.reason
    return f"{found.check.reason}, log weight {100.0 * found.log_fraction:.0f} %"
