"""Scorers against the ground truth of the synthetic world, where every probability is available.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_truth --seeds 0 1 2 3 4

One world writes its logs. Each scorer is fitted on a sample of them, once per seed. It predicts
every pair of some users' retrieval pools, in the feed, at 20 h. The world's own probability for a
fresh user is available there, so the results contain no noise of sampled labels.

The logs are of users who are sometimes bored, which the scorers cannot observe. A small part of the
distance to fresh users is therefore not an error of the scorers.

- *explained*: 1 - KL(truth, scorer) / KL(truth, base rate), means over pairs of the divergence of
  two Bernoulli distributions. 1 is the ground truth; 0 is a constant prediction of the mean.
- *rank*: Spearman correlation with the ground truth within a user, mean over users.
- *ECE*: |mean prediction - mean truth| over 20 bins of equal mass by prediction.
- *ratio*: mean prediction over mean truth.

`single_task` has eight networks and embeddings. They are sized so that all parameters together are
as many as those of `mmoe`.
"""

import platform
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import tyro
from scipy import stats

import mtf_rl
from benchmarks.pages import write_page
from mtf_rl.core.arrays import FloatArray, IntArray
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.data import SYNTHETIC_PLAN, Dataset, FeatureEncoder, read_kuairand, split_by_time
from mtf_rl.experiments.preparation import standard_rows
from mtf_rl.scorers import (
    SCORERS,
    LabelledRows,
    ScorerConfig,
    ScorerFitConfig,
    fit_scorer,
    labelled_rows,
)
from mtf_rl.scorers.configs import SingleTaskConfig
from mtf_rl.user_models import World, WorldConfig, synthesize

REFERENCE = "single_task"
MODELS: dict[str, ScorerConfig] = {
    "mmoe": SCORERS["mmoe"](),
    "ple": SCORERS["ple"](),
    "shared_bottom": SCORERS["shared_bottom"](),
    REFERENCE: SingleTaskConfig(embedding_dim=1, trunk_widths=(61, 16), tower_widths=(8,)),
}
POOL, HOUR, FEED = 300, 20, 1
BINS = 20
SPARSE = ("follow", "comment", "forward")
FLOOR = 1e-9


@dataclass(frozen=True)
class Settings:
    """Fits and predicted pairs."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the scorers."""
    world_seed: int = 0
    """Seed of the world."""
    rows: int = 300_000
    """Training rows."""
    users: int = 500
    """Users whose pools are predicted."""
    models: tuple[str, ...] = tuple(MODELS)
    """Which scorers."""
    processes: int = 2
    """Fits at once, one thread each."""
    out: Path = Path("benchmarks/scorer_truth.md")
    """The table to write."""


@dataclass(frozen=True)
class Study:
    """A log to fit on, and pairs with their true probabilities."""

    dataset: Dataset
    encoder: FeatureEncoder
    train: LabelledRows
    validation: LabelledRows
    users: IntArray  # (pairs,)
    videos: IntArray  # (pairs,)
    truth: FloatArray  # (pairs, tasks)


