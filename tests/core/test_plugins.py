"""Extensions given as `module:Name`: imported when valid and allowed, refused otherwise."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError, ShapeError, UnknownNameError
from mtf_rl.core.plugins import (
    allow_extensions,
    allowed_extensions,
    import_from_path,
    import_paths_in,
    is_import_path,
    refuse_unrepeated,
    repeated_on_command_line,
)
from mtf_rl.core.registry import Registry
from mtf_rl.core.tasks import Task, TaskSet
from mtf_rl.envs import SessionConfig
from mtf_rl.envs.rewards import REWARDS, Reward, reward_named, trial_inputs
from mtf_rl.experiments.config import RunConfig
from mtf_rl.fusion import FORMULAS, FusionConfig
from mtf_rl.scorers import SCORERS

MODULE = """
import numpy as np

def minutes(inputs):
    return inputs.watch_seconds.sum(axis=1) / 60

def finished(inputs):
    whole = inputs.watch_seconds >= inputs.duration_seconds
    return (whole / (1 + inputs.positions)).sum(axis=1) - 0.1 * inputs.history.repetition

def scalar(response):
    return 1.0

def endless(response):
    return minutes(response) / 0.0

def by_video(response):
    return response.watch_seconds.sum(axis=0)

def misspelt(response):
    return response.watch_second.sum(axis=1)

number = 3
"""


@pytest.fixture(name="own_module")
def module_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_rewards_of_a_test.py").write_text(MODULE)
    (tmp_path / "broken_module_of_a_test.py").write_text("x = 1\ny = x / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_rewards_of_a_test"


def test_a_custom_reward_is_imported(own_module: str) -> None:
    assert SessionConfig(reward=f"{own_module}:minutes").reward == f"{own_module}:minutes"
    inputs = list(trial_inputs())[2]
    reward = reward_named(f"{own_module}:minutes")(inputs)
    assert reward.dtype == np.float32
    np.testing.assert_allclose(reward, inputs.watch_seconds.sum(axis=1) / 60)


def test_a_custom_reward_receives_durations_positions_and_history(own_module: str) -> None:
    no_feedback, full_feedback, _ = trial_inputs()
    reward = reward_named(f"{own_module}:finished")
    assert reward(no_feedback) == pytest.approx(np.zeros(3))
    discounted = 1 + 1 / 2 + 1 / 3 + 1 / 4
    expected = discounted - 0.1 * full_feedback.history.repetition
    np.testing.assert_allclose(reward(full_feedback), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_custom_reward_is_validated_on_trial_inputs(own_module: str) -> None:
    with pytest.raises(ShapeError, match=re.escape("must have shape (num_envs) = (3,)")):
        reward_named(f"{own_module}:scalar")
    with pytest.raises(ShapeError, match=re.escape("= (3,), got (4,)")):
        reward_named(f"{own_module}:by_video")
    with pytest.raises(ShapeError, match=re.escape("must be finite, got")):
        reward_named(f"{own_module}:endless")
    with pytest.raises(ConfigError) as error:
        reward_named(f"{own_module}:misspelt")
    for part in (
        f"reward '{own_module}:misspelt' failed on a request: AttributeError",
        "'watch_second'",
        f"{own_module}.py, line 21)",
        "It must take RewardInputs and return the reward of each request, shape (num_envs,)",
    ):
        assert part in str(error.value)


def test_invalid_extension_names_are_refused(own_module: str) -> None:
    assert is_import_path("a:b")
    assert not is_import_path("engagement")
    with pytest.raises(
        ConfigError, match=re.escape("reward must be a registered name or module:Name, such as")
    ):
        SessionConfig(reward="own rewards:worth")
    with pytest.raises(UnknownNameError, match=re.escape("Or your own, as module:Name.")):
        SessionConfig(reward="minutes")
    with pytest.raises(ConfigError, match=re.escape("'no_such_module:worth' cannot be imported")):
        reward_named("no_such_module:worth")
    with pytest.raises(ConfigError, match=re.escape(f"Did you mean '{own_module}:minutes'?")):
        reward_named(f"{own_module}:minute")
    with pytest.raises(ConfigError, match=re.escape("must be a function of RewardInputs")):
        reward_named(f"{own_module}:number")
    with pytest.raises(ConfigError, match=re.escape("broken_module_of_a_test.py, line 2)")):
        import_from_path("broken_module_of_a_test:x", "scorer")


def test_a_weighted_sum_has_a_weight_for_each_feedback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REWARDS, "_entries", dict(REWARDS._entries))
    REWARDS.register("short", Reward(1.0, (0.5, 0.5)))
    with pytest.raises(ConfigError, match=re.escape("a weight for each of click, long_view")):
        reward_named("short")
    two = TaskSet((Task("buy"), Task("save")))
    assert reward_named("short", two) == Reward(1.0, (0.5, 0.5))


def test_a_config_imports_nothing() -> None:
    SessionConfig(reward="no_such_module:worth")


def test_register_adds_an_entry_and_refuses_a_taken_name() -> None:
    registry: Registry[int] = Registry("scorer", {"mmoe": 1})
    registry.register("mine", 2)
    assert registry["mine"] == registry.resolve("mine") == 2
    with pytest.raises(ConfigError, match=re.escape("scorer 'mine' is registered already")):
        registry.register("mine", 3)
    with pytest.raises(ConfigError, match=re.escape("must be one word")):
        registry.register("a:b", 3)
    with pytest.raises(UnknownNameError, match=re.escape("Unknown scorer 'os:getcwd'")):
        registry.resolve("os:getcwd")  # A registry without `adapt` imports nothing.
    assert registry["mine"] == 2


def test_register_validates_a_reward_on_trial_inputs() -> None:
    with pytest.raises(ShapeError, match=re.escape("result of reward 'of_a_test' must have")):
        REWARDS.register("of_a_test", lambda inputs: 1.0)
    assert "of_a_test" not in REWARDS


@pytest.fixture
def _nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtf_rl.core.plugins._ALLOWED", set())


@pytest.mark.usefixtures("_nothing_allowed")
def test_extensions_in_a_file_are_refused_unless_repeated() -> None:
    document = {"agent": "a.b:C", "deep": [{"reward": "m:f"}, "C:/runs/x", "10:30", "two words:x"]}
    assert list(import_paths_in(document)) == ["a.b:C", "m:f"]
    refuse_unrepeated(document, repeated={"a.b:C", "m:f"}, source="x.json")
    with pytest.raises(ConfigError) as error:
        refuse_unrepeated(document, repeated={"a.b:C"}, source="x.json")
    for part in ("x.json", "--extension m:f", "mtf_rl.allow_extensions('m:f')"):
        assert part in str(error.value)
    allow_extensions("m:f")
    refuse_unrepeated(document, repeated={"a.b:C"}, source="x.json")
    with pytest.raises(ConfigError, match=re.escape("must be a registered name or module:Name")):
        allow_extensions("no name")


@pytest.mark.usefixtures("_nothing_allowed")
def test_extensions_on_the_command_line_are_allowed() -> None:
    words = ["RUN", "--session.reward=m:f", "--extension", "a:B", "--scorer", "s:C", "--x=1:2"]
    remaining = repeated_on_command_line([*words, "--extension=d:E"])
    assert remaining == ["RUN", "--session.reward=m:f", "--scorer", "s:C", "--x=1:2"]
    assert allowed_extensions() == ("a:B", "d:E", "m:f", "s:C")


@pytest.mark.usefixtures("_nothing_allowed")
def test_imported_extensions_are_allowed_in_files(own_module: str) -> None:
    reward_named(f"{own_module}:minutes")
    refuse_unrepeated({"reward": f"{own_module}:minutes"}, source="x.json")
    assert REWARDS[f"{own_module}:minutes"] is not None
    with pytest.raises(UnknownNameError):
        REWARDS[f"{own_module}:scalar"]  # Indexing imports nothing.


def test_help_lists_every_registered_name_of_an_extensible_option() -> None:
    for kind, field, registry in (
        (RunConfig, "scorer", SCORERS),
        (SessionConfig, "reward", REWARDS),
        (FusionConfig, "formula", FORMULAS),
    ):
        source = inspect.getsource(kind)
        text = source.split(f"    {field}: str")[1].split('"""')[1]
        assert set(registry) <= set(re.findall(r"\w+", text))
        assert "your own" in text
