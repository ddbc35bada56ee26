"""The results of a comparison as typed tables."""

import numpy as np

from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.evaluation import Interval, change_interval
from mtf_rl.evaluation.over_seeds import (
    interquartile_mean,
    mean_over_seeds,
    normalised_score,
    paired_over_seeds,
    probability_of_improvement,
)
from mtf_rl.experiments.answer import evaluator_words, less_is_better, reference_words
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, STATIC
from mtf_rl.experiments.comparison.numbers import (
    UNIFORM,
    ComparisonRow,
    best_known,
    exploits,
    ordered,
    rank_correlation,
    rewards_by_budget,
    rows_of,
    seesaw_rows,
)
from mtf_rl.experiments.comparison.work import RETENTION
from mtf_rl.experiments.tables import Cell, Column, Marked, Table

__all__ = ["leaderboard_tables", "printed_tables", "tables_of"]


def tables_of(comparison: Comparison) -> list[Table]:
    """All tables with results, the deciding evaluator's first."""
    evaluators = comparison.results.evaluators()[::-1]
    tables = []
    for evaluator in evaluators:
        tables += [*leaderboard_tables(comparison, evaluator), changes_table(comparison, evaluator)]
    return [*tables, *_further_tables(comparison)]


def printed_tables(comparison: Comparison) -> list[Table]:
    """The tables for the terminal: of the other evaluator only the rewards."""
    others = [name for name in comparison.results.evaluators() if name != comparison.evaluator]
    return [
        *leaderboard_tables(comparison, comparison.evaluator),
        *(leaderboard_tables(comparison, evaluator)[0] for evaluator in others),
        *_further_tables(comparison),
    ]


def leaderboard_tables(comparison: Comparison, evaluator: str) -> list[Table]:
    """Reward, engagement and rates of every contestant under one evaluator."""
    rows, reference = rows_of(comparison, evaluator), comparison.reference
    return [
        _reward_table(comparison, evaluator, rows),
        Table(
            f"Session length and watch time, evaluator: {evaluator}",
            (
                Column("policy"),
                Column("requests per session"),
                Column(f"over {reference}", signed=True, better=1),
                Column("watch minutes per session", scale=1.0 / 60.0),
                Column(f"over {reference}, minutes", scale=1.0 / 60.0, signed=True, better=1),
            ),
            tuple(
                (
                    row.policy,
                    row.metrics.depth,
                    _guarded(row, 1),
                    row.metrics.watch_seconds,
                    _guarded(row, 2),
                )
                for row in rows
            ),
            bold=_headlines(comparison),
        ),
        Table(
            f"Feedback per 1,000 shown videos, evaluator: {evaluator}",
            (
                Column("policy"),
                *(Column(name, scale=1_000.0) for name in rows[0].metrics.rate_names),
            ),
            tuple((row.policy, *_rates(row)) for row in rows),
            "! marks a value that is significantly worse than with"
            f" {reference_words(reference)} (95 % CI of the difference).",
            bold=_headlines(comparison),
        ),
    ]


def changes_table(comparison: Comparison, evaluator: str) -> Table:
    """Change of every metric relative to the reference, in %."""
    metrics = rows_of(comparison, evaluator)[0].metrics
    heads = zip(metrics.names, metrics.signs, strict=True)
    return Table(
        f"Change against {reference_words(comparison.reference)} in %, evaluator: {evaluator}",
        (
            Column("policy"),
            *(Column(name, scale=100.0, signed=True, better=sign) for name, sign in heads),
        ),
        tuple(
            (row.policy, *row.changes.all)
            for row in rows_of(comparison, evaluator)
            if row.policy != comparison.reference
        ),
        "Paired by seed, with 95 % CIs over seeds. Feedback is per shown video."
        + less_is_better(metrics),
        bold=_headlines(comparison),
    )


