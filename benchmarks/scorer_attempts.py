"""Attempts to improve a scorer over boosted trees on real KuaiRand rows, one change at a time.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_attempts --data DIR

Each line changes the default MMoE in one thing: features, sizes, regularisation, steps, losses,
members. All are evaluated on the validation rows, which are used for selection. The test rows are
reserved for `scorer_quality`. The first line has that benchmark's trees, fitted and stopped on the
same rows.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import tyro

import mtf_rl
from benchmarks.pages import write_page
from benchmarks.scorer_quality import COMPARED, Rows, load_rows, tree_predictions
from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import FeatureLayout, read_kuairand
from mtf_rl.data.feature_layout import UNSEEN_CODE
from mtf_rl.scorers import LabelledRows, MMoEConfig, ScorerFitConfig, fit_scorer
from mtf_rl.scorers.metrics import auc, grouped_auc

LIKE = KUAIRAND_TASKS.names.index("like")
IDS = ("user_id", "video_id", "author_id")


@dataclass(frozen=True)
class Attempt:
    """One change to the default."""

    what: str
    model: MMoEConfig = field(default_factory=MMoEConfig)
    fit: ScorerFitConfig = field(default_factory=ScorerFitConfig)
    without_ids: bool = False


def task_weights(tasks: Sequence[str]) -> tuple[float, ...]:
    """1 for the named tasks, 0 for the others."""
    return tuple(float(name in tasks) for name in KUAIRAND_TASKS.names)


ATTEMPTS = (
    Attempt("default"),
    Attempt("features: no ids of users, videos, authors", without_ids=True),
    Attempt("features: dense columns raw, no bins", MMoEConfig(dense_bins=0)),
    Attempt("features: 24 bins", MMoEConfig(dense_bins=24)),
    Attempt("embeddings of 4", MMoEConfig(embedding_dim=4)),
    Attempt("embeddings of 16", MMoEConfig(embedding_dim=16)),
    Attempt("experts of (128, 64)", MMoEConfig(expert_widths=(128, 64))),
    Attempt("dropout 0.3", MMoEConfig(dropout=0.3)),
    Attempt(
        "half of all categories unknown while fitting", fit=ScorerFitConfig(unknown_fraction=0.5)
    ),
    Attempt("weight decay 0.1", fit=ScorerFitConfig(weight_decay=0.1)),
    Attempt(
        "half the step size, 10 epochs",
        fit=ScorerFitConfig(learning_rate=5e-4, embedding_learning_rate=1.5e-3, max_epochs=10),
    ),
    Attempt(
        "losses: click, long_view, watch alone",
        fit=ScorerFitConfig(
            task_weights=task_weights(("click", "long_view", "watch")),
            monitor_tasks=("click", "long_view", "watch"),
        ),
    ),
    Attempt("losses: uncertainty weighting", fit=ScorerFitConfig(weighting="uncertainty")),
    Attempt("stopped by AUC", fit=ScorerFitConfig(monitor="auc", monitor_tasks=COMPARED)),
    Attempt("4 members", MMoEConfig(members=4)),
    Attempt("8 members", MMoEConfig(members=8)),
)


@dataclass(frozen=True)
class Settings:
    """Rows, seeds and page."""

    data: Path
    """Folder of KuaiRand's files."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of each attempt."""
    out: Path = Path("benchmarks/scorer_attempts.md")
    """The table to write."""


def qualities(predictions: FloatArray, rows: LabelledRows) -> FloatArray:
    """AUC and GAUC of click and long_view, and AUC of like: (5,)."""
    found = []
    for task in COMPARED:
        column = KUAIRAND_TASKS.names.index(task)
        positives = rows.targets[:, column] > 0.5
        found.append(auc(predictions[:, column], positives))
        found.append(grouped_auc(predictions[:, column], positives, rows.users).value)
    return np.array([*found, auc(predictions[:, LIKE], rows.targets[:, LIKE] > 0.5)])


def without_ids(rows: Rows) -> Rows:
    """The rows with every id replaced by the code of unseen values."""
    columns = [k for k, f in enumerate(rows.layout.categorical) if f.name in IDS]

    def blank(part: LabelledRows) -> LabelledRows:
        categorical = part.features.categorical.copy()
        categorical[:, columns] = UNSEEN_CODE
        return replace(part, features=replace(part.features, categorical=categorical))

    return Rows(rows.layout, *(blank(p) for p in (rows.train, rows.validation, rows.test)))


def try_it(attempt: Attempt, rows: Rows, seeds: Sequence[int]) -> FloatArray:
    """The qualities on the validation rows, (seeds, 5)."""
    given = without_ids(rows) if attempt.without_ids else rows
    layout: FeatureLayout = given.layout
    found = []
    for seed in seeds:
        scorer = fit_scorer(
            attempt.model,
            attempt.fit,
            layout,
            given.train,
            given.validation,
            rng=np.random.default_rng(seed),
        ).scorer
        found.append(qualities(scorer.logits(given.validation.features), given.validation))
    return np.stack(found)


def line(what: str, found: FloatArray, reference: FloatArray) -> str:
    """A row of the table: means, and the lead over the trees in click and long_view AUC."""
    means = found.mean(axis=0)
    cells = " | ".join(f"{value:.4f}" for value in means)
    leads = " | ".join(f"{means[k] - reference[k]:+.4f}" for k in (0, 2))
    return f"| {what} | {cells} | {leads} |"


def main(settings: Settings) -> None:
    """Try everything, print and write."""
    torch.set_num_threads(1)
    rows = load_rows(read_kuairand(settings.data))
    asked = rows.validation
    trees = qualities(tree_predictions(rows, asked, range(LIKE + 1)), asked)
    lines = [
        "| attempt | click AUC | click GAUC | long_view AUC | long_view GAUC | like AUC"
        " | click AUC - trees | long_view AUC - trees |",
        "| --- " * 8 + "|",
        line("boosted trees", trees[None], trees),
    ]
    for attempt in ATTEMPTS:
        lines.append(line(attempt.what, try_it(attempt, rows, settings.seeds), trees))
        print(lines[-1], flush=True)
    seeds = " ".join(str(seed) for seed in settings.seeds)
    table = "\n".join(lines)
    tables = f"""# Attempts on real rows

You can see here which changes to the default scorer help on real rows.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_attempts --data DIR --seeds {seeds}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, torch {torch.__version__}. The \
default is a single MMoE; each line changes one thing. Validation rows, means over seeds {seeds}.

{table}
"""
    write_page(settings.out, tables)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
