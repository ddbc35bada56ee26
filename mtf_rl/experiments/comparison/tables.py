"""Results of a comparison, as tables."""

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.core.tasks import FEEDBACKS
from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.over_seeds import (
    interquartile_mean,
    mean_over_seeds,
    normalised_score,
    paired_over_seeds,
    probability_of_improvement,
)
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.contestants import CONTESTANTS, STATIC
from mtf_rl.experiments.comparison.work import REFERENCE, REFERENCE_BUDGETS, RETENTION, SESSION
from mtf_rl.experiments.tables import Table

__all__ = [
    "against",
    "exploits",
    "ordered",
    "rewards_by_budget",
    "summary_of",
    "tables_of",
]

UNIFORM = "uniform"


def tables_of(comparison: Comparison) -> list[Table]:
    """Every table that has results."""
    evaluators = comparison.results.evaluators()
    tables = [leaderboard_table(comparison, evaluator) for evaluator in reversed(evaluators)]
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
    return tables


def summary_of(comparison: Comparison) -> list[str]:
    """The settings, and the differences of the headline learners, in sentences."""
    config = comparison.config
    done = (
        f"Every contestant has {config.seeds} seeds; the headline contestants (in bold) have"
        f" {config.headline_seeds}. They are selected on tuning users in the simulator: the"
        f" learners {', '.join(comparison.learners)}, the search {comparison.search}, and the best"
        f" search for static weights, {comparison.tuned_once}. Each policy plays"
        f" {config.sessions:,} sessions of final users with each evaluator."
    )
    pairs = [(name, comparison.search) for name in comparison.learners]
    if comparison.tuned_once != comparison.search:
        pairs.append((comparison.search, comparison.tuned_once))
        pairs += [(name, comparison.tuned_once) for name in comparison.learners]
    stands = [
        f"{name} over {other}: "
        + "; ".join(
            f"{_over(comparison, name, other, evaluator)} in the {_evaluator(evaluator)}"
            for evaluator in reversed(comparison.results.evaluators())
        )
        + " (paired by seed, 95 % CI)."
        for name, other in pairs
        if name != other
    ]
    left_out = f"Not shown, because seeds are missing: {', '.join(comparison.unfinished)}."
    return [done, *stands, *([left_out] if comparison.unfinished else [])]


def ordered(comparison: Comparison, evaluator: str, *, track: str = SESSION) -> list[str]:
    """Contestants by mean reward over the common seeds, the best first."""
    results = comparison.common
    return sorted(
        results.names(track=track),
        key=lambda name: -results.mean(name, "reward", evaluator, track=track),
    )


def against(comparison: Comparison, name: str, other: str, evaluator: str) -> Interval:
    """Paired difference of session reward over seeds."""
    return paired_over_seeds(*comparison.results.paired(name, other, evaluator))


def leaderboard_table(comparison: Comparison, evaluator: str) -> Table:
    """Every contestant under one evaluator."""
    rows = []
    results = comparison.common
    for name in ordered(comparison, evaluator):
        mean = mean_over_seeds(np.array(list(results.rewards(name, evaluator).values())))
        rows.append(
            (
                _title(comparison, name),
                _interval(mean, "{:.2f}"),
                str(len(comparison.results.of(name))),
                _over(comparison, name, comparison.search, evaluator),
                _over(comparison, name, UNIFORM, evaluator),
                _guarded(comparison, name, evaluator, "depth"),
                f"{results.mean(name, 'watch_minutes', evaluator):.1f}",
                *(
                    f"{1000.0 * results.mean_rate(name, task.name, evaluator):.3g}"
                    for task in FEEDBACKS[:-1]
                ),
                _guarded(comparison, name, evaluator, "hate"),
                f"{np.mean([result.seconds for result in results.of(name)]):.0f}",
            )
        )
    heads = (
        "policy",
        "session reward",
        "seeds",
        f"over {comparison.search}",
        "over uniform",
        "requests a session",
        "watch minutes",
        *(f"{task.name} ‰" for task in FEEDBACKS),
        "seconds",
    )
    return Table(
        f"Evaluator: {_evaluator(evaluator)}",
        heads,
        tuple(rows),
        f"Means over the {comparison.config.seeds} seeds that all contestants have, with 95 %"
        " t-intervals. Differences are paired by seed, over all common seeds of the pair (`seeds`)."
        " Rates are per mille of shown videos. `!` marks sessions that are significantly shorter,"
        " or hate that is significantly more frequent, than with uniform weights."
        + "".join(f" {note.rstrip('.')}." for note in comparison.notes if evaluator == SIMULATOR),
    )


