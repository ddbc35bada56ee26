"""Rankings of candidates in a data frame equal the environment's."""

import re
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mtf_rl  # noqa: F401  (registers the environments)
from mtf_rl.agents import ConstantPolicy, FusionPolicy, SavedPolicy, rank
from mtf_rl.core.errors import DataError
from mtf_rl.envs import SessionDynamics, SessionState, toy_dynamics
from mtf_rl.envs.candidates import rows_of
from tests.agents.examples import fusion_policy, generative_policy, mlp_policy

TOY = toy_dynamics()
KINDS = ("constant", "mlp", "generative")


def policy_of(kind: str, dynamics: SessionDynamics) -> FusionPolicy:
    width = dynamics.action_dim
    policies: dict[str, SavedPolicy] = {
        "constant": ConstantPolicy(np.linspace(-0.9, 0.8, width)),
        "mlp": mlp_policy(dynamics.layout.size, width),
        "generative": generative_policy(dynamics.layout.size, width),
    }
    return fusion_policy(dynamics, policies[kind])


def frame_of(dynamics: SessionDynamics, state: SessionState) -> pd.DataFrame:
    """The candidates of all current sessions, with their observations."""
    tasks = dynamics.formula.tasks
    shown = rows_of(dynamics.scores.scores, state.users, state.candidates)
    scores = tasks.of_scores(shown)  # (num_envs, candidates, tasks)
    num_envs, candidates = state.candidates.shape
    context = {
        name: values
        for name, values in zip(dynamics.layout.names, dynamics.observe(state).T, strict=True)
        if not name.startswith("candidates/")
    }
    videos = dynamics.scores.videos[state.users[:, None], state.candidates]
    return pd.DataFrame(
        {
            "request": np.repeat(np.arange(num_envs), candidates),
            "video_id": videos.ravel(),
            **{name: scores[:, :, k].ravel() for k, name in enumerate(tasks.names)},
            **{name: np.repeat(values, candidates) for name, values in context.items()},
        }
    )


