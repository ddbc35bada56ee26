"""Task sets and log schemas: labels, subsets, JSON, error messages, KuaiRand's values."""

import json
import re

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError, UnknownNameError
from mtf_rl.core.log_schema import KUAIRAND_LOG, LogSchema, Scenes
from mtf_rl.core.tasks import KUAIRAND_TASKS, Task, TaskKind, TaskSet

SHOP = TaskSet(
    (
        Task("buy", worth=10.0),
        Task("dwell", TaskKind.SECONDS, cap=60.0, worth=0.5),
        Task("pages", TaskKind.COUNT, cap=4.0),
        Task("skip", sign=-1, pooled_as="rare"),
        Task("return_it", sign=-1, within="buy", pooled_as="rare"),
    )
)


def test_click_and_long_view_follow_from_play_time() -> None:
    play = np.array([6.9, 7.0, 5.0, 17.9, 18.0, 12.0])
    duration = np.array([60.0, 60.0, 5.0, 60.0, 60.0, 12.0])
    click, long_view = KUAIRAND_TASKS["click"], KUAIRAND_TASKS["long_view"]
    assert click.follows(play, duration).tolist() == [False, True, True, True, True, True]
    assert long_view.follows(play, duration).tolist() == [False, False, True, False, True, True]


def test_watch_labels_are_capped_at_two_minutes() -> None:
    watch = KUAIRAND_TASKS["watch"]
    assert watch.label(np.array([0.0, 60.0, 120.0, 500.0])).tolist() == [0.0, 0.5, 1.0, 1.0]
    assert watch.positive_label == 18.0 / 120.0


def test_signs_chains_and_worth_of_the_kuairand_tasks() -> None:
    negative = [
        name
        for name, sign in zip(KUAIRAND_TASKS.names, KUAIRAND_TASKS.signs, strict=True)
        if sign < 0
    ]
    assert negative == ["hate"]
    assert KUAIRAND_TASKS.chains == (("click", "long_view"),)
    assert KUAIRAND_TASKS.past_signals == ("click", "long_view", "like", "social", "hate", "watch")
    assert KUAIRAND_TASKS.signal_worth == (0.0, 0.0, 1.0, 5.0, 3.0, 5.0, -5.0, 1.0)


def test_feedbacks_are_all_tasks_except_the_one_in_seconds() -> None:
    assert SHOP.feedback_names == ("buy", "pages", "skip", "return_it")
    assert SHOP.index("pages") == 2
    assert SHOP.feedback_index("pages") == 1
    assert SHOP.seconds == SHOP["dwell"]
    assert SHOP.interest == SHOP["buy"]
    assert SHOP.past_signals == ("buy", "dwell", "pages", "rare")
    assert SHOP.signal_names == ("buy", "pages", "skip", "return_it", "play_ratio")
    with pytest.raises(ConfigError, match=re.escape("'dwell' is in seconds")):
        SHOP.feedback_index("dwell")


def test_labels_are_values_divided_by_caps() -> None:
    feedback = np.array([[1, 3, 0, 1], [0, 9, 1, 0]], dtype=np.uint8)
    labels = SHOP.labels(feedback, np.array([30.0, 90.0], dtype=np.float32))
    # buy, dwell over 60 s, pages over 4, skip, return_it
    assert labels.tolist() == [[1.0, 0.5, 0.75, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0, 0.0]]
    assert labels.dtype == np.float32


def test_a_subset_keeps_the_order_and_refuses_unknown_names() -> None:
    subset = SHOP.subset(("skip", "buy"))
    assert subset.names == ("buy", "skip")
    assert subset.signs.tolist() == [1.0, -1.0]
    assert SHOP.indices(subset.names).tolist() == [0, 3]
    assert SHOP.subset(()) == SHOP
    with pytest.raises(UnknownNameError, match=re.escape("Unknown task 'by'. Did you mean 'buy'?")):
        SHOP.subset(("by",))
    with pytest.raises(ConfigError, match=re.escape("each task must be named once")):
        SHOP.subset(("buy", "buy"))


