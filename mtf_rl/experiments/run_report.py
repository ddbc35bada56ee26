"""Reports a run's evaluation: the answer, the tables and the files."""

from pathlib import Path

import numpy as np

from mtf_rl.core.files import replace_atomically
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.evaluation import Interval, LeaderboardRow
from mtf_rl.experiments.answer import (
    Gain,
    evaluator_words,
    gain_sentence,
    less_is_better,
    percent_change,
    reference_words,
    say_wrapped,
    side_effects,
)
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.pictures import leaderboard_figure, save_figure
from mtf_rl.experiments.run_evaluation import RunEvaluation
from mtf_rl.experiments.run_folder import write_table
from mtf_rl.experiments.tables import Cell, Column, Marked, Table, show

__all__ = ["answer_of", "changes_table", "page_of", "report", "tables_of"]

SMALL_REQUESTS, SMALL_SESSIONS = 10_000, 1_000


def report(evaluation: RunEvaluation, agent: str, folder: Path, terminal: Terminal) -> None:
    """Print the answer and the tables; write leaderboard.csv, .json, .md and .png into `folder`."""
    write_table(folder / "leaderboard", [row.cells() for row in evaluation.rows])
    replace_atomically(folder / "leaderboard.md", page_of(evaluation, agent).encode())
    save_figure(leaderboard_figure(evaluation.rows, agent), folder / "leaderboard.png")
    terminal.say("")
    for sentences in answer_of(evaluation, agent):
        say_wrapped(sentences, terminal)
    for table in _printed(evaluation):
        show(table, terminal)
    terminal.say("")
    for sentence in _remarks(evaluation, agent):
        say_wrapped([sentence], terminal)


def answer_of(evaluation: RunEvaluation, agent: str) -> list[list[str]]:
    """Paragraphs on the gain over the reference, the other metrics, and the reliability."""
    policy = agent if agent != evaluation.reference else evaluation.best_static
    gain = _gain(evaluation, policy, evaluation.evaluator)
    first = [gain_sentence(gain)]
    if policy == evaluation.reference:
        return [first, _trust(evaluation)]
    if evaluation.evaluator == GROUND_TRUTH:
        simulated = evaluation.row(policy, SIMULATOR).changes.reward
        first.append(f"The simulator puts the change at {percent_change(simulated)}.")
    if evaluation.reference == "uniform":
        first.append("To compare with your production weights, add --production.")
    return [first, [side_effects(gain)], _trust(evaluation)]


def tables_of(evaluation: RunEvaluation, evaluator: str) -> list[Table]:
    """Reward, engagement and rates of every policy under one evaluator."""
    rows = evaluation.of(evaluator)
    sample = f"{rows[0].sessions:,} sessions of {rows[0].users:,} final users"
    reference, static = evaluation.reference, evaluation.best_static
    columns = 5 if static == reference else 6
    best = f"{static} is the best static policy on tuning users."
    marks = f"! marks a value that is significantly worse than with {reference_words(reference)}."
    reward = Table(
        f"Session reward, evaluator: {evaluator}",
        (
            Column("policy"),
            Column("requests used"),
            Column("session reward", min_decimals=1),
            Column(f"over {reference}", signed=True, min_decimals=1, better=1),
            Column("in %", scale=100.0, signed=True, decimals=1),
            Column(f"over {static}", signed=True, min_decimals=1, better=1),
        )[:columns],
        tuple(
            (
                row.policy,
                row.requests_used,
                row.metrics.reward,
                *_over(row, reference, row.differences.reward, 0),
                None if row.policy == reference else row.changes.reward.mean,
                *_over(row, static, row.delta_vs_best_static, None),
            )[:columns]
            for row in rows
        ),
        f"{sample}. ± is a 95 % CI; differences are paired on common random numbers. {marks}"
        f" {best}",
    )
    engagement = Table(
        f"Session length and watch time, evaluator: {evaluator}",
        (
            Column("policy"),
            Column("requests per session"),
            Column(f"over {reference}", signed=True, better=1),
            Column("watch time per session, s"),
            Column(f"over {reference}, s", signed=True, better=1),
        ),
        tuple(
            (
                row.policy,
                row.metrics.depth,
                *_over(row, reference, row.differences.depth, 1),
                row.metrics.watch_seconds,
                *_over(row, reference, row.differences.watch_seconds, 2),
            )
            for row in rows
        ),
    )
    rates = Table(
        f"Feedback per 1,000 shown videos, evaluator: {evaluator}",
        (Column("policy"), *(Column(name, scale=1_000.0) for name in rows[0].metrics.rate_names)),
        tuple((row.policy, *_rates(row)) for row in rows),
        marks,
    )
    return [reward, engagement, rates]


def changes_table(evaluation: RunEvaluation, evaluator: str) -> Table:
    """Change of every metric relative to the reference, in %."""
    rows = [row for row in evaluation.of(evaluator) if row.policy != evaluation.reference]
    metrics = evaluation.of(evaluator)[0].metrics
    heads = zip(metrics.names, metrics.signs, strict=True)
    return Table(
        f"Change against {reference_words(evaluation.reference)} in %, evaluator: {evaluator}",
        (
            Column("policy"),
            *(Column(name, scale=100.0, signed=True, better=sign) for name, sign in heads),
        ),
        tuple((row.policy, *row.changes.all) for row in rows),
        "Means and 95 % CIs; (no CI) where today's value is not clearly above 0. Feedback is per"
        " shown video." + less_is_better(metrics),
    )