def toy_frame(requests: int = 3) -> pd.DataFrame:
    return frame_of(TOY, TOY.start(3, np.arange(requests)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("formula", "action_map"),
    [
        ("log_sum", "box"),
        ("log_sum", "residual"),
        ("power_product", "power_bias"),
        ("rank", "simplex"),
        ("click_gated", "box"),
        ("weighted_sum", "simplex"),
    ],
)
def test_the_order_equals_the_environments(kind: str, formula: str, action_map: str) -> None:
    env = gymnasium.make_vec(
        "mtf_rl/FusionSession-v0",
        num_envs=9,
        formula=formula,
        action_map=action_map,
        tasks=("click", "like", "hate", "watch"),
    )
    unwrapped: Any = env.unwrapped
    dynamics: SessionDynamics = unwrapped.dynamics
    policy = policy_of(kind, dynamics)
    observation, _ = env.reset(seed=4)
    slate = dynamics.config.slate
    for _ in range(4):
        state = unwrapped._state
        ranked = rank(frame_of(dynamics, state), policy)
        action, _ = policy.predict(observation)
        parameters = dynamics.action_map.to_parameters(action)
        fused = -np.sort(-dynamics.fused(state, parameters), axis=1)
        observation, _, _, _, infos = env.step(action)
        best = ranked[ranked["rank"] <= slate]
        np.testing.assert_array_equal(
            best["video_id"].to_numpy().reshape(9, slate), infos["videos"]
        )
        np.testing.assert_array_equal(ranked["score"].to_numpy().reshape(9, -1), fused)
        weights = ranked.filter(like="weight/")
        assert [f"weight/{name}" for name in dynamics.formula.parameter_names] == list(weights)
        np.testing.assert_array_equal(weights[ranked["rank"] == 1], infos["parameters"])


def test_weights_and_scores_by_hand() -> None:
    toy = TOY.config.with_settings(formula="weighted_sum", tasks=("click", "hate"))
    dynamics = SessionDynamics(
        scores=TOY.scores,
        user_model=TOY.user_model,
        catalogue=TOY.catalogue,
        profiles=TOY.profiles,
        users=TOY.users,
        config=toy,
    )
    policy = fusion_policy(dynamics, ConstantPolicy(np.array([0.0, -0.5])))
    frame = pd.DataFrame(
        {"click": [0.5, 1.0, 0.5, 0.25], "hate": [0.0, 1.0, 0.0, 0.0], "video_id": list("abcd")},
        index=[10, 20, 30, 40],
    )
    ranked = rank(frame, policy)
    # Box: click (0 + 1) / 2 = 0.5, hate -(0.5 + 1) / 2 = -0.75. 0.5 * 1 - 0.75 * 1 = -0.25.
    assert list(ranked["video_id"]) == ["a", "c", "d", "b"]
    assert list(ranked.index) == [10, 30, 40, 20]
    assert list(ranked["rank"]) == [1, 2, 3, 4]
    np.testing.assert_allclose(ranked["score"], [0.25, 0.25, 0.125, -0.25])
    np.testing.assert_allclose(ranked["weight/click"], 0.5)
    np.testing.assert_allclose(ranked["weight/hate"], -0.75)
    assert list(frame) == ["click", "hate", "video_id"]  # the caller's frame is unchanged


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_requests_ranking_does_not_depend_on_other_requests(
    kind: str, data: st.DataObject
) -> None:
    policy = policy_of(kind, TOY)
    whole = toy_frame(5)
    sizes = data.draw(st.lists(st.integers(1, 20), min_size=5, max_size=5))
    kept = [whole[whole["request"] == k].head(size) for k, size in enumerate(sizes)]
    frame = pd.concat(kept)
    order = data.draw(st.permutations(range(len(frame))))
    # Rows of different requests are mixed; rows of one request keep their order.
    mixed = frame.iloc[order]
    rows = mixed.groupby("request").cumcount().to_numpy()
    frame = pd.concat([kept[k].iloc[[row]] for k, row in zip(mixed["request"], rows, strict=True)])
    together = rank(frame, policy)
    assert list(together["request"]) == sorted(frame["request"])
    for request, part in together.groupby("request"):
        alone = rank(frame[frame["request"] == request], policy)
        pd.testing.assert_frame_equal(alone, part, check_exact=True)
        nameless = rank(frame[frame["request"] == request].drop(columns="request"), policy)
        pd.testing.assert_frame_equal(nameless, part.drop(columns="request"), check_exact=True)


def test_equal_scores_stay_in_the_order_of_the_rows() -> None:
    frame = toy_frame(1)
    for name in TOY.formula.tasks.names:
        frame[name] = 0.5
    ranked = rank(frame, policy_of("mlp", TOY))
    np.testing.assert_array_equal(ranked.index, frame.index)


def test_requests_may_be_strings_and_the_index_is_kept() -> None:
    frame = toy_frame(2)
    frame["request"] = frame["request"].map({0: "zebra", 1: "ant"})
    frame.index = pd.Index([7] * len(frame))
    ranked = rank(frame, policy_of("mlp", TOY))
    assert list(ranked["request"].unique()) == ["ant", "zebra"]
    assert list(ranked.groupby("request")["rank"].max()) == [20, 20]


def test_a_higher_prediction_of_a_positive_task_never_lowers_a_candidate() -> None:
    policy = fusion_policy(TOY, ConstantPolicy(np.array([1, 1, 1, 1, 1, 1, -1, 1.0])))
    frame = toy_frame(1)
    before = rank(frame, policy)["rank"]
    frame.loc[4, "like"] = 1.0
    assert rank(frame, policy)["rank"][4] < before[4]


def refused(frame: pd.DataFrame, message: str, kind: str = "mlp") -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        rank(frame, policy_of(kind, TOY))


def test_missing_columns_are_named() -> None:
    lacking = toy_frame().drop(columns=["like", "session/repetition"])
    refused(lacking, "columns are missing: like, session/repetition; a frame needs")
    refused(lacking, "columns are missing: like; a frame needs", kind="constant")
    # A static policy needs no context.
    names = ["request", *TOY.formula.tasks.names]
    assert len(rank(toy_frame()[names], policy_of("constant", TOY))) == 60


@pytest.mark.parametrize("value", [np.nan, -0.01, 1.01, np.inf])
def test_predictions_out_of_range_are_named(value: float) -> None:
    frame = toy_frame()
    frame.index = pd.Index(range(len(frame)), dtype=np.int64)
    frame["like"] = frame["like"].astype(np.float64)
    frame.loc[17, "like"] = value
    refused(frame, f"like must be a prediction in [0, 1], got {value} in row 17 (invalid rows: 1)")


def test_columns_that_are_not_numeric_are_refused() -> None:
    frame = toy_frame()
    refused(frame.assign(like="0.5"), "like must hold numbers, got a column of type")
    missing = frame["like"].astype("Float32")
    missing[3] = pd.NA
    refused(frame.assign(like=missing), "like must be a prediction in [0, 1], got nan in row 3")


def test_context_must_be_finite_and_constant_within_a_request() -> None:
    frame = toy_frame()
    frame.loc[21, "session/hour_sine"] = 0.123
    message = "session/hour_sine must be equal in all rows of a request; in request 1, row 21"
    refused(frame, message)
    frame.loc[21, "session/hour_sine"] = np.nan
    refused(frame, "session/hour_sine must be finite, got nan in row 21")


def test_other_frames_that_cannot_be_ranked_are_refused() -> None:
    frame = toy_frame()
    refused(frame.iloc[:0], "the frame has no row")
    refused(pd.concat([frame, frame["like"]], axis=1), "duplicated columns: like;")
    refused(rank(frame, policy_of("mlp", TOY)), "columns score, rank, weight/click, weight/long")
    frame["request"] = frame["request"].astype(np.float64)
    frame.loc[5, "request"] = np.nan
    refused(frame, "request is missing in row 5")


def test_context_is_clipped_as_observations_are() -> None:
    frame, policy = toy_frame(), policy_of("mlp", TOY)
    far = rank(frame.assign(**{"session/hour_sine": -1e60}), policy)
    bound = rank(frame.assign(**{"session/hour_sine": -20.0}), policy)
    np.testing.assert_array_equal(far["score"], bound["score"])
