"""The first sentences of a result: gain and side effects."""

import math

from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.evaluation import Interval, Metrics
from mtf_rl.experiments.answer import Gain, gain_sentence, side_effects

NONE = Interval(0.0, -0.5, 0.5)
NAMES = ("session reward", "session length", "watch time", *KUAIRAND_TASKS.feedback_names)


def gain(low: float, high: float, *, policy: str = "cem", reference: str = "production") -> Gain:
    """A gain in session reward with this interval, more watch time, fewer likes, less hate."""
    middle = (low + high) / 2.0
    moved = {
        "session reward": Interval(middle, low, high),
        "watch time": Interval(0.14, 0.12, 0.16),
        "like": Interval(-0.36, -0.4, -0.32),
        "hate": Interval(-0.28, -0.4, -0.16),
    }
    metrics = Metrics.of([moved.get(name, NONE) for name in NAMES])
    assert metrics.names == NAMES
    return Gain(policy, reference, GROUND_TRUTH, metrics, metrics)


def test_a_gain_has_its_interval_reference_and_evaluator() -> None:
    assert gain_sentence(gain(0.003, 0.059)) == (
        "cem gains 3.1 % [0.3, 5.9] (95 % CI) of session reward over production weights, in the"
        " ground truth."
    )


def test_losses_and_insignificant_changes_are_not_called_gains() -> None:
    assert gain_sentence(gain(-0.06, -0.02, reference="uniform")) == (
        "cem is worse than uniform weights: session reward changes by -4.0 % [-6.0, -2.0] (95 %"
        " CI), in the ground truth."
    )
    assert gain_sentence(gain(-0.06, 0.08)) == (
        "cem shows no significant gain over production weights: session reward changes by 1.0 %"
        " [-6.0, 8.0] (95 % CI), in the ground truth."
    )
    assert "No policy is better than uniform weights" in gain_sentence(
        gain(0.0, 0.0, policy="uniform", reference="uniform")
    )


def test_without_a_relative_interval_the_difference_is_given() -> None:
    unknown = Interval(math.nan, -math.inf, math.inf)
    known = gain(0.5, 1.5)
    changes = Metrics.of([unknown, *known.changes.all[1:]])
    sentence = gain_sentence(Gain("cem", "uniform", SIMULATOR, known.differences, changes))
    assert sentence.startswith("cem gains 1.00 [0.50, 1.50] (95 % CI) of session reward")
    assert sentence.endswith("in the simulator.")


def test_side_effects_are_grouped_by_the_sign_of_each_task() -> None:
    sentence = side_effects(gain(0.003, 0.059))
    assert sentence.startswith("Other metrics against production weights: better: watch time +14.0")
    assert "hate -28.0 % [-40.0, -16.0]; worse: like -36.0 % [-40.0, -32.0];" in sentence
    unclear = sentence.split("no significant change: ")[1]
    assert "session length" in unclear
    assert not {"like", "hate"} & set(unclear.rstrip(".").split(", "))