def statistics_table(comparison: Comparison) -> Table:
    """Further statistics, with the decisive evaluator."""
    evaluator, results = comparison.evaluator, comparison.common
    names = ordered(comparison, evaluator)
    zero = results.mean(UNIFORM, "reward", evaluator)
    best, hundred = best_known(comparison)
    rows = []
    for name in names:
        values = np.array(list(results.rewards(name, evaluator).values()))
        rows.append(
            (
                _title(comparison, name),
                _interval(interquartile_mean(values), "{:.2f}"),
                f"{normalised_score(float(values.mean()), zero=zero, hundred=hundred):.0f}",
                _wins(comparison, name, evaluator),
                f"{np.mean([result.tuning_reward for result in results.of(name)]):.2f}",
            )
        )
    return Table(
        f"Other figures, evaluator: {_evaluator(evaluator)}",
        (
            "policy",
            "interquartile mean",
            "score",
            f"probability of improvement over {comparison.search}",
            "on tuning users, simulator",
        ),
        tuple(rows),
        f"Over the {comparison.config.seeds} seeds that all contestants have; the probability is"
        " over all common seeds of the pair. Intervals are bootstrap intervals. With fewer than"
        " four seeds the interquartile mean is the mean. Score: 0 for uniform weights, 100 for"
        f" {best} ({hundred:.2f}).",
    )


def best_known(comparison: Comparison) -> tuple[str, float]:
    """The best policy of the decisive evaluator, in words, and its mean session reward.

    Contestants and references count; references train in the ground truth with a larger budget.
    """
    evaluator, results = comparison.evaluator, comparison.common
    best = ordered(comparison, evaluator)[0]
    value = results.mean(best, "reward", evaluator)
    words = f"the best contestant, {best}"
    for name in results.names(track=REFERENCE):
        reference = results.mean(name, "reward", evaluator, track=REFERENCE)
        if reference > value:
            value = reference
            words = f"{name} trained in the ground truth with {REFERENCE_BUDGETS} times the budget"
    return words, value


def rewards_by_budget(comparison: Comparison, evaluator: str) -> dict[str, FloatArray]:
    """Session reward of contestants with results for every budget, (budgets, seeds), best first.

    Seeds are those that all of them have with every budget; empty where there is none.
    """
    results, fractions = comparison.common, [*sorted(comparison.config.fractions), 1.0]
    found = {
        name: [results.rewards(name, evaluator, fraction=fraction) for fraction in fractions]
        for name in ordered(comparison, evaluator)
        if len(fractions) > 1 and results.of(name, fraction=fractions[0])
    }
    sets = [set(rewards) for by_fraction in found.values() for rewards in by_fraction]
    seeds = sorted(set.intersection(*sets)) if sets else []
    if not seeds:
        return {}
    return {
        name: np.array([[rewards[seed] for seed in seeds] for rewards in by_fraction])
        for name, by_fraction in found.items()
    }


def budget_table(comparison: Comparison) -> Table:
    """The value by fraction of the budget, each trained again."""
    evaluator = comparison.evaluator
    found = rewards_by_budget(comparison, evaluator)
    seeds = next(iter(found.values())).shape[1] if found else 0
    rows = tuple(
        (name, *(f"{mean:.2f}" for mean in rewards.mean(axis=1))) for name, rewards in found.items()
    )
    requests = comparison.config.requests
    fractions = [*sorted(comparison.config.fractions), 1.0]
    return Table(
        f"Session reward by budget, evaluator: {_evaluator(evaluator)}",
        ("policy", *(f"{int(fraction * requests):,}" for fraction in fractions)),
        rows,
        "Every contestant learns again with the smaller budget, in requests. Means over the seeds"
        f" that all contestants have with every budget ({seeds}).",
    )


def per_request_table(comparison: Comparison) -> Table:
    """The gain of weights per request over static weights."""
    once, results = comparison.tuned_once, comparison.results
    rows = []
    for name in ordered(comparison, comparison.evaluator):
        contestant = CONTESTANTS[name]
        if (
            contestant.kind == STATIC
            or contestant.tuned_once
            or contestant.myopic_baseline_of is not None
        ):
            continue
        cells = [_title(comparison, name), contestant.kind, str(len(results.of(name)))]
        for evaluator in reversed(results.evaluators()):
            first, second = results.paired(name, once, evaluator)
            difference = paired_over_seeds(first, second)
            cells.append(_interval(difference, "{:+.2f}"))
            cells.append(_percent(difference.mean / second.mean()))
        rows.append(tuple(cells))
    heads = [
        cell
        for evaluator in reversed(results.evaluators())
        for cell in (f"over {once}, {_evaluator(evaluator)}", "relative")
    ]
    return Table(
        "Weights per request over static weights",
        ("policy", "kind", "seeds", *heads),
        tuple(rows),
        f"{once} is the best search for static weights, selected on tuning users. The table has all"
        " contestants whose weights depend on the user or the request, learners and searches."
        " Differences are paired by seed.",
    )


