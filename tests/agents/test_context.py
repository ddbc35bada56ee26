"""A policy's context computed from counts and history equals the simulator's observation."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from mtf_rl.agents import FusionPolicy, FusionSetting, after_slate, context_of, start_session
from mtf_rl.core.errors import DataError
from mtf_rl.data.profile_scale import ProfileScale
from mtf_rl.envs import toy_dynamics
from tests.agents.examples import fusion_policy, mlp_policy

TOY = toy_dynamics()
SCALE = ProfileScale(
    names=("log_follow_user_num", "user_log_exposures", "user_like_rate"),
    means=(1.0, 3.0, -3.0),
    stds=(2.0, 0.5, 1.0),
    limit=5.0,
    rates=(("like", 0.05),),
    smoothing=20.0,
)


def policy_of_profile() -> FusionPolicy:
    setting = FusionSetting(
        observation=tuple(f"profile/{name}" for name in SCALE.names),
        base_rates=(0.5,) * 8,
        profile=SCALE,
    )
    return FusionPolicy(mlp_policy(3, 8), setting)


def test_session_values_equal_the_simulators_observation() -> None:
    policy = fusion_policy(TOY, mlp_policy(TOY.layout.size, 8))
    state = TOY.start(3, np.arange(1))
    history = start_session(policy, float(state.history.hours[0]), num_tags=TOY.catalogue.num_tags)
    parameters = TOY.action_map.to_parameters(np.full((1, 8), 0.25, dtype=np.float32))
    for _ in range(5):
        observed = dict(zip(TOY.layout.names, TOY.observe(state)[0].tolist(), strict=True))
        context = context_of(policy, history=history, others={"profile/constant": 0.0})
        assert context == {name: observed[name] for name in policy.context}
        before = state.history.elapsed_seconds
        state, outcome = TOY.advance(state, parameters, 3)
        shown = outcome.slate.videos[0]
        history = after_slate(
            history,
            feedback=outcome.response.feedback[0],
            play_seconds=outcome.response.watch_seconds[0],
            duration_seconds=TOY.catalogue.duration_seconds[shown],
            tags=TOY.catalogue.tags[shown],
            pause_seconds=float((state.history.elapsed_seconds - before)[0]),
        )
        if outcome.terminated[0] or outcome.truncated[0]:
            break


def test_the_profile_by_hand() -> None:
    policy = policy_of_profile()
    facts = {"follow_user_num": 19.0, "exposures": 80.0, "like": 9.0}
    context = context_of(policy, user=facts)
    assert context["profile/log_follow_user_num"] == pytest.approx((math.log(20.0) - 1.0) / 2.0)
    assert context["profile/user_log_exposures"] == pytest.approx((math.log(81.0) - 3.0) / 0.5)
    rate = (9.0 + 20.0 * 0.05) / (80.0 + 20.0)  # 0.1
    assert context["profile/user_like_rate"] == pytest.approx(math.log(rate / (1 - rate)) + 3.0)
    # Unknown counts are observed as the average; values are clipped to 5 standard deviations.
    assert (
        context_of(policy, user=facts | {"follow_user_num": math.nan})[
            "profile/log_follow_user_num"
        ]
        == 0.0
    )
    assert context_of(policy, user=facts | {"exposures": 1e9})["profile/user_log_exposures"] == 5.0


def test_missing_inputs_are_named() -> None:
    policy = policy_of_profile()
    message = "profile/user_log_exposures needs the counts exposures: no exposures"
    with pytest.raises(DataError, match=re.escape(message)):
        context_of(policy, user={"follow_user_num": 3.0, "like": 1.0})
    with pytest.raises(DataError, match=re.escape("like must be a count of at least 0, got -1")):
        context_of(policy, user={"follow_user_num": 3.0, "exposures": 5.0, "like": -1.0})
    blind = FusionPolicy(policy.policy, replace(policy.setting, profile=None))
    with pytest.raises(
        DataError, match="no profile constants; give the standardised profile/log_fol"
    ):
        context_of(blind, user={})
    assert context_of(blind, others=dict.fromkeys(policy.context, 0.5)) == dict.fromkeys(
        policy.context, 0.5
    )
    session = fusion_policy(TOY, mlp_policy(TOY.layout.size, 8))
    with pytest.raises(DataError, match="session/log_requests needs the history of the session"):
        context_of(session, others={"profile/constant": 0.0})
