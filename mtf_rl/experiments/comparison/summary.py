"""Summarises a comparison in sentences: the answer, and what was done."""

import numpy as np

from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.experiments.answer import (
    Gain,
    evaluator_words,
    gain_sentence,
    percent_change,
    side_effects,
)
from mtf_rl.experiments.comparison.comparing import Comparison
from mtf_rl.experiments.comparison.numbers import against, rows_of
from mtf_rl.experiments.comparison.results import Result

__all__ = ["answer_of", "summary_of"]

SMALL_REQUESTS, SMALL_SESSIONS = 20_000, 1_000


def answer_of(comparison: Comparison) -> list[list[str]]:
    """Paragraphs on the gain over the reference, the other metrics, and the reliability."""
    gain = _gain(comparison, comparison.evaluator)
    first = [gain_sentence(gain)]
    if gain.policy == gain.reference:
        return [first, _trust(comparison)]
    if comparison.evaluator == GROUND_TRUTH:
        simulated = _gain(comparison, SIMULATOR).changes.reward
        first.append(f"The simulator puts the change at {percent_change(simulated)}.")
    if comparison.reference == "uniform":
        first.append("To compare with your production weights, add --production.")
    return [first, [side_effects(gain)], _trust(comparison)]


def summary_of(comparison: Comparison) -> list[str]:
    """Sentences on what was done, and on the differences between headline contestants."""
    config = comparison.config
    done = (
        f"All contestants have {config.seeds} seeds, and the headline ones {config.headline_seeds}:"
        f" the learners {', '.join(comparison.learners)}, the search {comparison.search} and the"
        f" best search for static weights, {comparison.tuned_once}. They are selected on tuning"
        f" users in the simulator. Each policy is evaluated in {config.sessions:,} sessions of"
        " final users for each seed and evaluator."
    )
    pairs = [(name, comparison.search) for name in comparison.learners]
    if comparison.tuned_once != comparison.search:
        pairs.append((comparison.search, comparison.tuned_once))
        pairs += [(name, comparison.tuned_once) for name in comparison.learners]
    differences = [
        f"{name} over {other}, in session reward: "
        + "; ".join(
            f"{_difference(comparison, name, other, evaluator)} in {evaluator_words(evaluator)}"
            for evaluator in reversed(comparison.results.evaluators())
        )
        + " (paired by seed, 95 % CI over seeds)."
        for name, other in pairs
        if name != other
    ]
    omitted = f"Not shown, because seeds are missing: {', '.join(comparison.unfinished)}."
    return [done, *differences, *([omitted] if comparison.unfinished else [])]


def _gain(comparison: Comparison, evaluator: str) -> Gain:
    row = next(row for row in rows_of(comparison, evaluator) if row.policy == comparison.chosen)
    return Gain(row.policy, row.reference, evaluator, row.differences, row.changes)


def _trust(comparison: Comparison) -> list[str]:
    """Sentences on the reliability of the answer."""
    config, chosen = comparison.config, comparison.results.of(comparison.chosen)
    users = _users(chosen, comparison.evaluator)
    of_users = f" of about {users:,.0f} final users" if users else " of final users"
    sentences = [
        f"Reliability: {len(chosen)} training seeds, each with {config.sessions:,}"
        f" sessions{of_users}; {comparison.chosen} was selected on tuning users.",
        "The CI covers training seeds and sessions. It does not cover the choice of the log and"
        " the fit of the simulator.",
    ]
    if comparison.evaluator == GROUND_TRUTH:
        sentences.append("The ground truth is that of the synthetic world, not of real users.")
    else:
        sentences.append(
            "Policies are evaluated in the simulator that they were trained in, so its errors can"
            " appear as gains."
        )
    if comparison.declared:
        parts = ", ".join(comparison.declared)
        sentences.append(f"Declared in the simulator, not fitted on the log: {parts}.")
    if config.requests < SMALL_REQUESTS or config.sessions < SMALL_SESSIONS or len(chosen) < 3:
        sentences.append(
            f"This run is too small to compare policies ({config.requests:,} requests,"
            f" {len(chosen)} seeds, {config.sessions:,} sessions); it only checks that the program"
            " works."
        )
    return sentences


def _users(results: list[Result], evaluator: str) -> float:
    return float(np.mean([result.evaluated[evaluator].users for result in results]))


def _difference(comparison: Comparison, name: str, other: str, evaluator: str) -> str:
    difference = against(comparison, name, other, evaluator)
    return f"{difference.mean:+.2f} [{difference.low:.2f}, {difference.high:.2f}]"
