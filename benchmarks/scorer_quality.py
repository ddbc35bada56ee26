"""MMoE and PLE beside boosted trees on real KuaiRand rows: same rows, same leak-free features.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_quality --data DIR --seeds 0 1 2

Fits on the days before the validation day, chooses and calibrates on it, and judges on the days
after: on the public KuaiRand-Pure rows 4/25 to 5/01, 5/02, and 5/03 to 5/05. Exact duplicates are
dropped. The trees (scikit-learn's HistGradientBoostingClassifier, one model a task) get the same
columns, but for ids and other fields of more than 255 values, which they meet through the columns
of past feedback alone. They stop early on the same validation rows.
"""

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
import torch
import tyro
from sklearn.ensemble import HistGradientBoostingClassifier

import mtf_rl
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.tasks import FEEDBACKS, NUM_TASKS
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
    FitConfig,
    LabelledRows,
    ScorerReport,
    evaluate_scorer,
    fit_scorer,
    labelled_rows,
    report_predictions,
)

TREES = "trees"
# The largest number of categories that HistGradientBoostingClassifier takes.
TREE_CATEGORIES = 255


@dataclass(frozen=True)
class Settings:
    """Where the rows are and how often to fit."""

    data: Path
    """Folder of KuaiRand's files."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the scorers; the trees draw nothing and are fitted once."""

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


def judge_scorer(name: str, rows: Rows, seeds: Sequence[int]) -> Result:
    """Fit a scorer of default sizes once per seed."""
    start = time.perf_counter()
    reports = []
    for seed in seeds:
        fitted = fit_scorer(
            SCORERS[name](),
            FitConfig(),
            rows.layout,
            rows.train,
            rows.validation,
            rng=np.random.default_rng(seed),
        )
        reports.append(evaluate_scorer(fitted.scorer, rows.test))
    return Result(tuple(reports), (time.perf_counter() - start) / len(seeds))


def judge_trees(rows: Rows) -> Result:
    """Fit one boosted-tree model per feedback."""
    start = time.perf_counter()
    fields = [k for k, f in enumerate(rows.layout.categorical) if f.size <= TREE_CATEGORIES]
    predictions: FloatArray = np.full((len(rows.test), NUM_TASKS), 0.5, dtype=np.float32)
    for task in range(len(FEEDBACKS)):
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
        predictions[:, task] = model.predict_proba(tree_columns(rows.test, fields))[:, 1]
    report = report_predictions(predictions, predictions, rows.test)
    return Result((report,), time.perf_counter() - start)


def tree_columns(rows: LabelledRows, fields: list[int]) -> FloatArray:
    """The columns that the trees get, (rows, columns) float64: categories first."""
    return np.concatenate([rows.features.categorical[:, fields], rows.features.dense], axis=1)


def quality_table(results: dict[str, Result]) -> str:
    """One line per task and model: mean over seeds, +- their standard deviation."""
    columns = ("auc", "gauc", "log_loss", "normalised_entropy", "ece_uncalibrated", "ece")
    lines = [
        "| task | model | AUC | GAUC | log loss | NE | ECE uncalibrated | ECE | AUC - trees |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task in FEEDBACKS:
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
    """Mean and standard deviation over seeds."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{values.mean():.4f} +- {values.std(ddof=1):.4f}"


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


def page(settings: Settings, dataset: Dataset, rows: Rows, results: dict[str, Result]) -> str:
    """The whole results page."""
    seeds = " ".join(str(seed) for seed in settings.seeds)
    logs = [file for file in dataset.files if file.kind.is_log]
    checksums = ", ".join(f"`{file.name}` {file.sha256[:12]}" for file in logs)
    seconds = ", ".join(f"{name} {result.seconds:.0f} s" for name, result in results.items())
    return f"""# Scorer quality on real rows

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_quality --data DIR --seeds {seeds}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, torch \
{torch.__version__}, scikit-learn {sklearn.__version__}. Log (start of SHA-256): {checksums}.
Rows kept {dataset.account.rows_kept} of {dataset.account.rows_read}: training {len(rows.train)}, \
validation {len(rows.validation)}, test {len(rows.test)}.

Scorers have their default sizes and settings, which were chosen by the validation rows alone; so
were the trees' (see the script). Scorers: mean over seeds +- standard deviation.
NE is log loss over that of the base rate. ECE has 20 bins of equal mass; a scorer's is after Platt
scaling on the validation rows, the trees' are as they are. GAUC weighs users by rows.
`watch` is a share, ranked by whether 18 s were played; the trees have no model of it.

{quality_table(results)}

Time of a fit, with one thread and whatever else the machine did, all tasks: {seconds}.

{rate_table(rows)}
"""


def main(settings: Settings) -> None:
    """Fit, judge, print and write."""
    dataset = read_kuairand(settings.data)
    rows = load_rows(dataset)
    results = {TREES: judge_trees(rows)}
    results |= {name: judge_scorer(name, rows, settings.seeds) for name in SCORERS}
    text = page(settings, dataset, rows, results)
    print(text)
    settings.out.write_text(text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