def page_of(evaluation: RunEvaluation, agent: str) -> str:
    """The leaderboard as a Markdown page."""
    blocks = ["# Leaderboard", *(" ".join(part) for part in answer_of(evaluation, agent))]
    for evaluator in reversed(list(evaluation.sessions)):
        tables = [*tables_of(evaluation, evaluator), changes_table(evaluation, evaluator)]
        blocks += [table.to_markdown() for table in tables]
    return "\n\n".join([*blocks, *_remarks(evaluation, agent)]) + "\n"


def _printed(evaluation: RunEvaluation) -> list[Table]:
    """All tables of the deciding evaluator, and the reward table of the other one."""
    tables = tables_of(evaluation, evaluation.evaluator)
    tables.append(changes_table(evaluation, evaluation.evaluator))
    others = [name for name in evaluation.sessions if name != evaluation.evaluator]
    return [*tables, *(tables_of(evaluation, name)[0] for name in others)]


def _gain(evaluation: RunEvaluation, policy: str, evaluator: str) -> Gain:
    row = evaluation.row(policy, evaluator)
    return Gain(policy, evaluation.reference, evaluator, row.differences, row.changes)


def _trust(evaluation: RunEvaluation) -> list[str]:
    """Sentences on the reliability of the result."""
    row = evaluation.of(evaluation.evaluator)[0]
    sentences = [
        f"Reliability: {row.sessions:,} sessions of {row.users:,} final users.",
        "The CI covers users and the random numbers of their sessions. It does not cover the"
        " training seed, because a run has only one (`compare` uses several).",
    ]
    if evaluation.evaluator == GROUND_TRUTH:
        sentences.append("The ground truth is that of the synthetic world, not of real users.")
    else:
        sentences.append(
            "Policies are evaluated in the simulator that they were trained in, so its errors can"
            " appear as gains."
        )
    if evaluation.declared:
        parts = ", ".join(evaluation.declared)
        sentences.append(f"Declared in the simulator, not fitted on the log: {parts}.")
    if evaluation.requests < SMALL_REQUESTS or row.sessions < SMALL_SESSIONS:
        sentences.append(
            f"This run is too small to compare policies ({evaluation.requests:,} requests,"
            f" {row.sessions:,} sessions); it only checks that the program works."
        )
    return sentences


def _remarks(evaluation: RunEvaluation, agent: str) -> list[str]:
    sentences = []
    for evaluator, played in evaluation.sessions.items():
        if f"{agent}_untrained" in played:
            gain = evaluation.difference(agent, f"{agent}_untrained", evaluator)
            sentences.append(
                f"Effect of training on session reward, {agent} over {agent}_untrained, in"
                f" {evaluator_words(evaluator)}: {gain.mean:+.2f}"
                f" [{gain.low:.2f}, {gain.high:.2f}]."
            )
    sentences.append(_weights_sentence(evaluation.row(agent, SIMULATOR)))
    unmoved = _unmoved(evaluation)
    if unmoved:
        sentences.append(
            f"Selected policies that equal their initial point, uniform weights:"
            f" {', '.join(unmoved)}. No other weights were better on learning users."
        )
    if GROUND_TRUTH in evaluation.sessions:
        sentences.append(_gap_sentence(evaluation))
    return [*sentences, *(f"Note: {note}." for note in map(_bare, evaluation.notes))]


def _unmoved(evaluation: RunEvaluation) -> list[str]:
    """Policies that used requests and still have uniform weights at every request."""
    uniform = evaluation.row("uniform", SIMULATOR)
    return [
        row.policy
        for row in evaluation.of(SIMULATOR)
        if row.requests_used > 0
        and np.allclose(row.weights, uniform.weights, atol=1e-6)
        and np.allclose(row.weights_spread, 0.0, atol=1e-6)
    ]


def _bare(note: str) -> str:
    return note.rstrip(".")


def _over(
    row: LeaderboardRow,
    other: str,
    difference: Interval,
    metric: int | None,
) -> tuple[Cell]:
    """A difference, marked if the metric at that position is worse than the reference's."""
    if row.policy == other:
        return ("reference",)
    worse = metric is not None and row.differences.worse()[metric]
    return (Marked(difference) if worse else difference,)


def _rates(row: LeaderboardRow) -> list[Cell]:
    worse = row.differences.worse()[-len(row.metrics.rates) :]
    return [
        Marked(rate) if is_worse else rate
        for rate, is_worse in zip(row.metrics.rates, worse, strict=True)
    ]


def _gap_sentence(evaluation: RunEvaluation) -> str:
    """Mean and range of the simulator's error in session reward, over all policies."""
    true = [played.reward.mean() for played in evaluation.sessions[GROUND_TRUTH].values()]
    simulated = [played.reward.mean() for played in evaluation.sessions[SIMULATOR].values()]
    gaps = np.subtract(simulated, true)
    return (
        f"The simulator's session rewards differ from the ground truth by {gaps.mean():+.2f} on"
        f" average over the policies ({100.0 * gaps.mean() / np.mean(true):+.1f} %), from"
        f" {gaps.min():+.2f} to {gaps.max():+.2f}."
    )


def _weights_sentence(row: LeaderboardRow) -> str:
    """Mean fusion weights of a policy, with their std within a session."""
    parts = [
        f"{name} {mean:.2f} ± {spread:.2f}"
        for name, mean, spread in zip(
            row.parameter_names, row.weights, row.weights_spread, strict=True
        )
    ]
    return f"Mean weights of {row.policy} ± std within a session, simulator: {', '.join(parts)}."
