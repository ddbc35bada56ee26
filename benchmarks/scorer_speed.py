"""MMoE beside torch-rechub 0.8.0's, as shipped: rows a second of training and of prediction.

    pip install --no-deps --target /tmp/rechub torch-rechub==0.8.0
    OMP_NUM_THREADS=2 python -m benchmarks.scorer_speed --rechub /tmp/rechub

Only this script needs torch-rechub, so it is not a dependency of the project. Both models have the
same sizes: 20 categorical fields of the sizes of KuaiRand-Pure, embeddings of 16, 8 experts of
[128, 64], towers of [32], batches of 4096. torch-rechub predicts 6 tasks; ours predicts its 8, with
watch time among them. Our fit includes all its default work: out-of-vocabulary masking, the average
of weights, gate entropies. Rows are drawn at random.

*As shipped* means torch-rechub's own trainer and data loader. The forward-only lines exclude both
loaders.
"""

import itertools
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import tyro

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.core.arrays import IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import CategoricalField, FeatureLayout, FeatureRows, FeatureSide
from mtf_rl.scorers import (
    FittedScorer,
    LabelledRows,
    MMoEConfig,
    ScorerFitConfig,
    ValidationResult,
    fit_scorer,
)
from mtf_rl.scorers.split_scoring import PairScorer

# Sizes of 20 fields of KuaiRand-Pure, and which of them belong to the user, video and pair.
USER_FIELDS = (27285, 9, 8, 9, 7, 8, 50, 1471, 34, 118)
VIDEO_FIELDS = (7583, 6500, 4000, 70, 15, 454, 7, 3)
PAIR_FIELDS = (24, 30)
LARGE_VIDEO_TABLE = 4_371_868  # KuaiRand-1K
RATES = (0.46, 0.33, 0.0185, 0.0011, 0.0025, 0.001, 0.001, 0.16)
RECHUB_TASKS = 6
BATCH = 4096
MODEL = MMoEConfig(
    embedding_dim=16,
    dense_bins=0,
    experts=8,
    expert_widths=(128, 64),
    tower_widths=(32,),
    dropout=0.0,
)


@dataclass(frozen=True)
class Settings:
    """How much to measure."""

    rechub: Path
    """Folder into which torch-rechub was installed."""

    rows: int = 100_000
    """Rows of a pass."""

    passes: int = 3
    """Passes of each measurement, whose median counts."""

    large_table: bool = True
    """Whether to train with the 4.37 million videos of KuaiRand-1K too, which takes 2 GB."""

    threads: int = 2
    """Torch threads of both."""

    out: Path = Path("benchmarks/scorer_speed.md")
    """The table to write."""


def layout_of(videos: int) -> FeatureLayout:
    """The fields, with `videos` codes for video ids."""
    sizes = {
        FeatureSide.USER: USER_FIELDS,
        FeatureSide.VIDEO: (videos, *VIDEO_FIELDS[1:]),
        FeatureSide.PAIR: PAIR_FIELDS,
    }
    return FeatureLayout(
        tuple(
            CategoricalField(f"{side}_{number}", size + 2, side)
            for side in FeatureSide
            for number, size in enumerate(sizes[side])
        ),
        (),
    )


def draw_rows(layout: FeatureLayout, rows: int) -> LabelledRows:
    """Random codes, the large fields long-tailed, and random labels."""
    rng = np.random.default_rng(0)
    columns = [
        rng.zipf(1.3, rows) % field.size
        if field.size > 1000
        else rng.integers(field.size, size=rows)
        for field in layout.categorical
    ]
    targets = (rng.random((rows, len(KUAIRAND_TASKS))) < RATES).astype(np.float32)
    return LabelledRows(
        features=FeatureRows(
            np.stack(columns, axis=1).astype(np.int64), np.empty((rows, 0), dtype=np.float32)
        ),
        targets=targets,
        mask=np.ones((rows, len(KUAIRAND_TASKS)), dtype=np.bool_),
        users=columns[0],
        keys=np.arange(rows, dtype=np.uint64),
    )


def our_training(
    layout: FeatureLayout, rows: LabelledRows, settings: Settings
) -> tuple[float, FittedScorer]:
    """Rows a second between the first and the last look at (few) validation rows."""
    few = draw_rows(layout, 2000)
    marks: list[tuple[int, float]] = []

    def mark(evaluation: ValidationResult) -> None:
        marks.append((evaluation.step, time.perf_counter()))

    fit = ScorerFitConfig(
        batch_rows=BATCH,
        max_epochs=settings.passes + 1,
        evaluations_per_epoch=1,
        patience=100,
        monitor_tasks=("click",),
        threads=settings.threads,
    )
    fitted = fit_scorer(
        MODEL, fit, layout, rows, few, rng=np.random.default_rng(0), on_evaluation=mark
    )
    speeds = [
        (after - before) * BATCH / (end - start)
        for (before, start), (after, end) in itertools.pairwise(marks)
    ]
    return median(speeds), fitted


def rechub_parts(layout: FeatureLayout) -> tuple[Any, Any]:
    """torch-rechub's MMOE and its trainer."""
    from torch_rechub.basic.features import SparseFeature  # type: ignore[import-not-found]
    from torch_rechub.models.multi_task import MMOE  # type: ignore[import-not-found]
    from torch_rechub.trainers import MTLTrainer  # type: ignore[import-not-found]

    torch.manual_seed(0)
    features = [
        SparseFeature(field.name, vocab_size=field.size, embed_dim=MODEL.embedding_dim)
        for field in layout.categorical
    ]
    kinds = ["classification"] * RECHUB_TASKS
    model = MMOE(
        features,
        kinds,
        n_expert=MODEL.experts,
        expert_params={"dims": list(MODEL.expert_widths)},
        tower_params_list=[{"dims": list(MODEL.tower_widths)}] * RECHUB_TASKS,
    )
    return model, MTLTrainer(model, kinds)