def test_a_log_schema_survives_a_json_round_trip() -> None:
    tasks = TaskSet((Task("open", played_seconds=3.0), *SHOP))
    scenes = Scenes(main=2, two_column=(0, 3), opened_by="open")
    shop = LogSchema(tasks, scenes, utc_offset_hours=-5.0, session_gap_minutes=10.0)
    for log in (shop, KUAIRAND_LOG):
        assert LogSchema.from_json(json.loads(json.dumps(log.to_json()))) == log


def test_omitted_fields_take_their_defaults() -> None:
    log = LogSchema.from_json({"tasks": [{"name": "buy", "worth": 2.0}, {"name": "save"}]})
    assert log == LogSchema(TaskSet((Task("buy", worth=2.0), Task("save"))))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"tasks": []}, "tasks must have at least one"),
        ({"tasks": [{"nam": "buy"}]}, "Unknown field of a task 'nam'. Did you mean 'name'?"),
        ({"tasks": [{"sign": 1}]}, "a task must have a name"),
        ({"tasks": [{"name": "a b"}]}, "letters, digits and underscores"),
        ({"tasks": [{"name": "score"}]}, "that name is reserved"),
        ({"tasks": [{"name": "buy"}, {"name": "buy"}]}, "the name of each task must be unique"),
        ({"tasks": [{"name": "buy", "sign": 2}]}, "sign of task 'buy' must be 1 or -1, got 2"),
        ({"tasks": [{"name": "buy", "kind": "x"}]}, "kind of task 'buy' must be one of binary"),
        ({"tasks": [{"name": "t", "kind": "seconds", "cap": 0.0}]}, "cap of task 't' must be"),
        ({"tasks": [{"name": "n", "kind": "count", "cap": 2.5}]}, "a whole number for a count"),
        ({"tasks": [{"name": "buy", "within": "see"}]}, "within of task 'buy' must be another"),
        (
            {"tasks": [{"name": "t", "kind": "seconds"}, {"name": "buy", "within": "t"}]},
            "within of task 'buy' must be a binary task, but 't' is seconds",
        ),
        (
            {"tasks": [{"name": "t", "kind": "seconds"}, {"name": "u", "kind": "seconds"}]},
            "at most one task may be in seconds, got t, u",
        ),
        ({"tasks": [{"name": "buy"}], "utc_offset_hours": 15}, "must be in [-14, 14], got 15"),
        ({"tasks": [{"name": "buy"}], "session_gap_minutes": 0}, "must be positive, got 0"),
        ({"tasks": [{"name": "buy"}], "scenes": {"opened_by": "buy"}}, "no scene has two columns"),
        ({"tasks": [{"name": "buy"}], "scene": {}}, "Did you mean 'scenes'?"),
        (
            {"tasks": [{"name": "buy"}], "scenes": {"two_column": [0], "opened_by": "buy"}},
            "opened_by must be a task with played_seconds, but 'buy' has none",
        ),
        (
            {"tasks": [{"name": "buy", "played_seconds": 5}]},
            "task 'buy' has played_seconds, but no task is in seconds",
        ),
        ({"names": []}, "must be an object with a list of tasks"),
        *(
            ({"tasks": [{"name": "buy"}]} | fields, message)
            for fields, message in (
                ({"scenes": None}, "scenes must be an object, got None"),
                ({"scenes": {"main": "1"}}, "scenes.main must be a whole number, got '1'"),
                ({"scenes": {"two_column": 3}}, "scenes.two_column must be a list of scenes"),
                ({"scenes": {"two_column": "03"}}, "scenes.two_column must be a list of scenes"),
                ({"scenes": {"two_column": ["0"]}}, "each of scenes.two_column must be a whole"),
                ({"scenes": {"opened_by": 1}}, "scenes.opened_by must be the name of a task"),
                ({"utc_offset_hours": None}, "utc_offset_hours must be a number, got None"),
                ({"session_gap_minutes": "30"}, "session_gap_minutes must be a number, got '30'"),
            )
        ),
    ],
)
def test_an_invalid_log_schema_is_refused(document: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=re.escape(message)):
        LogSchema.from_json(document)
