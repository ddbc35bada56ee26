"""Rendering: the text shows the request, and images have a constant size."""

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


def test_text_shows_weights_slate_feedback_and_the_end_reason() -> None:
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
        assert "like +0.62" in text  # weight for action 0.25 of the map `box`
        assert "hate -0.38" in text
        for video in info["videos"]:
            assert re.search(rf"^ +\d +{video} ", text, flags=re.M)
        assert f"Reward {reward:+.2f}." in text
        likes = text.count(" like\n")
        assert likes == info["like"]
    assert "The user left." in text
    assert info["end_reason"] == "left"


def test_text_shows_the_predictions_of_the_shown_videos() -> None:
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
        printed = [float(number) for number in line.split("|")[1].split()]
        np.testing.assert_allclose(printed, predicted, atol=6e-5)


@pytest.mark.parametrize("kind", ["session", "retention"])
def test_images_have_a_constant_size_and_change_with_a_step(kind: str) -> None:
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


def test_text_shows_the_days_away_and_the_end_of_the_episode() -> None:
    dynamics = RetentionDynamics(toy_dynamics(hazard=1.0), RetentionConfig(max_sessions=2))
    env = FusionRetentionEnv(dynamics, render_mode="ansi")
    env.reset(seed=0)
    env.step(np.zeros(8, np.float32))
    assert "returns in 1 day(s)." in env.render()
    env.step(np.zeros(8, np.float32))
    assert "after its last session" in env.render()


def test_rendering_requires_a_valid_mode_and_a_reset() -> None:
    with pytest.raises(ConfigError, match=re.escape("one of ansi, rgb_array, got 'human'")):
        FusionSessionEnv(toy_dynamics(), render_mode="human")
    assert FusionSessionEnv(toy_dynamics()).render() is None
    with pytest.raises(ConfigError, match=re.escape("call reset() before render()")):
        FusionSessionEnv(toy_dynamics(), render_mode="ansi").render()
