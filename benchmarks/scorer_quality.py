"""Scorers beside boosted trees on real KuaiRand rows: same rows, same leak-free features.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_quality --data DIR --seeds 0 1 2

Models are fitted on the days before the validation day, selected and calibrated on it, and
evaluated on the days after. On the public KuaiRand-Pure rows these are 4/25 to 5/01, 5/02, and 5/03
to 5/05. Exact duplicates are dropped. The trees are scikit-learn's HistGradientBoostingClassifier,
one model a task. They get the same columns, except ids and other fields of more than 255 values;
these reach the trees only through the columns of past feedback. They stop early on the same
validation rows.

The compared scorer is the best on the validation rows (mean AUC of click and long_view over seeds).
Its AUC and GAUC on the test rows, mean over seeds, are given minus those of the trees, with 95 %
intervals over resampled users. Its calibration is also fitted on the users of one half of the
validation rows and evaluated on the other half.
"""

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import tyro
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier

import mtf_rl
from benchmarks.pages import wrapped
from mtf_rl.core.arrays import FloatArray, IntArray, select_rows
from mtf_rl.core.randomness import hash_words
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import (
    REAL_PLAN,
    Dataset,
    FeatureEncoder,
    FeatureLayout,
    read_kuairand,
    split_by_time,
)
from mtf_rl.scorers import (
    SCORERS,
    LabelledRows,
    Scorer,
    ScorerFitConfig,
    ScorerReport,
    evaluate_scorer,
    fit_scorer,
    labelled_rows,
    platt,
    report_predictions,
)
from mtf_rl.scorers.metrics import auc, grouped_auc

TREES = "trees"
COMPARED = ("click", "long_view")
# The largest number of categories that HistGradientBoostingClassifier takes.
TREE_CATEGORIES = 255


@dataclass(frozen=True)
class Settings:
    """Where the rows are and how often to fit."""

    data: Path
    """Folder of KuaiRand's files."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the scorers; the trees draw nothing and are fitted once."""

    scorers: tuple[str, ...] = ("mmoe", "shared_bottom", "ple")
    """Names of the scorers."""

    members: int = 4
    """Networks whose logits a scorer averages."""

    resamples: int = 200
    """Bootstrap samples of the test users."""

    out: Path = Path("benchmarks/scorer_quality.md")
    """The table to write."""


@dataclass(frozen=True)
class Rows:
    """The three parts of the log."""

    layout: FeatureLayout
    train: LabelledRows
    validation: LabelledRows
    test: LabelledRows


@dataclass(frozen=True)
class Result:
    """One model's reports on the test rows, one per seed, and how fast it was fitted."""

    reports: tuple[ScorerReport, ...]
    seconds: float
    predictions: tuple[FloatArray, ...]  # one per seed, (test rows, tasks)
    validation: tuple[ScorerReport, ...] = ()  # before calibration, on the rows that stop the fit
    halves: tuple[ScorerReport, ...] = ()  # calibrated on one half of the validation rows

    def values(self, task: str, column: str) -> FloatArray:
        """A column of a task's report, (seeds,)."""
        return np.array([getattr(report[task], column) for report in self.reports])


def load_rows(dataset: Dataset) -> Rows:
    """Split and encode the log."""
    split = split_by_time(dataset.impressions, REAL_PLAN)
    encoder = FeatureEncoder.fit(dataset, split.train)
    train, validation, test = (
        labelled_rows(encoder, dataset, np.flatnonzero(part))
        for part in (split.train, split.validation, split.test)
    )
    return Rows(encoder.layout, train, validation, test)


def measure_scorer(name: str, rows: Rows, seeds: Sequence[int], members: int) -> Result:
    """Fit a scorer of default sizes, with `members` members, once per seed."""
    start = time.perf_counter()
    reports, predictions, validation, halves = [], [], [], []
    kind: Any = SCORERS[name]
    for seed in seeds:
        fitted = fit_scorer(
            kind(members=members),
            ScorerFitConfig(),
            rows.layout,
            rows.train,
            rows.validation,
            rng=np.random.default_rng(seed),
        )
        reports.append(evaluate_scorer(fitted.scorer, rows.test))
        predictions.append(fitted.scorer.predict(rows.test.features))
        validation.append(evaluate_scorer(fitted.scorer, rows.validation))
        halves.append(half_report(fitted.scorer, rows))
    seconds = (time.perf_counter() - start) / len(seeds)
    return Result(tuple(reports), seconds, tuple(predictions), tuple(validation), tuple(halves))


def half_report(scorer: Scorer, rows: Rows) -> ScorerReport:
    """Platt scaling on the validation rows of every other user, evaluated on the others."""
    even = hash_words(rows.validation.users) % 2 == 0
    fitted, held_out = (select_rows(rows.validation, part) for part in (even, ~even))
    calibration = platt(
        scorer.logits(fitted.features), fitted.targets, fitted.mask, rows.train.base_rates()
    )
    logits = scorer.logits(held_out.features)
    return report_predictions(calibration.apply(logits), expit(logits), held_out)


