"""What an offline evaluation leaves behind."""

import shutil
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from mtf_rl.core.errors import RunFolderError
from mtf_rl.core.files import replace_atomically, save_json
from mtf_rl.evaluation import Interval
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.offline_evaluation.config import OfflineConfig
from mtf_rl.experiments.offline_evaluation.findings import Finding, OfflineEvaluation
from mtf_rl.experiments.offline_evaluation.pictures import pictures_of
from mtf_rl.experiments.offline_evaluation.recommending import recommendation_of
from mtf_rl.experiments.pictures import save_figure
from mtf_rl.experiments.run_folder import write_table
from mtf_rl.experiments.settings import settings_to_json
from mtf_rl.experiments.tables import Table

__all__ = ["check_free_for_results", "report", "tables_of"]


def report(evaluation: OfflineEvaluation, terminal: Terminal) -> Path:
    """Print tables and the recommendation; write them, pictures and events of TensorBoard.

    Returns:
        The folder.
    """
    folder = evaluation.config.folder
    check_free_for_results(evaluation.config)
    tables = tables_of(evaluation)
    for table in tables:
        terminal.table(table.title, list(table.columns), [list(row) for row in table.rows])
        if table.note:
            terminal.say(table.note)
    recommendation = recommendation_of(evaluation)
    terminal.say(f"Recommended: {recommendation.reason}")
    page = [
        f"# Offline evaluation of {evaluation.config.data.name}",
        _summary(evaluation),
        f"Recommended: {recommendation.reason}",
        *(table.to_markdown() for table in tables),
    ]
    replace_atomically(folder / "evaluation.md", ("\n\n".join(page) + "\n").encode())
    write_table(folder / "evaluation", [_flat(found) for found in evaluation.findings])
    save_json(
        folder / "recommendation.json",
        {
            "policy": recommendation.policy,
            "reason": recommendation.reason,
            "estimator": evaluation.config.ordering,
            "settings": settings_to_json(evaluation.config),
        },
    )
    pictures = pictures_of(evaluation)
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for name, figure in pictures.items():
            save_figure(figure, folder / f"{name}.png")
            writer.add_figure(f"offline/{name}", figure, close=False)
        for found in evaluation.findings:
            writer.add_scalar(f"offline/{found.policy}/{found.estimator}", found.value.mean)
    terminal.say(
        f"Written to {folder}: evaluation.csv, .json, .md; recommendation.json;"
        f" {', '.join(f'{name}.png' for name in pictures)};"
        f" TensorBoard: tensorboard --logdir {folder / 'tensorboard'}"
    )
    return folder


def check_free_for_results(config: OfflineConfig) -> None:
    """Refuse a folder that holds something else than an earlier offline evaluation.

    Raises:
        RunFolderError: if it does.
    """
    folder = config.folder
    mine = (folder / "recommendation.json").exists()
    if folder.exists() and any(folder.iterdir()) and not mine:
        raise RunFolderError(
            f"{folder} holds other files; choose another --out. Only an earlier offline evaluation"
            " is written over"
        )


def _summary(evaluation: OfflineEvaluation) -> str:
    own = evaluation.logged
    return (
        f"{evaluation.sessions:,} sessions ({evaluation.requests:,} requests), answered by"
        f" {evaluation.evaluator}; the log's own policies earned {_interval(own)} a session."
    )


def tables_of(evaluation: OfflineEvaluation) -> list[Table]:
    """Policies by estimator, and the distribution of their sessions' reward."""
    rows = [
        _row(evaluation.of(policy, estimator))
        for policy in evaluation.policies
        for estimator in evaluation.config.asked
    ]
    percent = f"{evaluation.config.confidence:.0%}"
    estimates = Table(
        title="Session reward, told from the log",
        columns=("policy", "estimator", "value", "over the log's own", "support"),
        rows=tuple(rows),
        note=f"{_summary(evaluation)} Intervals: {percent}, {evaluation.config.interval} over"
        " sessions, t where policies are simulated. What a model cannot express is in no interval.",
    )
    return [estimates, *_distribution(evaluation)]


def _row(found: Finding) -> tuple[str, ...]:
    gain = found.gain
    over = f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    return (found.policy, found.estimator, _interval(found.value), over, found.verdict)


def _distribution(evaluation: OfflineEvaluation) -> list[Table]:
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
            columns=(
                "policy",
                "mean",
                "deviation",
                "quarter",
                "median",
                "three quarters",
                "CVaR 10 %",
            ),
            rows=rows,
            note="CVaR 10 %: mean of the worst tenth. Policies without support are left out.",
        )
    ]


def _interval(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _flat(found: Finding) -> dict[str, Any]:
    support = found.support
    return {
        "policy": found.policy,
        "estimator": found.estimator,
        "value": found.value.mean,
        "value_low": found.value.low,
        "value_high": found.value.high,
        "gain": found.gain.mean,
        "gain_low": found.gain.low,
        "gain_high": found.gain.high,
        "effective_sessions": None if support is None else support.effective,
        "largest_weight": None if support is None else support.largest,
        "zero_weights": None if support is None else support.zero,
        "mean_weight": None if support is None else support.mass,
        "leverage": found.leverage,
        "verdict": found.verdict,
    }
