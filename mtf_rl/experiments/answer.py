"""The first sentences of a result: the gain over the reference, with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtf_rl.core.protocols import GROUND_TRUTH
from mtf_rl.evaluation import Interval, Metrics
from mtf_rl.experiments.comparison.contestants import PRODUCTION
from mtf_rl.experiments.console import Terminal
from mtf_rl.experiments.tables import screen_width, wrapped

__all__ = [
    "Gain",
    "evaluator_words",
    "gain_sentence",
    "less_is_better",
    "percent_change",
    "reference_words",
    "say_wrapped",
    "side_effects",
]


@dataclass(frozen=True)
class Gain:
    """The metrics of a policy compared with the reference, under one evaluator."""

    policy: str
    reference: str
    evaluator: str
    differences: Metrics
    """Metrics minus the reference's."""
    changes: Metrics
    """Metrics relative to the reference's, minus 1."""


def gain_sentence(gain: Gain) -> str:
    """One sentence on the gain in session reward over the reference."""
    reference, evaluator = reference_words(gain.reference), evaluator_words(gain.evaluator)
    if gain.policy == gain.reference:
        return f"No policy is better than {reference} on tuning users."
    difference = gain.differences.reward
    size = _amount(gain.changes.reward, difference)
    if difference.low > 0.0:
        return f"{gain.policy} gains {size} of session reward over {reference}, in {evaluator}."
    if difference.high < 0.0:
        return (
            f"{gain.policy} is worse than {reference}: session reward changes by {size}, in"
            f" {evaluator}."
        )
    return (
        f"{gain.policy} shows no significant gain over {reference}: session reward changes by"
        f" {size}, in {evaluator}."
    )


def side_effects(gain: Gain) -> str:
    """One sentence on the other metrics: better, worse or without a significant change."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "no significant change": []}
    metrics = gain.differences
    rows = zip(metrics.names, metrics.signs, metrics.all, gain.changes.all, strict=True)
    for name, sign, difference, change in list(rows)[1:]:
        if not difference.excludes_zero:
            groups["no significant change"].append(name)
        else:
            side = "better" if difference.mean * sign > 0.0 else "worse"
            groups[side].append(f"{name} {percent_change(change)}")
    listed = "; ".join(f"{side}: {', '.join(names)}" for side, names in groups.items() if names)
    return f"Other metrics against {reference_words(gain.reference)}: {listed}."


def less_is_better(metrics: Metrics) -> str:
    """A sentence that names the feedbacks with a negative sign; empty if there is none."""
    signs = zip(metrics.rate_names, metrics.rate_signs, strict=True)
    negative = [name for name, sign in signs if sign < 0]
    return f" Less {' and '.join(negative)} is better." if negative else ""


def reference_words(reference: str) -> str:
    """The reference policy, in words."""
    words = {PRODUCTION: "production weights", "uniform": "uniform weights"}
    return words.get(reference, reference)


def evaluator_words(evaluator: str) -> str:
    """An evaluator, in words."""
    return "the ground truth" if evaluator == GROUND_TRUTH else "the simulator"


def percent_change(change: Interval) -> str:
    """Format a relative change, such as `+3.1 % [0.3, 5.9]`; undefined if the reference is 0."""
    if not abs(change.mean) < float("inf"):
        return "(reference is 0)"
    value = f"{100.0 * change.mean:+.1f} %"
    if not change.high - change.low < float("inf"):
        return f"{value} (no CI)"
    return f"{value} [{100.0 * change.low:.1f}, {100.0 * change.high:.1f}]"


def say_wrapped(sentences: Sequence[str], terminal: Terminal) -> None:
    """Print sentences as a paragraph that fits the terminal."""
    terminal.say(wrapped(" ".join(sentences), screen_width()))


def _amount(change: Interval, difference: Interval) -> str:
    """The relative change with its CI, or the difference if the change is undefined."""
    if abs(change.mean) < float("inf") and change.high - change.low < float("inf"):
        return f"{percent_change(change).removeprefix('+')} (95 % CI)"
    if difference.high - difference.low < float("inf"):
        return f"{difference.mean:.2f} [{difference.low:.2f}, {difference.high:.2f}] (95 % CI)"
    return f"{difference.mean:.2f} (no CI)"