def myopic_table(comparison: Comparison) -> Table:
    """The gain of a long horizon: each learner over its myopic baseline."""
    results = comparison.results
    rows = []
    for name in results.names():
        long = CONTESTANTS[name].myopic_baseline_of
        if long in results.names():
            for evaluator in results.evaluators():
                first, second = results.paired(long, name, evaluator)
                difference = paired_over_seeds(first, second)
                rows.append(
                    (
                        long,
                        _evaluator(evaluator),
                        str(len(first)),
                        _interval(difference, "{:+.2f}"),
                        _percent(difference.mean / second.mean()),
                    )
                )
    return Table(
        "Learners over their myopic baselines",
        ("learner", "evaluator", "seeds", "session reward over the myopic baseline", "relative"),
        tuple(rows),
    )


def gap_table(comparison: Comparison) -> Table:
    """Values in the simulator and in the ground truth, and which policies exploit the simulator."""
    results = comparison.common
    simulated, true = (ordered(comparison, evaluator) for evaluator in (SIMULATOR, GROUND_TRUTH))
    first, second = (
        np.array([results.mean(name, "reward", evaluator) for name in true])
        for evaluator in (SIMULATOR, GROUND_TRUTH)
    )
    rank = float(stats.spearmanr(first, second).statistic)
    rows = tuple(
        (
            name,
            f"{results.mean(name, 'reward', SIMULATOR):.2f}",
            f"{results.mean(name, 'reward', GROUND_TRUTH):.2f}",
            str(simulated.index(name) + 1),
            str(position + 1),
            "yes" if exploits(comparison, name) else "",
        )
        for position, name in enumerate(true)
    )
    return Table(
        "Simulator against ground truth",
        (
            "policy",
            "simulator",
            "ground truth",
            "rank in the simulator",
            "rank in the ground truth",
            "exploits the simulator",
        ),
        rows,
        f"Rank correlation {rank:.2f} over {len(true)} policies. A policy exploits the simulator"
        " if its rank in the ground truth is a quarter of the table or more below its rank in the"
        " simulator, or if it beats the headline search in the simulator and loses to it in the"
        " ground truth, both significantly.",
    )


def exploits(comparison: Comparison, name: str) -> bool:
    """Whether a policy's gain in the simulator is absent in the ground truth."""
    simulated, true = (ordered(comparison, evaluator) for evaluator in (SIMULATOR, GROUND_TRUTH))
    fell = true.index(name) - simulated.index(name) >= max(2, len(true) / 4)
    if name == comparison.search:
        return fell
    gains = [
        against(comparison, name, comparison.search, evaluator)
        for evaluator in (SIMULATOR, GROUND_TRUTH)
    ]
    return fell or (gains[0].low > 0.0 and gains[1].high < 0.0)


def seesaw_table(comparison: Comparison) -> Table:
    """Three rewards against every feedback, relative to uniform weights."""
    evaluator, results = comparison.evaluator, comparison.common
    rows = []
    for name in (comparison.learner, comparison.search):
        for track in (SESSION, "watch_time", "interaction"):
            if not results.of(name, track=track):
                continue
            cells = [
                results.mean(name, measure, evaluator, track=track)
                / results.mean(UNIFORM, measure, evaluator)
                for measure in ("depth", "watch_minutes")
            ]
            cells += [
                results.mean_rate(name, task.name, evaluator, track=track)
                / results.mean_rate(UNIFORM, task.name, evaluator)
                for task in FEEDBACKS
            ]
            rows.append((name, track, *(_percent(cell - 1.0) for cell in cells)))
    return Table(
        f"Seesaw, evaluator: {_evaluator(evaluator)}",
        ("policy", "trained for", "requests", "watch time", *(task.name for task in FEEDBACKS)),
        tuple(rows),
        "Relative to uniform weights: requests and watch time of a session, feedbacks per shown"
        " video. `session` is the run's own reward.",
    )


