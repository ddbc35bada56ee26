"""Feedbacks determined by play time and interactions, for KuaiRand's tasks and for others."""

import re

import numpy as np
import pytest
from scipy import stats

from mtf_rl.core.errors import ConfigError
from mtf_rl.core.log_schema import LogSchema, Scenes
from mtf_rl.core.tasks import Task, TaskKind, TaskSet
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES, AnswerRules
from mtf_rl.user_models.traces import predicted_logits, row_actions

PAGES = AnswerRules(
    LogSchema(TaskSet((Task("buy"), Task("pages", TaskKind.COUNT, cap=4.0), Task("skip", sign=-1))))
)


def test_play_time_determines_click_and_long_view_of_kuairand() -> None:
    names = [(rule.task.name, rule.column, rule.opens) for rule in KUAIRAND_RULES.plays]
    assert names == [("click", 0, True), ("long_view", 1, False)]
    assert [task.name for task in KUAIRAND_RULES.interactions] == [
        "like", "follow", "comment", "forward", "hate",
    ]  # fmt: skip
    assert KUAIRAND_RULES.interaction_columns == slice(2, 7)
    assert KUAIRAND_RULES.long_seconds == 18.0
    assert KUAIRAND_RULES.trace_signals[7:10] == ("play_ratio", "clicked_in_vain", "overlap")


def test_interaction_columns_may_be_noncontiguous() -> None:
    tasks = TaskSet(
        (
            Task("share"),
            Task("open", played_seconds=3.0),
            Task("watch", TaskKind.SECONDS, cap=60.0),
            Task("save"),
        )
    )
    rules = AnswerRules(LogSchema(tasks, Scenes(two_column=(2,), opened_by="open")))
    assert np.asarray(rules.interaction_columns).tolist() == [0, 2]
    feedback = np.array([[1, 0, 0], [0, 1, 1]])
    assert rules.events(feedback).tolist() == [[True, False], [False, True]]
    assert rules.play_chain is None


def test_a_trace_without_a_play_chain_has_no_chain_signals() -> None:
    assert PAGES.trace_signals == (
        "buy", "pages", "skip", "play_ratio", "overlap",
        "clicked_buy_logit", "clicked_pages_logit", "clicked_skip_logit",
    )  # fmt: skip
    feedback = np.array([[1.0, 3.0, 0.0]])
    actions = row_actions(feedback, np.zeros(1), np.ones(1), np.array([0.2]), PAGES)
    assert actions.tolist() == [[1.0, 3.0, 0.0, 0.0, 0.2]]
    logits = np.arange(17.0)[None]
    assert predicted_logits(logits, np.ones((1, 14)), PAGES).tolist() == [[14.0, 15.0, 16.0]]


def test_a_count_has_labels_in_the_unit_interval_and_binomial_draws() -> None:
    logged = np.array([[1, 3, 0], [0, 9, 1]], dtype=np.uint8)
    assert PAGES.events(logged).tolist() == [[1.0, 0.75, 0.0], [0.0, 1.0, 1.0]]
    rng = np.random.default_rng(0)
    chances = np.tile([0.2, 0.3, 0.6], (40_000, 1))
    drawn = np.asarray(PAGES.draw_interactions(chances, rng.random(chances.shape)))
    np.testing.assert_allclose(drawn.mean(axis=0), [0.2, 4 * 0.3, 0.6], rtol=0.03)
    frequencies = np.bincount(drawn[:, 1].astype(int), minlength=5) / len(drawn)
    np.testing.assert_allclose(frequencies, stats.binom.pmf(np.arange(5), 4, 0.3), atol=0.01)


def test_played_seconds_inside_a_span_raise_an_error() -> None:
    tasks = TaskSet(
        (Task("finish", played_seconds=15.0), Task("watch", TaskKind.SECONDS, cap=60.0))
    )
    with pytest.raises(ConfigError, match=re.escape("'finish' must be one of 1, 2, 3, 5, 7, 10")):
        AnswerRules(LogSchema(tasks))