def statistics_table(comparison: Comparison) -> Table:
    """Statistics other than the mean, under the deciding evaluator."""
    evaluator, results = comparison.evaluator, comparison.common
    zero = results.mean(UNIFORM, "reward", evaluator)
    best, hundred = best_known(comparison)
    rows = []
    for name in ordered(comparison, evaluator):
        values = np.array(list(results.rewards(name, evaluator).values()))
        rows.append(
            (
                name,
                interquartile_mean(values),
                normalised_score(float(values.mean()), zero=zero, hundred=hundred),
                _wins(comparison, name, evaluator),
                float(np.mean([result.tuning_reward for result in results.of(name)])),
                float(np.mean([result.seconds for result in results.of(name)])),
            )
        )
    return Table(
        f"Other statistics, evaluator: {evaluator}",
        (
            Column("policy"),
            Column("interquartile mean", decimals=2),
            Column("score", decimals=0),
            Column(f"probability of improvement over {comparison.search}", decimals=2),
            Column("reward on tuning users, simulator", decimals=2),
            Column("seconds of training", decimals=0),
        ),
        tuple(rows),
        f"Over the {comparison.config.seeds} seeds that all contestants have; the probability of"
        " improvement is over all seeds that both have. 95 % bootstrap intervals; with fewer than"
        " four seeds the interquartile mean is the mean. Score: 0 for uniform weights, 100 for"
        f" {best} ({hundred:.2f}).",
        bold=_headlines(comparison),
    )


def budget_table(comparison: Comparison) -> Table:
    """Session reward by budget; each budget has its own training."""
    evaluator = comparison.evaluator
    by_name = rewards_by_budget(comparison, evaluator)
    seeds = next(iter(by_name.values())).shape[1] if by_name else 0
    fractions = [*sorted(comparison.config.fractions), 1.0]
    budgets = [f"{int(fraction * comparison.config.requests):,}" for fraction in fractions]
    return Table(
        f"Session reward by budget in requests, evaluator: {evaluator}",
        (Column("policy"), *(Column(budget) for budget in budgets)),
        tuple(
            (name, *(mean_over_seeds(values) for values in rewards))
            for name, rewards in by_name.items()
        ),
        "Every contestant is trained again with each budget. Means and 95 % CIs over the"
        f" {seeds} seeds that all contestants have with every budget.",
        bold=_headlines(comparison),
    )


def per_request_table(comparison: Comparison) -> Table:
    """The benefit of per-request weights over static weights that are tuned once."""
    once, results = comparison.tuned_once, comparison.results
    evaluators = results.evaluators()[::-1]
    rows: list[tuple[Cell, ...]] = []
    for name in ordered(comparison, comparison.evaluator):
        contestant = CONTESTANTS[name]
        if (
            contestant.kind == STATIC
            or contestant.tuned_once
            or contestant.myopic_baseline_of is not None
        ):
            continue
        cells: list[Cell] = [name, contestant.kind, len(results.of(name))]
        for evaluator in evaluators:
            cells += _difference(comparison, name, once, evaluator)
        rows.append(tuple(cells))
    heads = [
        column
        for evaluator in evaluators
        for column in (
            Column(f"over {once}, {evaluator_words(evaluator)}", signed=True, better=1),
            Column("in %", scale=100.0, signed=True, decimals=1, better=1),
        )
    ]
    return Table(
        "Per-request weights over weights tuned once",
        (Column("policy"), Column("kind"), Column("seeds"), *heads),
        tuple(rows),
        f"Tuned once: {once}, the best search for static weights on tuning users. The table has all"
        " contestants whose weights depend on the user or the request. Differences are paired by"
        " seed, with 95 % CIs over seeds.",
        bold=_headlines(comparison),
    )


def myopic_table(comparison: Comparison) -> Table:
    """The benefit of a positive gamma: each learner over its myopic baseline."""
    results = comparison.results
    rows: list[tuple[Cell, ...]] = []
    for name in results.names():
        learner = CONTESTANTS[name].myopic_baseline_of
        if learner in results.names():
            for evaluator in results.evaluators():
                seeds = len(results.paired(learner, name, evaluator)[0])
                rows.append(
                    (learner, evaluator, seeds, *_difference(comparison, learner, name, evaluator))
                )
    return Table(
        "Learners over their myopic baselines",
        (
            Column("learner"),
            Column("evaluator"),
            Column("seeds"),
            Column("session reward over the myopic baseline", signed=True, better=1),
            Column("in %", scale=100.0, signed=True, decimals=1, better=1),
        ),
        tuple(rows),
        bold=_headlines(comparison),
    )