def retention_table(comparison: Comparison, evaluator: str) -> Table:
    """Episodes of several sessions of a user."""
    results = comparison.results
    rows = []
    for name in ordered(comparison, evaluator, track=RETENTION):
        found = results.of(name, track=RETENTION)
        measured = [
            mean_over_seeds(np.array([getattr(one.evaluated[evaluator], measure) for one in found]))
            for measure in ("reward", "return_days", "visits_a_week", "depth")
        ]
        forms = ("{:.2f}", "{:.3f}", "{:.3f}", "{:.1f}")
        cells = [_interval(*pair) for pair in zip(measured, forms, strict=True)]
        rows.append((name, str(len(found)), *cells))
    return Table(
        f"Retention, evaluator: {_evaluator(evaluator)}",
        (
            "policy",
            "seeds",
            "episode reward",
            "days to the next active day",
            "sessions a week",
            "requests",
        ),
        tuple(rows),
        "Trained and evaluated on `FusionRetention-v0`: up to six sessions of a user; a day away"
        " costs a reward of 1.",
    )


def stale_table(comparison: Comparison) -> Table:
    """Values of frozen policies with refitted scorers."""
    evaluator, results = comparison.evaluator, comparison.results
    rows = []
    before, after = [], []
    for name in (name for name in ordered(comparison, evaluator) if name in comparison.rescored):
        rewards = results.rewards(name, evaluator)
        seeds = sorted(comparison.rescored[name])
        old = np.array([rewards[seed] for seed in seeds])
        new = np.array([np.mean(comparison.rescored[name][seed][evaluator]) for seed in seeds])
        change = paired_over_seeds(new, old)
        before.append(old.mean())
        after.append(new.mean())
        rows.append(
            (
                _title(comparison, name),
                f"{old.mean():.2f}",
                f"{new.mean():.2f}",
                _interval(change, "{:+.2f}"),
                _percent(change.mean / old.mean()),
            )
        )
    rank = float(stats.spearmanr(np.array(before), np.array(after)).statistic)
    scorers = max(
        len(rewards[evaluator])
        for by_seed in comparison.rescored.values()
        for rewards in by_seed.values()
    )
    return Table(
        f"With a refitted scorer, evaluator: {_evaluator(evaluator)}",
        ("policy", "with its own scorer", "with refitted scorers", "change", "relative"),
        tuple(rows),
        f"Frozen policies with {scorers} scorers of other seeds, in the same sessions. Means over"
        f" {comparison.config.seeds} seeds of the learners. Intervals are over these seeds, and do"
        " not contain the noise of the scorers. Rank correlation of the two columns:"
        f" {rank:.2f}.",
    )


def _guarded(comparison: Comparison, name: str, evaluator: str, measure: str) -> str:
    """A guardrail's value, marked where it is worse than uniform weights' beyond the interval."""
    results = comparison.results

    def values(contestant: str) -> dict[int, float]:
        return {
            one.seed: (
                one.evaluated[evaluator].rates["hate"]
                if measure == "hate"
                else one.evaluated[evaluator].depth
            )
            for one in results.of(contestant)
        }

    mine, uniform = values(name), values(UNIFORM)
    seeds = sorted(set(mine) & set(uniform))
    difference = paired_over_seeds(
        np.array([mine[seed] for seed in seeds]), np.array([uniform[seed] for seed in seeds])
    )
    mean = float(np.mean([mine[seed] for seed in mine if seed < comparison.config.seeds]))
    worse = difference.low > 0.0 if measure == "hate" else difference.high < 0.0
    text = f"{1000.0 * mean:.2f}" if measure == "hate" else f"{mean:.2f}"
    return f"{text} !" if worse else text


def _title(comparison: Comparison, name: str) -> str:
    headlines = (*comparison.learners, comparison.search, comparison.tuned_once)
    return f"**{name}**" if name in headlines else name


def _evaluator(evaluator: str) -> str:
    return evaluator.replace("_", " ")


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:+.1f} %"


def _interval(interval: Interval, form: str) -> str:
    low, high = form.format(interval.low), form.format(interval.high)
    return f"{form.format(interval.mean)} [{low}, {high}]"


def _over(comparison: Comparison, name: str, other: str, evaluator: str) -> str:
    if name == other:
        return ""
    return _interval(against(comparison, name, other, evaluator), "{:+.2f}")


def _wins(comparison: Comparison, name: str, evaluator: str) -> str:
    if name == comparison.search:
        return ""
    paired = comparison.results.paired(name, comparison.search, evaluator)
    return _interval(probability_of_improvement(*paired), "{:.2f}")