def rechub_loaders(layout: FeatureLayout, rows: LabelledRows) -> tuple[Any, Any]:
    """torch-rechub's loaders for training and for prediction."""
    from torch_rechub.utils.data import (  # type: ignore[import-not-found]
        DataGenerator,
        PredictDataset,
    )

    columns = named_columns(layout, rows.features.categorical)
    labels = rows.targets[:, :RECHUB_TASKS]
    train, _, _ = DataGenerator(columns, labels).generate_dataloader(
        x_val=columns, y_val=labels, x_test=columns, y_test=labels, batch_size=BATCH
    )
    predict = torch.utils.data.DataLoader(PredictDataset(columns), batch_size=BATCH)
    return train, predict


def named_columns(layout: FeatureLayout, categorical: IntArray) -> dict[str, IntArray]:
    """One array per field, as torch-rechub takes them."""
    return {field.name: categorical[:, k] for k, field in enumerate(layout.categorical)}


def rows_per_second(work: Callable[[], object], rows: int, passes: int) -> float:
    """The median over passes, after one that does not count."""
    work()
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return rows / median(times)


def forward(model: Any, batches: list[Any]) -> None:
    """Predict batches that lie in memory."""
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            model(*batch)


def measure(settings: Settings) -> dict[str, tuple[float, float]]:
    """Rows a second, (ours, torch-rechub's), of each kind of work."""
    results = {}
    layout = layout_of(VIDEO_FIELDS[0])
    rows = draw_rows(layout, settings.rows)
    ours, fitted = our_training(layout, rows, settings)
    model, trainer = rechub_parts(layout)
    train, predict = rechub_loaders(layout, rows)

    def timed(work: Callable[[], object]) -> float:
        return rows_per_second(work, settings.rows, settings.passes)

    results["training"] = ours, timed(lambda: trainer.train_one_epoch(train))
    shipped = timed(lambda: trainer.predict(model, predict))
    scorer = fitted.scorer
    results["prediction"] = timed(lambda: scorer.predict(rows.features)), shipped
    results["prediction, split first layer"] = timed(split_work(scorer, layout, rows)), shipped
    categorical = torch.from_numpy(rows.features.categorical)
    own = [(part, torch.empty(len(part), 0)) for part in torch.split(categorical, BATCH)]
    named = [
        ({name: part[:, k] for k, name in enumerate(f.name for f in layout.categorical)},)
        for part in torch.split(categorical, BATCH)
    ]
    results["forward only"] = (
        timed(lambda: forward(scorer.model, own)),
        timed(lambda: forward(model, named)),
    )
    if not settings.large_table:
        return results
    large = layout_of(LARGE_VIDEO_TABLE)
    rows = draw_rows(large, settings.rows)
    ours, _ = our_training(large, rows, settings)
    _, trainer = rechub_parts(large)
    train, _ = rechub_loaders(large, rows)
    key = f"training, {LARGE_VIDEO_TABLE:,} videos"
    results[key] = ours, timed(lambda: trainer.train_one_epoch(train))
    return results


def split_work(scorer: Any, layout: FeatureLayout, rows: LabelledRows) -> Callable[[], object]:
    """Scoring the same number of pairs from parts read once; the reading is not in the time."""

    def side(which: FeatureSide, count: int) -> FeatureRows:
        chosen = [field.side == which for field in layout.categorical]
        part = rows.features.categorical[:count, chosen]
        return FeatureRows(part, np.empty((len(part), 0), dtype=np.float32))

    users, videos = 5000, 7583
    pairs = PairScorer(
        scorer.model,
        len(scorer.tasks),
        side(FeatureSide.USER, users),
        side(FeatureSide.VIDEO, videos),
    )
    own = side(FeatureSide.PAIR, len(rows))
    rng = np.random.default_rng(0)
    columns = rng.integers(users, size=len(rows)), rng.integers(videos, size=len(rows))

    def work() -> None:
        scorer.calibration.apply(pairs.logits(*columns, own))

    return work


def page(settings: Settings, results: dict[str, tuple[float, float]], load: float) -> str:
    """The results page."""
    lines = [
        f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} |"
        for name, (ours, theirs) in results.items()
    ]
    table = "\n".join(lines)
    return f"""# Scorer speed

You can see here how fast a scorer trains and predicts, beside torch-rechub.

    pip install --no-deps --target /tmp/rechub torch-rechub==0.8.0
    OMP_NUM_THREADS={settings.threads} python -m benchmarks.scorer_speed --rechub /tmp/rechub

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, torch {torch.__version__}, \
{settings.threads} threads, {settings.rows:,} rows a pass, median of {settings.passes} passes; \
average load of the machine at the end: {load:.1f} on {os.cpu_count()} cores.

Rows a second:

| work | mtf_rl | torch-rechub 0.8.0 | ratio |
| --- | --- | --- | --- |
{table}

The script lists what is equal and what is not.
"""


def main(settings: Settings) -> None:
    """Measure, print and write."""
    sys.path.insert(0, str(settings.rechub))
    torch.set_num_threads(settings.threads)
    results = measure(settings)
    text = page(settings, results, os.getloadavg()[0])
    print(text)
    write_page(settings.out, text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
