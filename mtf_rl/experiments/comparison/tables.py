"""What a comparison found, as tables."""

import numpy as np
from scipy import stats

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.protocols import SIMULATOR, SYNTHETIC_TRUTH
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
    """All that there are results for."""
    judges = comparison.results.judges()
    tables = [leaderboard_table(comparison, judge) for judge in reversed(judges)]
    if comparison.tuned_once != UNIFORM:
        tables.append(per_request_table(comparison))
    tables.append(statistics_table(comparison))
    if rewards_by_budget(comparison, comparison.judge):
        tables.append(budget_table(comparison))
    tables.append(twin_table(comparison))
    if len(judges) > 1:
        tables.append(gap_table(comparison))
    if comparison.results.names(track="watch_time"):
        tables.append(seesaw_table(comparison))
    if comparison.results.names(track=RETENTION):
        tables += [retention_table(comparison, judge) for judge in reversed(judges)]
    if comparison.rescored:
        tables.append(stale_table(comparison))
    return tables


def summary_of(comparison: Comparison) -> list[str]:
    """What was done, and how the headline learners stand, in sentences."""
    config = comparison.config
    done = (
        f"{config.seeds} seeds for everyone, {config.headline_seeds} for the headlines (in bold):"
        f" learners {', '.join(comparison.learners)}, named on tuning users in the simulator, and"
        f" likewise the search {comparison.search} and the best search for weights that are tuned"
        f" once, {comparison.tuned_once}. {config.sessions:,} sessions of final users for each"
        " policy and judge."
    )
    pairs = [(name, comparison.search) for name in comparison.learners]
    if comparison.tuned_once != comparison.search:
        pairs.append((comparison.search, comparison.tuned_once))
        pairs += [(name, comparison.tuned_once) for name in comparison.learners]
    stands = [
        f"{name} over {other}: "
        + "; ".join(
            f"{_over(comparison, name, other, judge)} by {_judge(judge)}"
            for judge in reversed(comparison.results.judges())
        )
        + " (paired by seed, 95 % intervals)."
        for name, other in pairs
        if name != other
    ]
    left_out = f"Left out, since not all seeds are there: {', '.join(comparison.unfinished)}."
    return [done, *stands, *([left_out] if comparison.unfinished else [])]


def ordered(comparison: Comparison, judge: str, *, track: str = SESSION) -> list[str]:
    """Contestants by mean reward over the seeds that all have, the best first."""
    results = comparison.common
    return sorted(
        results.names(track=track),
        key=lambda name: -results.mean(name, "reward", judge, track=track),
    )


def against(comparison: Comparison, name: str, other: str, judge: str) -> Interval:
    """Paired difference of session reward over seeds."""
    return paired_over_seeds(*comparison.results.paired(name, other, judge))