def gap_table(comparison: Comparison) -> Table:
    """Session reward in simulator and ground truth; policies that exploit the simulator."""
    results = comparison.common
    simulated, true = (ordered(comparison, evaluator) for evaluator in (SIMULATOR, GROUND_TRUTH))
    first, second = (
        [results.mean(name, "reward", evaluator) for name in true]
        for evaluator in (SIMULATOR, GROUND_TRUTH)
    )
    return Table(
        "Simulator against ground truth",
        (
            Column("policy"),
            Column("simulator", decimals=2),
            Column("ground truth", decimals=2),
            Column("rank in the simulator"),
            Column("rank in the ground truth"),
            Column("exploits the simulator"),
        ),
        tuple(
            (
                name,
                first[position],
                second[position],
                simulated.index(name) + 1,
                position + 1,
                "yes" if exploits(comparison, name) else "",
            )
            for position, name in enumerate(true)
        ),
        f"Rank correlation {rank_correlation(first, second):.2f} over {len(true)} policies. A"
        " policy that was trained or searched in the simulator exploits it in two cases: its rank"
        " in the ground truth is lower than its rank in the simulator by a quarter of the table or"
        " more; or it is significantly better than the headline search in the simulator and"
        " significantly worse in the ground truth.",
        bold=_headlines(comparison),
    )


def seesaw_table(comparison: Comparison) -> Table:
    """Change of every metric relative to the reference, after training for each reward."""
    metrics = rows_of(comparison, comparison.evaluator)[0].metrics
    heads = list(zip(metrics.names, metrics.signs, strict=True))[1:]
    return Table(
        f"Seesaw: effect of the training reward on each metric, evaluator: {comparison.evaluator}",
        (
            Column("policy"),
            Column("trained for"),
            *(Column(f"{name}, %", scale=100.0, signed=True, better=sign) for name, sign in heads),
        ),
        tuple((row.policy, row.track, *row.changes.all[1:]) for row in seesaw_rows(comparison)),
        f"Change against {reference_words(comparison.reference)}, with 95 % CIs over the seeds that"
        " all have. Session is the run's own reward. Feedback is per shown video.",
        bold=_headlines(comparison),
    )


def retention_table(comparison: Comparison, evaluator: str) -> Table:
    """Results on episodes of several sessions of a user."""
    results = comparison.results
    measures = ("reward", "return_days", "visits_a_week", "depth")
    rows: list[tuple[Cell, ...]] = []
    for name in ordered(comparison, evaluator, track=RETENTION):
        played = [result.evaluated[evaluator] for result in results.of(name, track=RETENTION)]
        means = [mean_over_seeds(np.array([getattr(p, m) for p in played])) for m in measures]
        rows.append((name, len(played), *means))
    return Table(
        f"Retention, evaluator: {evaluator}",
        (
            Column("policy"),
            Column("seeds"),
            Column("episode reward"),
            Column("days to the next active day"),
            Column("sessions per week"),
            Column("requests per episode"),
        ),
        tuple(rows),
        "Trained and evaluated on FusionRetention-v0, with up to six sessions of a user. Each day"
        " of absence costs a reward of 1.",
    )


def stale_table(comparison: Comparison) -> Table:
    """Session reward of frozen policies with refitted scorers."""
    evaluator, results = comparison.evaluator, comparison.results
    rows: list[tuple[Cell, ...]] = []
    before, after = [], []
    for name in (name for name in ordered(comparison, evaluator) if name in comparison.rescored):
        rewards = results.rewards(name, evaluator)
        seeds = sorted(comparison.rescored[name])
        old = np.array([rewards[seed] for seed in seeds])
        new = np.array([np.mean(comparison.rescored[name][seed][evaluator]) for seed in seeds])
        change = paired_over_seeds(new, old)
        before.append(float(old.mean()))
        after.append(float(new.mean()))
        rows.append((name, before[-1], after[-1], change, change.mean / before[-1]))
    scorers = max(
        len(rewards[evaluator])
        for by_seed in comparison.rescored.values()
        for rewards in by_seed.values()
    )
    return Table(
        f"With refitted scorers, evaluator: {evaluator}",
        (
            Column("policy"),
            Column("with its own scorer", decimals=2),
            Column("with other scorers", decimals=2),
            Column("change", signed=True, better=1),
            Column("in %", scale=100.0, signed=True, decimals=1, better=1),
        ),
        tuple(rows),
        f"Frozen policies in the same sessions; number of scorers with other seeds: {scorers}."
        f" Means are over {comparison.config.seeds} seeds of the learners. The CIs are over these"
        " seeds and do not cover the scorers' seeds. Rank correlation of the first two columns:"
        f" {rank_correlation(before, after):.2f}.",
        bold=_headlines(comparison),
    )


