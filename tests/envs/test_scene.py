"""What rendering shows: text that holds the request, pictures of one size."""

import re

import numpy as np
import pytest

from mtf_rl.core.errors import ConfigError
from mtf_rl.envs import (
    FusionEnv,
    FusionRetentionEnv,
    FusionSessionEnv,
    RetentionConfig,
    RetentionDynamics,
    toy_dynamics,
)


def test_text_holds_weights_slate_answers_and_why_the_user_left() -> None:
    env = FusionSessionEnv(toy_dynamics(hazard=0.5), render_mode="ansi")
    env.reset(seed=0)
    assert "no request yet" in env.render()
    done = False
    while not done:
        assert "The user stays." in env.render() or "no request yet" in env.render()
        _, reward, terminated, truncated, info = env.step(np.full(8, 0.25, np.float32))
        done = terminated or truncated
        text = env.render()
        assert f"user {info['user']}" in text
        assert "like +0.62" in text  # an action of 0.25 in the box
        assert "hate -0.38" in text
        for video in info["videos"]:
            assert re.search(rf"^ +\d +{video} ", text, flags=re.M)
        assert f"Reward {reward:+.2f}." in text
        likes = text.count(" like\n")
        assert likes == info["like"]
    assert "The user left." in text
    assert info["end_reason"] == "left"


def test_the_predictions_shown_are_those_of_the_shown_videos() -> None:
    env = FusionSessionEnv(toy_dynamics(), render_mode="ansi")
    env.reset(seed=3)
    info = env.step(np.zeros(8, np.float32))[4]
    scores = env.dynamics.sessions.scores
    pool = scores.videos[info["user"]].tolist()
    for video in info["videos"]:
        predicted = scores.scores[info["user"], pool.index(video)]
        line = next(
            line for line in env.render().splitlines() if re.match(rf" +\d +{video} ", line)
        )
        shown = [float(number) for number in line.split("|")[1].split()]
        np.testing.assert_allclose(shown, predicted, atol=6e-5)


@pytest.mark.parametrize("kind", ["session", "retention"])
def test_pictures_have_one_size_and_change(kind: str) -> None:
    sessions = toy_dynamics(hazard=0.3)
    env: FusionEnv[object] = (
        FusionSessionEnv(sessions, render_mode="rgb_array")  # type: ignore[assignment]
        if kind == "session"
        else FusionRetentionEnv(RetentionDynamics(sessions), render_mode="rgb_array")
    )
    env.reset(seed=1)
    before = env.render()
    env.step(np.zeros(8, np.float32))
    after = env.render()
    assert before.shape == after.shape
    assert after.ndim == 3
    assert after.dtype == np.uint8
    assert (before != after).any()


def test_the_days_away_are_told() -> None:
    dynamics = RetentionDynamics(toy_dynamics(hazard=1.0), RetentionConfig(max_sessions=2))
    env = FusionRetentionEnv(dynamics, render_mode="ansi")
    env.reset(seed=0)
    env.step(np.zeros(8, np.float32))
    assert "The session ended; the user is back in 1 day(s)." in env.render()
    env.step(np.zeros(8, np.float32))
    assert "That was the episode's last session." in env.render()


def test_rendering_needs_a_mode_and_a_reset() -> None:
    with pytest.raises(ConfigError, match=re.escape("one of ansi, rgb_array, got 'human'")):
        FusionSessionEnv(toy_dynamics(), render_mode="human")
    assert FusionSessionEnv(toy_dynamics()).render() is None
    with pytest.raises(ConfigError, match=re.escape("call reset() before render()")):
        FusionSessionEnv(toy_dynamics(), render_mode="ansi").render()
