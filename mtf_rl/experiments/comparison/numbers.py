"""The numbers of a comparison's tables and pictures, with intervals over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.evaluation import (
    Interval,
    Metrics,
    change_interval,
    difference_cells,
    limits,
    metric_cells,
)
from mtf_rl.evaluation.over_seeds import mean_over_seeds, paired_over_seeds
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, STATIC
from mtf_rl.experiments.comparison.results import EvaluatedPolicy, Result
from mtf_rl.experiments.comparison.work import REFERENCE, SESSION

__all__ = [
    "UNIFORM",
    "ComparisonRow",
    "SeesawRow",
    "against",
    "best_known",
    "exploits",
    "ordered",
    "rank_correlation",
    "rewards_by_budget",
    "rows_of",
    "seesaw_rows",
]

UNIFORM = "uniform"


@dataclass(frozen=True)
class ComparisonRow:
    """One contestant under one evaluator."""

    policy: str
    evaluator: str
    seeds: int
    """Number of seeds of the contestant."""
    requests_used: float
    """Used budget in requests, mean over seeds."""
    seconds: float
    """Wall time of training in seconds, mean over seeds."""
    metrics: Metrics
    """Means over the seeds that all contestants have."""
    reference: str
    """The reference policy: production, or uniform weights."""
    differences: Metrics
    """Every metric minus the reference's, over the seeds that both have."""
    changes: Metrics
    """Every metric relative to the reference's, minus 1, over the same seeds."""
    over_search: Interval
    """Session reward minus that of the headline search."""
    over_uniform: Interval
    """Session reward minus that of uniform weights."""

    def cells(self, search: str) -> dict[str, str | int | float]:
        """The row by column name."""
        return {
            "policy": self.policy,
            "evaluator": self.evaluator,
            "seeds": self.seeds,
            "requests_used": self.requests_used,
            "learning_seconds": self.seconds,
            **metric_cells(self.metrics),
            "search": search,
            **limits("delta_vs_search", self.over_search),
            **limits("delta_vs_uniform", self.over_uniform),
            "reference": self.reference,
            **difference_cells(self.differences),
        }


@dataclass(frozen=True)
class SeesawRow:
    """A headline contestant that was trained for one reward, relative to the reference."""

    policy: str
    track: str
    changes: Metrics


def rows_of(comparison: Comparison, evaluator: str) -> list[ComparisonRow]:
    """Every contestant under one evaluator, best mean reward first."""
    return [_row(comparison, name, evaluator) for name in ordered(comparison, evaluator)]


def ordered(comparison: Comparison, evaluator: str, *, track: str = SESSION) -> list[str]:
    """Contestants by mean reward over the seeds that all have, the best first."""
    results = comparison.common
    return sorted(
        results.names(track=track),
        key=lambda name: -results.mean(name, "reward", evaluator, track=track),
    )


def against(comparison: Comparison, name: str, other: str, evaluator: str) -> Interval:
    """Paired difference of session reward over seeds."""
    return paired_over_seeds(*comparison.results.paired(name, other, evaluator))


def exploits(comparison: Comparison, name: str) -> bool:
    """Whether a policy gains in the simulator and loses in the ground truth.

    Static contestants, which are not trained, cannot exploit the simulator.
    """
    if CONTESTANTS[name].kind == STATIC:
        return False
    simulated, true = (ordered(comparison, evaluator) for evaluator in (SIMULATOR, GROUND_TRUTH))
    fell = true.index(name) - simulated.index(name) >= max(2, len(true) / 4)
    if name == comparison.search:
        return fell
    gains = [
        against(comparison, name, comparison.search, evaluator)
        for evaluator in (SIMULATOR, GROUND_TRUTH)
    ]
    return fell or (gains[0].low > 0.0 and gains[1].high < 0.0)


