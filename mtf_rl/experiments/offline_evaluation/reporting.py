"""Reports an off-policy evaluation: the answer, tables, files and pictures."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from mtf_rl.core.errors import RunFolderError
from mtf_rl.core.files import replace_atomically, save_json
from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import Estimate
from mtf_rl.experiments.answer import say_wrapped
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation.config import OfflineConfig
from mtf_rl.experiments.offline_evaluation.estimators import RECOMMENDING
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
from mtf_rl.experiments.offline_evaluation.pictures import pictures_of
from mtf_rl.experiments.offline_evaluation.recommending import (
    Recommendation,
    Refusal,
    recommendation_of,
    widened,
)
from mtf_rl.experiments.offline_evaluation.tables import distribution_tables, estimator_table
from mtf_rl.experiments.pictures import save_figure
from mtf_rl.experiments.run_folder import write_table
from mtf_rl.experiments.settings import settings_to_json
from mtf_rl.experiments.tables import Table, show

__all__ = ["answer_of", "check_free_for_results", "report", "tables_of"]


def report(evaluation: OfflineEvaluation, terminal: Terminal) -> Path:
    """Print the answer and the ordering estimator's table; write all results.

    With `--all` the tables of all estimators are printed too.

    Returns:
        The folder.
    """
    folder = evaluation.config.folder
    check_free_for_results(evaluation.config)
    recommendation = recommendation_of(evaluation)
    answer = answer_of(evaluation, recommendation)
    _write(evaluation, recommendation, answer, folder)
    say_wrapped([answer], terminal)
    is_all = evaluation.config.all
    ordering = estimator_table(evaluation, evaluation.config.ordering)
    for table in tables_of(evaluation) if is_all else [ordering]:
        show(table, terminal)
    terminal.say("")
    say_wrapped([summary_of(evaluation)], terminal)
    if not is_all:
        terminal.say("Print the tables of all estimators with --all.")
    say_wrapped(
        [
            f"Written to {folder}: evaluation.csv, .json, .md; recommendation.json; pictures.",
            f"TensorBoard: tensorboard --logdir {folder / 'tensorboard'}",
        ],
        terminal,
    )
    return folder


def check_free_for_results(config: OfflineConfig) -> None:
    """Refuse a folder with other files than those of an earlier off-policy evaluation.

    Raises:
        RunFolderError: if there are other files.
    """
    folder = config.folder
    is_earlier = (folder / "recommendation.json").exists()
    if folder.exists() and any(folder.iterdir()) and not is_earlier:
        raise RunFolderError(
            f"{folder} holds other files; choose another --out. Only an earlier off-policy"
            " evaluation is overwritten"
        )


def answer_of(evaluation: OfflineEvaluation, recommendation: Recommendation) -> str:
    """The recommendation or its refusal, with the gain over the reference, in a few sentences."""
    best, above = recommendation.best, recommendation.passed_over
    if recommendation.refusal is Refusal.NO_ESTIMATOR:
        return (
            f"No policy is recommended: {recommendation.refusal.value}. Request one of"
            f" {', '.join(RECOMMENDING)} (--estimators)."
        )
    if best is None:
        assert above is not None
        return (
            "No policy is recommended: the data support no policy's value. The largest estimate is"
            f" that of {above.policy}, {above.check.text}."
        )
    gains = _gains(evaluation, recommendation, best)
    beyond = (
        f" {above.policy} has a larger estimate, but it is {above.check.text}."
        if above is not None
        else ""
    )
    if recommendation.refusal is None:
        lead = f"Recommended: {best.policy}, which {gains}"
    else:
        lead = (
            f"No policy is recommended: {recommendation.refusal.value}. The best supported policy,"
            f" {best.policy}, {gains}"
        )
    return f"{lead}. Estimated by {best.estimator}, {best.check.text}.{beyond}"


def _gains(evaluation: OfflineEvaluation, recommendation: Recommendation, best: Finding) -> str:
    """Both gains of the best policy, with intervals widened for the number of candidates."""
    config, count = evaluation.config, recommendation.compared
    over, log = (widened(one, config.confidence, count) for one in (best.over_reference, best.gain))
    digits = _digits([over, log])
    chosen = f", widened for the best of {count}" if count > 1 else ""
    interval = f"({100.0 * config.confidence:g} % CI{chosen})"
    over_log = f"{_cell(log, digits, signed=True)} over the log's own policies {interval}"
    if best.policy == evaluation.reference:
        return f"has {evaluation.reference_label} and gains {over_log}"
    return (
        f"gains {_cell(over, digits, signed=True)} reward per session over"
        f" {evaluation.reference_label} and {over_log}"
    )


def summary_of(evaluation: OfflineEvaluation) -> str:
    """Sentences on the log and on the intervals."""
    config = evaluation.config
    own = evaluation.logged.interval(config.confidence)
    return (
        f"The log has {evaluation.sessions:,} sessions ({evaluation.requests:,} requests) answered"
        f" by {evaluation.evaluator}; its own policies earned {_cell(own, _digits([own]))} per"
        f" session. Intervals are over sessions ({config.interval}; t for simulated policies). They"
        " do not cover errors of a misspecified model of Q."
    )


def tables_of(evaluation: OfflineEvaluation) -> list[Table]:
    """One table for each estimator, and the distributions of session reward."""
    estimates = [estimator_table(evaluation, estimator) for estimator in evaluation.config.asked]
    return [*estimates, *distribution_tables(evaluation)]


def _cell(interval: Interval, digits: int, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return (
        f"{interval.mean:{sign}.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    )


def _digits(intervals: Sequence[Interval]) -> int:
    """Decimals that show two digits of the narrowest half-width, in [1, 4]."""
    halves = [(one.high - one.low) / 2.0 for one in intervals]
    known = [half for half in halves if math.isfinite(half) and half > 0.0]
    return min(4, max(1, 1 - math.floor(math.log10(min(known)) + 1e-9))) if known else 2


def _write(
    evaluation: OfflineEvaluation, recommendation: Recommendation, answer: str, folder: Path
) -> None:
    page = [
        f"# Off-policy evaluation on {evaluation.config.data.name}",
        answer,
        summary_of(evaluation),
        *(table.to_markdown() for table in tables_of(evaluation)),
    ]
    replace_atomically(folder / "evaluation.md", ("\n\n".join(page) + "\n").encode())
    confidence = evaluation.config.confidence
    write_table(folder / "evaluation", [_record(one, confidence) for one in evaluation.findings])
    best = recommendation.best
    save_json(
        folder / "recommendation.json",
        {
            "policy": recommendation.policy,
            "refusal": None if recommendation.refusal is None else recommendation.refusal.name,
            "reason": answer,
            "estimator": evaluation.config.ordering,
            "reference": evaluation.reference,
            "compared": recommendation.compared,
            "best": None if best is None else _record(best, confidence),
            "settings": settings_to_json(evaluation.config),
        },
    )
    pictures = pictures_of(evaluation)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for name, figure in pictures.items():
            save_figure(figure, folder / f"{name}.png")
            writer.add_figure(f"offline/{name}", figure, close=False)
        for finding in evaluation.findings:
            writer.add_scalar(f"offline/{finding.policy}/{finding.estimator}", finding.value.value)


def _record(finding: Finding, confidence: float) -> dict[str, Any]:
    """A finding as a row of evaluation.csv."""
    weights = finding.weights
    return {
        "policy": finding.policy,
        "estimator": finding.estimator,
        **_numbers("value", finding.value, confidence),
        **_numbers("gain", finding.gain, confidence),
        **_numbers("over_reference", finding.over_reference, confidence),
        "effective_sessions": None if weights is None else weights.effective,
        "largest_weight": None if weights is None else weights.largest,
        "zero_weights": None if weights is None else weights.zero,
        "mean_weight": None if weights is None else weights.mass,
        "leverage": finding.leverage,
        "log_weight": finding.log_fraction,
        "support": finding.check.support.name.lower(),
        "reason": finding.check.reason,
    }


def _numbers(name: str, estimate: Estimate, confidence: float) -> dict[str, float]:
    interval: Interval = estimate.interval(confidence)
    return {
        name: estimate.value,
        f"{name}_stderr": estimate.stderr,
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }
