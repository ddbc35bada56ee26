"""A user's own functions: named, imported, refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError, ShapeError, UnknownNameError
from mtf_rl.core.plugins import import_from_path, is_import_path
from mtf_rl.core.slates import Response
from mtf_rl.envs import SessionConfig
from mtf_rl.envs.rewards import reward_named

MODULE = """
def minutes(response):
    return response.watch_seconds.sum(axis=1) / 60

def scalar(response):
    return 1.0

def endless(response):
    return minutes(response) / 0.0

number = 3
"""


@pytest.fixture(name="own_module")
def module_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_rewards_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_rewards_of_a_test"


def response() -> Response:
    watched = np.array([[30.0, 90.0], [0.0, 6.0]], dtype=np.float32)
    return Response(np.zeros((2, 2, 7), dtype=np.float32), watched)


def test_an_own_reward_is_imported_and_used(own_module: str) -> None:
    assert SessionConfig(reward=f"{own_module}:minutes").reward == f"{own_module}:minutes"
    reward = reward_named(f"{own_module}:minutes")(response())
    assert reward.dtype == np.float32
    np.testing.assert_allclose(reward, [2.0, 0.1])


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_an_own_reward_is_held_to_the_contract(own_module: str) -> None:
    with pytest.raises(ShapeError, match=re.escape("returns must have shape (num_envs) = (2,)")):
        reward_named(f"{own_module}:scalar")(response())
    with pytest.raises(ShapeError, match=re.escape("must be finite, got")):
        reward_named(f"{own_module}:endless")(response())


def test_names_that_lead_nowhere_are_refused(own_module: str) -> None:
    assert is_import_path("a:b")
    assert not is_import_path("engagement")
    with pytest.raises(ConfigError, match=re.escape("reward must be named module:function, such")):
        SessionConfig(reward="own rewards:worth")
    with pytest.raises(UnknownNameError, match=re.escape("Unknown reward 'minutes'")):
        SessionConfig(reward="minutes")
    with pytest.raises(ConfigError, match=re.escape("'no_such_module:worth' cannot be imported")):
        reward_named("no_such_module:worth")
    with pytest.raises(ConfigError, match=re.escape("cannot be imported")):
        reward_named(f"{own_module}:hours")
    with pytest.raises(ConfigError, match=re.escape("must be a function, got 3")):
        import_from_path(f"{own_module}:number", "reward")


def test_a_config_imports_nothing() -> None:
    SessionConfig(reward="no_such_module:worth")