def rank_correlation(first: Sequence[float] | FloatArray, second: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN for fewer than two values."""
    if len(second) < 2:
        return float("nan")
    return float(stats.spearmanr(np.asarray(first), np.asarray(second)).statistic)


def best_known(comparison: Comparison) -> tuple[str, float]:
    """The best policy under the deciding evaluator, in words, and its mean session reward.

    References, which are trained in the ground truth with a larger budget, are included.
    """
    evaluator, results = comparison.evaluator, comparison.common
    best = ordered(comparison, evaluator)[0]
    value = results.mean(best, "reward", evaluator)
    words = f"the best of this table, {best}"
    for name in results.names(track=REFERENCE):
        reference = results.mean(name, "reward", evaluator, track=REFERENCE)
        if reference > value:
            value = reference
            words = f"{name}, trained in the ground truth with a larger budget"
    return words, value


def rewards_by_budget(comparison: Comparison, evaluator: str) -> dict[str, FloatArray]:
    """Session reward of contestants with results at every budget, (budgets, seeds), best first.

    The seeds are those that all of them have at every budget; empty if there is none.
    """
    results, fractions = comparison.common, [*sorted(comparison.config.fractions), 1.0]
    by_name = {
        name: [results.rewards(name, evaluator, fraction=fraction) for fraction in fractions]
        for name in ordered(comparison, evaluator)
        if len(fractions) > 1 and results.of(name, fraction=fractions[0])
    }
    sets = [set(rewards) for by_fraction in by_name.values() for rewards in by_fraction]
    seeds = sorted(set.intersection(*sets)) if sets else []
    if not seeds:
        return {}
    return {
        name: np.array([[rewards[seed] for seed in seeds] for rewards in by_fraction])
        for name, by_fraction in by_name.items()
    }


def seesaw_rows(comparison: Comparison) -> list[SeesawRow]:
    """The headline learner and search, by the reward that they were trained for."""
    results = comparison.common
    return [
        SeesawRow(
            name,
            track,
            _changes(
                results.of(name, track=track),
                results.of(comparison.reference),
                comparison.evaluator,
            ),
        )
        for name in dict.fromkeys((comparison.learner, comparison.search))
        for track in (SESSION, "watch_time", "interaction")
        if results.of(name, track=track)
    ]


def _row(comparison: Comparison, name: str, evaluator: str) -> ComparisonRow:
    own = comparison.results.of(name)
    base = comparison.results.of(comparison.reference)
    common = _values(comparison.common.of(name), evaluator)
    return ComparisonRow(
        policy=name,
        evaluator=evaluator,
        seeds=len(own),
        requests_used=float(np.mean([result.requests_used for result in own])),
        seconds=float(np.mean([result.seconds for result in own])),
        metrics=_metrics(own, [mean_over_seeds(values) for values in _stacked(common).T]),
        reference=comparison.reference,
        differences=_metrics(
            own,
            [
                paired_over_seeds(mine, theirs)
                for mine, theirs in zip(*_paired(own, base, evaluator), strict=True)
            ],
        ),
        changes=_changes(own, base, evaluator),
        over_search=against(comparison, name, comparison.search, evaluator),
        over_uniform=against(comparison, name, UNIFORM, evaluator),
    )


def _changes(own: Sequence[Result], base: Sequence[Result], evaluator: str) -> Metrics:
    """Every metric relative to the reference's, minus 1, paired by seed."""
    pairs = zip(*_paired(own, base, evaluator), strict=True)
    return _metrics(
        own, [change_interval(mine, theirs, np.arange(len(mine))) for mine, theirs in pairs]
    )


def _metrics(results: Sequence[Result], intervals: Sequence[Interval]) -> Metrics:
    """Intervals in the order of `_measured`, with the names and signs of the log's feedbacks."""
    evaluated = next(iter(results[0].evaluated.values()))
    names = tuple(evaluated.rates)
    return Metrics.of(intervals, names, tuple(evaluated.rate_signs[name] for name in names))


def _paired(
    own: Sequence[Result], base: Sequence[Result], evaluator: str
) -> tuple[FloatArray, FloatArray]:
    """The metrics of the seeds that both have, (metrics, seeds) each."""
    mine, theirs = _values(own, evaluator), _values(base, evaluator)
    seeds = sorted(set(mine) & set(theirs))
    first, second = ({seed: values[seed] for seed in seeds} for values in (mine, theirs))
    return _stacked(first).T, _stacked(second).T


def _values(results: Sequence[Result], evaluator: str) -> dict[int, FloatArray]:
    """Each seed's metrics, in the order of `Metrics.all`."""
    return {result.seed: _measured(result.evaluated[evaluator]) for result in results}


def _stacked(values: dict[int, FloatArray]) -> FloatArray:
    return np.stack([values[seed] for seed in sorted(values)])  # (seeds, metrics)


def _measured(evaluated: EvaluatedPolicy) -> FloatArray:
    return np.array(
        [
            evaluated.reward,
            evaluated.depth,
            60.0 * evaluated.watch_minutes,
            *evaluated.rates.values(),
        ]
    )