def best_on_validation(results: dict[str, Result]) -> str:
    """The scorer of the largest mean validation AUC of click and long_view."""

    def quality(result: Result) -> float:
        aucs = [report[task].auc for report in result.validation for task in COMPARED]
        return float(np.mean(aucs))

    return max((name for name in results if name != TREES), key=lambda name: quality(results[name]))


def lead_table(best: Result, trees: Result, test: LabelledRows, resamples: int) -> str:
    """The best scorer's lead over the trees, with intervals over resampled users."""
    rng = np.random.default_rng(0)
    samples = [user_sample(test.users, rng) for _ in range(resamples)]
    lines = ["| task | metric | lead over trees | 95 % interval |", "| --- | --- | --- | --- |"]
    for task in (*COMPARED, "like"):
        for metric in ("AUC", "GAUC"):
            lead = lead_over(best, trees, test, KUAIRAND_TASKS.names.index(task), metric)
            everyone = np.arange(len(test))
            low, high = np.quantile([lead(rows) for rows in samples], [0.025, 0.975])
            lines.append(
                f"| {task} | {metric} | {lead(everyone):+.4f} | [{low:+.4f}, {high:+.4f}] |"
            )
    return "\n".join(lines)


def lead_over(
    best: Result, trees: Result, test: LabelledRows, task: int, metric: str
) -> Callable[[IntArray], float]:
    """The lead in one task and metric, as a function of the rows that count."""

    def value(predictions: FloatArray, rows: IntArray) -> float:
        positives = test.targets[rows, task] > 0.5
        if metric == "AUC":
            return auc(predictions[rows, task], positives)
        return grouped_auc(predictions[rows, task], positives, test.users[rows]).value

    def lead(rows: IntArray) -> float:
        own = np.mean([value(predictions, rows) for predictions in best.predictions])
        return float(own - value(trees.predictions[0], rows))

    return lead


def user_sample(users: IntArray, rng: np.random.Generator) -> IntArray:
    """Numbers of the rows of as many users as there are, drawn with replacement.

    A user drawn twice has each row twice: AUC within the user stays, its weight doubles.
    """
    _, members = np.unique(users, return_inverse=True)
    counts = np.bincount(
        rng.integers(members.max() + 1, size=members.max() + 1), minlength=members.max() + 1
    )
    return np.repeat(np.arange(len(users)), counts[members])


def measure_trees(rows: Rows) -> Result:
    """Fit one boosted-tree model per feedback."""
    start = time.perf_counter()
    predictions = tree_predictions(rows, rows.test, range(len(KUAIRAND_TASKS.feedbacks)))
    report = report_predictions(predictions, predictions, rows.test)
    return Result((report,), time.perf_counter() - start, (predictions,))


def tree_predictions(rows: Rows, asked: LabelledRows, tasks: Iterable[int]) -> FloatArray:
    """Predictions of trees fitted on the training rows for the rows `asked`, (rows, tasks).

    Tasks other than `tasks` are 0.5.
    """
    fields = [k for k, f in enumerate(rows.layout.categorical) if f.size <= TREE_CATEGORIES]
    predictions: FloatArray = np.full((len(asked), len(KUAIRAND_TASKS)), 0.5, dtype=np.float32)
    for task in tasks:
        model = HistGradientBoostingClassifier(
            learning_rate=0.03,
            max_leaf_nodes=15,
            min_samples_leaf=200,
            l2_regularization=10.0,
            max_iter=600,
            n_iter_no_change=20,
            early_stopping=True,
            categorical_features=list(range(len(fields))),
            random_state=0,
        )
        model.fit(
            tree_columns(rows.train, fields),
            rows.train.targets[:, task],
            X_val=tree_columns(rows.validation, fields),
            y_val=rows.validation.targets[:, task],
        )
        predictions[:, task] = model.predict_proba(tree_columns(asked, fields))[:, 1]
    return predictions


def tree_columns(rows: LabelledRows, fields: list[int]) -> FloatArray:
    """The columns that the trees get, (rows, columns) float64: categories first."""
    return np.concatenate([rows.features.categorical[:, fields], rows.features.dense], axis=1)