@lru_cache(maxsize=1)
def study_of(settings: Settings) -> Study:
    """The log and the pairs; each process makes them for itself."""
    config = WorldConfig(seed=settings.world_seed)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(config, Path(folder))
        dataset = read_kuairand(Path(folder))
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    past = np.zeros(len(split.train), dtype=np.bool_)
    past[standard_rows(split.train, dataset)] = True
    train = standard_rows(split.train, dataset, settings.rows)
    learnt = np.zeros_like(past)
    learnt[train] = True
    encoder = FeatureEncoder.fit(dataset, past, learnt=learnt)
    validation = standard_rows(split.validation, dataset, settings.rows // 4)
    world = World(config)
    chosen = np.linspace(0, config.users - 1, settings.users).astype(np.int64)
    users = np.repeat(chosen, POOL)
    videos = world.retrieve(POOL)[chosen].ravel()
    hours, tabs = np.full(len(users), float(HOUR)), np.full(len(users), FEED)
    return Study(
        dataset=dataset,
        encoder=encoder,
        train=labelled_rows(encoder, dataset, train),
        validation=labelled_rows(encoder, dataset, validation),
        users=users,
        videos=videos,
        truth=world.true_probabilities(users, videos, hours, tabs),
    )


@dataclass(frozen=True)
class RunEvaluation:
    """One fit against the ground truth; each array has one entry per task."""

    explained: FloatArray
    rank: FloatArray
    ece: FloatArray
    ratio: FloatArray
    parameters: int
    seconds: float


def evaluate(settings: Settings, model: str, seed: int) -> RunEvaluation:
    """Fit one scorer and compare it with the ground truth."""
    torch.set_num_threads(1)
    study = study_of(settings)
    start = time.perf_counter()
    scorer = fit_scorer(
        MODELS[model],
        ScorerFitConfig(),
        study.encoder.layout,
        study.train,
        study.validation,
        rng=np.random.default_rng(seed),
    ).scorer
    seconds = time.perf_counter() - start
    hours, tabs = np.full(len(study.users), HOUR), np.full(len(study.users), FEED)
    pairs = study.encoder.encode_pairs(study.dataset, study.users, study.videos, hours, tabs)
    predicted = scorer.predict(pairs).astype(np.float64)
    tasks = range(len(KUAIRAND_TASKS.names))
    return RunEvaluation(
        explained=np.array([explained(predicted[:, k], study.truth[:, k]) for k in tasks]),
        rank=np.array([rank(predicted[:, k], study.truth[:, k], study.users) for k in tasks]),
        ece=np.array([calibration_error(predicted[:, k], study.truth[:, k]) for k in tasks]),
        ratio=predicted.mean(axis=0) / study.truth.mean(axis=0),
        parameters=sum(weight.numel() for weight in scorer.model.parameters()),
        seconds=seconds,
    )


def divergence(truth: FloatArray, predicted: FloatArray | float) -> float:
    """Mean over pairs of the Kullback-Leibler divergence of Bernoulli distributions, in nats."""
    q = np.clip(predicted, FLOOR, 1.0 - FLOOR)
    p = np.clip(truth, FLOOR, 1.0 - FLOOR)
    return float((p * np.log(p / q) + (1.0 - p) * np.log((1.0 - p) / (1.0 - q))).mean())


def explained(predicted: FloatArray, truth: FloatArray) -> float:
    """1 - KL(truth, predicted) / KL(truth, mean of the truth)."""
    return 1.0 - divergence(truth, predicted) / divergence(truth, float(truth.mean()))


def rank(predicted: FloatArray, truth: FloatArray, users: IntArray) -> float:
    """Mean over users of the Spearman correlation over their pairs, which are `POOL` in a row."""
    ranks = [
        stats.rankdata(values.reshape(-1, POOL), axis=1) - (POOL + 1) / 2
        for values in (predicted, truth)
    ]
    assert len(users) == ranks[0].size
    spread = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    return float(((ranks[0] * ranks[1]).sum(axis=1) / spread).mean())


def calibration_error(predicted: FloatArray, truth: FloatArray) -> float:
    """Mean |prediction - truth| of the bins' means, over `BINS` bins of equal mass."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), BINS)
    gaps = [abs(predicted[rows].mean() - truth[rows].mean()) * len(rows) for rows in bins]
    return float(np.sum(gaps) / len(predicted))


def main_table(found: Mapping[str, list[RunEvaluation]]) -> str:
    """One line per task and scorer, means over seeds."""
    lines = [
        "| task | scorer | explained | rank | ECE against the ground truth | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for k, task in enumerate(KUAIRAND_TASKS.names):
        for name, fits in found.items():
            cells = [
                spread(np.array([getattr(fit, column)[k] for fit in fits]), digits)
                for column, digits in (("explained", 3), ("rank", 3), ("ece", 5), ("ratio", 3))
            ]
            lines.append(f"| {task} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def transfer_table(found: Mapping[str, list[RunEvaluation]]) -> str:
    """Differences to single-task networks of as many parameters, paired by seed."""
    lines = [
        "| task | scorer | explained, minus single_task | rank, minus single_task |",
        "| --- | --- | --- | --- |",
    ]
    for task in (
        *SPARSE,
        *(
            name
            for name in KUAIRAND_TASKS.names[: len(KUAIRAND_TASKS.feedbacks)]
            if name not in SPARSE
        ),
    ):
        k = KUAIRAND_TASKS.names.index(task)
        for name, fits in found.items():
            if name == REFERENCE:
                continue
            cells = []
            for column in ("explained", "rank"):
                pairs = zip(fits, found[REFERENCE], strict=True)
                gains = np.array([getattr(a, column)[k] - getattr(b, column)[k] for a, b in pairs])
                half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
                cells.append(
                    f"{gains.mean():+.3f} [{gains.mean() - half:+.3f}, {gains.mean() + half:+.3f}]"
                )
            lines.append(f"| {task} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: FloatArray, digits: int) -> str:
    """Mean and std over seeds."""
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def page(settings: Settings, found: Mapping[str, list[RunEvaluation]], study: Study) -> str:
    """The whole results page."""
    seeds = " ".join(str(seed) for seed in settings.seeds)
    sizes = ", ".join(
        f"{name} {fits[0].parameters:,} parameters, {np.mean([f.seconds for f in fits]):.0f} s"
        for name, fits in found.items()
    )
    rates = ", ".join(
        f"{name} {rate:.5f}"
        for name, rate in zip(KUAIRAND_TASKS.names, study.truth.mean(axis=0), strict=True)
    )
    return f"""# Scorers against the ground truth of the synthetic world

You can see here how close each scorer comes to the true probabilities.

    OMP_NUM_THREADS=1 python -m benchmarks.scorer_truth --seeds {seeds}

mtf_rl {mtf_rl.__version__}, Python {platform.python_version()}, numpy {np.__version__}, torch \
{torch.__version__}. World seed {settings.world_seed}; {len(study.train)} logged rows to fit \
on, past feedback counted over all {len(study.encoder.fitted_rows)} rows \
before the split; {settings.users} users x {POOL} videos to predict. \
Means over seeds ± std; the script gives the definitions.

Sizes and time of a fit: {sizes}.
True means over the pairs: {rates}.

{main_table(found)}

## The gain of sharing

Paired by seed, 95 % t-intervals:

{transfer_table(found)}
"""


def main(settings: Settings) -> None:
    """Fit, evaluate, print and write."""
    jobs = [(model, seed) for seed in settings.seeds for model in settings.models]
    with ProcessPoolExecutor(settings.processes, get_context("spawn")) as pool:
        results = list(pool.map(evaluate, [settings] * len(jobs), *zip(*jobs, strict=True)))
    found: dict[str, list[RunEvaluation]] = {model: [] for model in settings.models}
    for (model, _), evaluation in zip(jobs, results, strict=True):
        found[model].append(evaluation)
    text = page(settings, found, study_of(settings))
    print(text)
    write_page(settings.out, text)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