def leaderboard_table(comparison: Comparison, judge: str) -> Table:
    """Every contestant under one judge."""
    rows = []
    results = comparison.common
    for name in ordered(comparison, judge):
        mean = mean_over_seeds(np.array(list(results.rewards(name, judge).values())))
        rows.append(
            (
                _title(comparison, name),
                _interval(mean, "{:.2f}"),
                str(len(comparison.results.of(name))),
                _over(comparison, name, comparison.search, judge),
                _over(comparison, name, UNIFORM, judge),
                _guarded(comparison, name, judge, "depth"),
                f"{results.mean(name, 'watch_minutes', judge):.1f}",
                *(
                    f"{1000.0 * results.mean_rate(name, task.name, judge):.3g}"
                    for task in FEEDBACKS[:-1]
                ),
                _guarded(comparison, name, judge, "hate"),
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
        f"Judge: {_judge(judge)}",
        heads,
        tuple(rows),
        f"Means over the {comparison.config.seeds} seeds that all have, with 95 % t-intervals;"
        " differences are paired by seed, over all seeds that both have (`seeds`). Rates are per"
        " mille of shown videos; `!` marks sessions that are shorter, or hate that is more"
        " frequent, than with uniform weights beyond the interval."
        + "".join(f" {note.rstrip('.')}." for note in comparison.notes if judge == SIMULATOR),
    )


def statistics_table(comparison: Comparison) -> Table:
    """What holds beside the mean, under the judge who has the last word."""
    judge, results = comparison.judge, comparison.common
    names = ordered(comparison, judge)
    zero = results.mean(UNIFORM, "reward", judge)
    best, hundred = best_known(comparison)
    rows = []
    for name in names:
        values = np.array(list(results.rewards(name, judge).values()))
        rows.append(
            (
                _title(comparison, name),
                _interval(interquartile_mean(values), "{:.2f}"),
                f"{normalised_score(float(values.mean()), zero=zero, hundred=hundred):.0f}",
                _wins(comparison, name, judge),
                f"{np.mean([result.tuning_reward for result in results.of(name)]):.2f}",
            )
        )
    return Table(
        f"Other figures, judge: {_judge(judge)}",
        (
            "policy",
            "interquartile mean",
            "score",
            f"probability of improvement over {comparison.search}",
            "on tuning users, simulator",
        ),
        tuple(rows),
        f"Over the {comparison.config.seeds} seeds that all have, but for the probability, which is"
        " over all that both have. Bootstrap intervals; of fewer than four seeds the interquartile"
        f" mean is the mean. Score: 0 for uniform weights, 100 for {best} ({hundred:.2f}).",
    )


def best_known(comparison: Comparison) -> tuple[str, float]:
    """Who is best under the judge who has the last word, in words, and the mean session reward.

    Of the contestants and of the references, which learn in the truth with a larger budget.
    """
    judge, results = comparison.judge, comparison.common
    best = ordered(comparison, judge)[0]
    value = results.mean(best, "reward", judge)
    words = f"the best of this table, {best}"
    for name in results.names(track=REFERENCE):
        reference = results.mean(name, "reward", judge, track=REFERENCE)
        if reference > value:
            value = reference
            words = f"{name} learnt in the truth itself with {REFERENCE_BUDGETS} times the budget"
    return words, value


def rewards_by_budget(comparison: Comparison, judge: str) -> dict[str, FloatArray]:
    """Session reward of those who learnt with every budget, (budgets, seeds), the best first.

    Seeds are those that all of them have with every budget; empty where there is none.
    """
    results, shares = comparison.common, [*sorted(comparison.config.shares), 1.0]
    found = {
        name: [results.rewards(name, judge, share=share) for share in shares]
        for name in ordered(comparison, judge)
        if len(shares) > 1 and results.of(name, share=shares[0])
    }
    sets = [set(rewards) for by_share in found.values() for rewards in by_share]
    seeds = sorted(set.intersection(*sets)) if sets else []
    if not seeds:
        return {}
    return {
        name: np.array([[rewards[seed] for seed in seeds] for rewards in by_share])
        for name, by_share in found.items()
    }


def budget_table(comparison: Comparison) -> Table:
    """The value by share of the budget, each learnt anew."""
    judge = comparison.judge
    found = rewards_by_budget(comparison, judge)
    seeds = next(iter(found.values())).shape[1] if found else 0
    rows = tuple(
        (name, *(f"{mean:.2f}" for mean in rewards.mean(axis=1))) for name, rewards in found.items()
    )
    requests = comparison.config.requests
    shares = [*sorted(comparison.config.shares), 1.0]
    return Table(
        f"Session reward by budget, judge: {_judge(judge)}",
        ("policy", *(f"{int(share * requests):,}" for share in shares)),
        rows,
        "Everyone learns anew with the smaller budget, in requests; means over the seeds that all"
        f" have with every budget ({seeds}).",
    )


def per_request_table(comparison: Comparison) -> Table:
    """What choosing weights per request is worth over weights that are tuned once."""
    once, results = comparison.tuned_once, comparison.results
    rows = []
    for name in ordered(comparison, comparison.judge):
        contestant = CONTESTANTS[name]
        if contestant.kind == STATIC or contestant.tuned_once or contestant.twin_of is not None:
            continue
        cells = [_title(comparison, name), contestant.kind, str(len(results.of(name)))]
        for judge in reversed(results.judges()):
            first, second = results.paired(name, once, judge)
            difference = paired_over_seeds(first, second)
            cells.append(_interval(difference, "{:+.2f}"))
            cells.append(f"{difference.mean / second.mean():+.1%}")
        rows.append(tuple(cells))
    heads = [
        cell
        for judge in reversed(results.judges())
        for cell in (f"over {once}, {_judge(judge)}", "share")
    ]
    return Table(
        "Weights per request over weights tuned once",
        ("policy", "kind", "seeds", *heads),
        tuple(rows),
        f"Tuned once: {once}, the best search for static weights, named on tuning users. Here are"
        " all whose weights depend on the user or the request, learners and searches; paired by"
        " seed.",
    )


def twin_table(comparison: Comparison) -> Table:
    """What looking ahead is worth: each learner over its myopic twin."""
    results = comparison.results
    rows = []
    for name in results.names():
        long = CONTESTANTS[name].twin_of
        if long in results.names():
            for judge in results.judges():
                first, second = results.paired(long, name, judge)
                difference = paired_over_seeds(first, second)
                rows.append(
                    (
                        long,
                        _judge(judge),
                        str(len(first)),
                        _interval(difference, "{:+.2f}"),
                        f"{difference.mean / second.mean():+.1%}",
                    )
                )
    return Table(
        "Learners over their myopic twins",
        ("learner", "judge", "seeds", "session reward over the twin", "share"),
        tuple(rows),
    )


def gap_table(comparison: Comparison) -> Table:
    """The simulator's value beside the true one; who gains in the simulator alone is named."""
    results = comparison.common
    simulated, true = (ordered(comparison, judge) for judge in (SIMULATOR, SYNTHETIC_TRUTH))
    first, second = (
        np.array([results.mean(name, "reward", judge) for name in true])
        for judge in (SIMULATOR, SYNTHETIC_TRUTH)
    )
    rank = float(stats.spearmanr(first, second).statistic)
    rows = tuple(
        (
            name,
            f"{results.mean(name, 'reward', SIMULATOR):.2f}",
            f"{results.mean(name, 'reward', SYNTHETIC_TRUTH):.2f}",
            str(simulated.index(name) + 1),
            str(place + 1),
            "yes" if exploits(comparison, name) else "",
        )
        for place, name in enumerate(true)
    )
    return Table(
        "Simulator against truth",
        ("policy", "simulator", "truth", "rank in the simulator", "true rank", "exploits it"),
        rows,
        f"Rank correlation {rank:.2f} over {len(true)} policies. A policy exploits the simulator"
        " where its true rank is a quarter of the table or more below its rank there, or where it"
        " beats the headline search there and loses to it in truth, both beyond the interval.",
    )


def exploits(comparison: Comparison, name: str) -> bool:
    """Whether a policy gains in the simulator what it does not hold in truth."""
    simulated, true = (ordered(comparison, judge) for judge in (SIMULATOR, SYNTHETIC_TRUTH))
    fell = true.index(name) - simulated.index(name) >= max(2, len(true) / 4)
    if name == comparison.search:
        return fell
    gains = [
        against(comparison, name, comparison.search, judge)
        for judge in (SIMULATOR, SYNTHETIC_TRUTH)
    ]
    return fell or (gains[0].low > 0.0 and gains[1].high < 0.0)


def seesaw_table(comparison: Comparison) -> Table:
    """Three rewards against every feedback, relative to uniform weights."""
    judge, results = comparison.judge, comparison.common
    rows = []
    for name in (comparison.learner, comparison.search):
        for track in (SESSION, "watch_time", "interaction"):
            if not results.of(name, track=track):
                continue
            cells = [
                results.mean(name, measure, judge, track=track)
                / results.mean(UNIFORM, measure, judge)
                for measure in ("depth", "watch_minutes")
            ]
            cells += [
                results.mean_rate(name, task.name, judge, track=track)
                / results.mean_rate(UNIFORM, task.name, judge)
                for task in FEEDBACKS
            ]
            rows.append((name, track, *(f"{cell - 1.0:+.1%}" for cell in cells)))
    return Table(
        f"Seesaw, judge: {_judge(judge)}",
        ("policy", "learnt for", "requests", "watch time", *(task.name for task in FEEDBACKS)),
        tuple(rows),
        "Relative to uniform weights: requests and watch time of a session, feedbacks per shown"
        " video. `session` is the run's own reward.",
    )


def retention_table(comparison: Comparison, judge: str) -> Table:
    """Episodes of several sessions of a user."""
    results = comparison.results
    rows = []
    for name in ordered(comparison, judge, track=RETENTION):
        found = results.of(name, track=RETENTION)
        measured = [
            mean_over_seeds(np.array([getattr(one.judged[judge], measure) for one in found]))
            for measure in ("reward", "return_days", "visits_a_week", "depth")
        ]
        forms = ("{:.2f}", "{:.3f}", "{:.3f}", "{:.1f}")
        cells = [_interval(*pair) for pair in zip(measured, forms, strict=True)]
        rows.append((name, str(len(found)), *cells))
    return Table(
        f"Retention, judge: {_judge(judge)}",
        (
            "policy",
            "seeds",
            "episode reward",
            "days to the next active day",
            "sessions a week",
            "requests",
        ),
        tuple(rows),
        "Learnt and judged on `FusionRetention-v0`: up to six sessions of a user; a day away costs"
        " a reward of 1.",
    )


def stale_table(comparison: Comparison) -> Table:
    """What frozen policies are worth after the scorer was fitted again."""
    judge, results = comparison.judge, comparison.results
    rows = []
    before, after = [], []
    for name in (name for name in ordered(comparison, judge) if name in comparison.rescored):
        rewards = results.rewards(name, judge)
        seeds = sorted(comparison.rescored[name])
        old = np.array([rewards[seed] for seed in seeds])
        new = np.array([np.mean(comparison.rescored[name][seed][judge]) for seed in seeds])
        change = paired_over_seeds(new, old)
        before.append(old.mean())
        after.append(new.mean())
        rows.append(
            (
                _title(comparison, name),
                f"{old.mean():.2f}",
                f"{new.mean():.2f}",
                _interval(change, "{:+.2f}"),
                f"{change.mean / old.mean():+.1%}",
            )
        )
    rank = float(stats.spearmanr(np.array(before), np.array(after)).statistic)
    scorers = max(
        len(rewards[judge])
        for by_seed in comparison.rescored.values()
        for rewards in by_seed.values()
    )
    return Table(
        f"After the scorer was fitted again, judge: {_judge(judge)}",
        ("policy", "with its own scorer", "with others", "change", "share"),
        tuple(rows),
        f"Frozen policies with {scorers} scorers of other seeds, in the same sessions; means over"
        f" {comparison.config.seeds} seeds of the learners. Intervals are over these, and do not"
        f" hold the luck of the scorers. Rank correlation of the two columns: {rank:.2f}.",
    )


def _guarded(comparison: Comparison, name: str, judge: str, measure: str) -> str:
    """A guardrail's value, marked where it is worse than uniform weights' beyond the interval."""
    results = comparison.results

    def values(contestant: str) -> dict[int, float]:
        return {
            one.seed: (
                one.judged[judge].rates["hate"] if measure == "hate" else one.judged[judge].depth
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


def _judge(judge: str) -> str:
    return {SIMULATOR: "the simulator", SYNTHETIC_TRUTH: "the truth"}.get(judge, judge)


def _interval(interval: Interval, form: str) -> str:
    low, high = form.format(interval.low), form.format(interval.high)
    return f"{form.format(interval.mean)} [{low}, {high}]"


def _over(comparison: Comparison, name: str, other: str, judge: str) -> str:
    if name == other:
        return ""
    return _interval(against(comparison, name, other, judge), "{:+.2f}")


def _wins(comparison: Comparison, name: str, judge: str) -> str:
    if name == comparison.search:
        return ""
    paired = comparison.results.paired(name, comparison.search, judge)
    return _interval(probability_of_improvement(*paired), "{:.2f}")