def quality_table(results: dict[str, Result]) -> str:
    """One line per task and model: mean over seeds, ± their std."""
    columns = ("auc", "gauc", "log_loss", "normalised_entropy", "ece_uncalibrated", "ece")
    lines = [
        "| task | model | AUC | GAUC | log loss | NE | ECE uncalibrated | ECE | AUC - trees |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task in KUAIRAND_TASKS.feedbacks:
        reference = results[TREES].values(task.name, "auc").mean()
        for name, result in results.items():
            cells = [spread(result.values(task.name, column)) for column in columns]
            lead = result.values(task.name, "auc").mean() - reference
            cells.append("" if name == TREES else f"{lead:+.4f}")
            lines.append(f"| {task.name} | {name} | {' | '.join(cells)} |")
    for name, result in results.items():
        if name != TREES:
            cells = [spread(result.values("watch", column)) for column in columns]
            lines.append(f"| watch | {name} | {' | '.join(cells)} | |")
    return "\n".join(lines)


def spread(values: FloatArray) -> str:
    """Mean and std over seeds; empty where undefined."""
    if np.isnan(values).any():
        return ""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"


def rate_table(rows: Rows) -> str:
    """How base rates drift from the training to the test rows, and what GAUC covers."""
    test = report_predictions(
        np.zeros_like(rows.test.targets), np.zeros_like(rows.test.targets), rows.test
    )
    lines = [
        "| task | rate, training | rate, validation | rate, test | test positives"
        " | rows in GAUC | users in GAUC |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    parts = (rows.train, rows.validation, rows.test)
    for k, report in enumerate(test.tasks):
        rates = " | ".join(f"{part.base_rates()[k]:.5f}" for part in parts)
        lines.append(
            f"| {report.task} | {rates} | {report.positives}"
            f" | {report.gauc_row_coverage:.3f} | {report.gauc_user_coverage:.3f} |"
        )
    return "\n".join(lines)


def half_table(best: Result) -> str:
    """ECE of each task on the half of the validation rows that calibrated nothing, and on test."""
    lines = [
        "| task | ECE, held-out half of validation | by chance | ECE, test | by chance |",
        "| --- | --- | --- | --- | --- |",
    ]
    for task in KUAIRAND_TASKS.names:
        cells = [
            spread(np.array([getattr(report[task], column) for report in reports]))
            for reports in (best.halves, best.reports)
            for column in ("ece", "ece_of_chance")
        ]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    return "\n".join(lines)


def validation_table(results: dict[str, Result]) -> str:
    """AUC on the validation rows, by which a scorer is chosen."""
    lines = ["| model | click | long_view | like |", "| --- | --- | --- | --- |"]
    for name, result in results.items():
        if result.validation:
            cells = [
                spread(np.array([report[task].auc for report in result.validation]))
                for task in (*COMPARED, "like")
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(settings: Settings, dataset: Dataset, rows: Rows, results: dict[str, Result]) -> str:
    """The whole results page."""
    best = best_on_validation(results)
    leads = lead_table(results[best], results[TREES], rows.test, settings.resamples)
    seeds = " ".join(str(seed) for seed in settings.seeds)
    scorers = " ".join(settings.scorers)
    logs = [file for file in dataset.files if file.kind.is_log]
    checksums = ", ".join(f"`{file.name}` {file.sha256[:12]}" for file in logs)
    seconds = ", ".join(f"{name} {result.seconds:.0f} s" for name, result in results.items())
    return f"""# Scorer quality on real rows

You can see here how good the default scorer is on real rows, beside boosted trees.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_quality --data DIR --seeds {seeds} \
--scorers {scorers}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, torch \
{torch.__version__}, scikit-learn {sklearn.__version__}. Log (start of SHA-256): {checksums}.
Rows kept {dataset.account.rows_kept} of {dataset.account.rows_read}: training {len(rows.train)}, \
validation {len(rows.validation)}, test {len(rows.test)}.

Scorers have their default sizes and settings, except that {settings.members} members are used and \
their logits averaged. All settings, also those of the trees, were selected on the validation rows \
only (see the script). Scorers: mean over seeds ± std. NE is log loss divided by that of the base \
rate. ECE has 20 bins of equal mass. That of a scorer is after Platt scaling on the validation \
rows; the trees are not calibrated. GAUC weights users by rows. `watch` is a fraction, ranked by \
whether 18 s were played; the trees have no model of it.

{quality_table(results)}

AUC on the validation rows; the best model there is `{best}`:

{validation_table(results)}

Its lead over the trees on the test rows, mean over seeds, {settings.resamples} samples of users:

{leads}

Its calibration. *by chance* is the ECE of labels drawn from the predictions themselves on as many \
rows, a lower bound for any scorer:

{half_table(results[best])}

Time of a fit of all tasks, with one thread and other work on the machine: {seconds}.

{rate_table(rows)}
"""


def main(settings: Settings) -> None:
    """Fit, evaluate, print and write."""
    dataset = read_kuairand(settings.data)
    rows = load_rows(dataset)
    results = {TREES: measure_trees(rows)}
    results |= {
        name: measure_scorer(name, rows, settings.seeds, settings.members)
        for name in settings.scorers
    }
    text = page(settings, dataset, rows, results)
    print(text)
    settings.out.write_text(wrapped(text))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