def _further_tables(comparison: Comparison) -> list[Table]:
    """All tables except the leaderboards."""
    evaluators = comparison.results.evaluators()
    tables = []
    if comparison.tuned_once != UNIFORM:
        tables.append(per_request_table(comparison))
    tables.append(statistics_table(comparison))
    if rewards_by_budget(comparison, comparison.evaluator):
        tables.append(budget_table(comparison))
    tables.append(myopic_table(comparison))
    if len(evaluators) > 1:
        tables.append(gap_table(comparison))
    if comparison.results.names(track="watch_time"):
        tables.append(seesaw_table(comparison))
    if comparison.results.names(track=RETENTION):
        tables += [retention_table(comparison, evaluator) for evaluator in reversed(evaluators)]
    if comparison.rescored:
        tables.append(stale_table(comparison))
    return [table for table in tables if table.rows]


def _reward_table(comparison: Comparison, evaluator: str, rows: list[ComparisonRow]) -> Table:
    reference, search = comparison.reference, comparison.search
    others = list(dict.fromkeys((reference, UNIFORM, search)))
    pairs = {
        reference: [row.differences.reward for row in rows],
        UNIFORM: [row.over_uniform for row in rows],
        search: [row.over_search for row in rows],
    }
    heads = [Column(f"over {name}", signed=True, min_decimals=1, better=1) for name in others]
    percent = Column("in %", scale=100.0, signed=True, decimals=1)
    columns = [
        Column("policy"),
        Column("seeds"),
        Column("session reward", min_decimals=1),
        heads[0],
        percent,
    ]
    cells = [
        (
            row.policy,
            row.seeds,
            row.metrics.reward,
            *_blank_for(row, reference, Marked(row.differences.reward)
                        if row.differences.worse()[0] else row.differences.reward),
            *_blank_for(row, reference, row.changes.reward.mean),
            *(
                cell
                for name in others[1:]
                for cell in _blank_for(row, name, pairs[name][position])
            ),
        )
        for position, row in enumerate(rows)
    ]  # fmt: skip
    notes = [note.rstrip(".") for note in comparison.notes if evaluator == SIMULATOR]
    return Table(
        f"Session reward, evaluator: {evaluator}",
        (*columns, *heads[1:]),
        tuple(cells),
        f"Means over the {comparison.config.seeds} seeds that all contestants have. Differences are"
        " paired by seed, over all seeds that both have. ± and [ ] are 95 % CIs over seeds."
        f" ! marks a value that is significantly worse than with {reference_words(reference)}."
        + "".join(f" {note}." for note in notes),
        bold=_headlines(comparison),
    )


def _blank_for(row: ComparisonRow, other: str, cell: Cell) -> tuple[Cell]:
    return ("" if row.policy == other else cell,)


def _guarded(row: ComparisonRow, metric: int) -> Cell:
    """A difference from the reference, marked if it is significantly worse."""
    if row.policy == row.reference:
        return ""
    difference = row.differences.all[metric]
    return Marked(difference) if row.differences.worse()[metric] else difference


def _rates(row: ComparisonRow) -> list[Cell]:
    worse = row.differences.worse()[-len(row.metrics.rates) :]
    return [
        Marked(rate) if is_worse else rate
        for rate, is_worse in zip(row.metrics.rates, worse, strict=True)
    ]


def _difference(
    comparison: Comparison, name: str, other: str, evaluator: str
) -> tuple[Interval, float]:
    """The difference in session reward, paired by seed, and the relative difference."""
    first, second = comparison.results.paired(name, other, evaluator)
    change = change_interval(first, second, np.arange(len(first)))
    return paired_over_seeds(first, second), change.mean


def _headlines(comparison: Comparison) -> frozenset[str]:
    return frozenset({*comparison.learners, comparison.search, comparison.tuned_once})


def _wins(comparison: Comparison, name: str, evaluator: str) -> Cell:
    if name == comparison.search:
        return ""
    paired = comparison.results.paired(name, comparison.search, evaluator)
    return probability_of_improvement(*paired)
