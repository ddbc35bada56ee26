"""Figures of a comparison, and the numbers behind them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from typing_extensions import override

from mtf_rl.agents import ConstantPolicy, FusionPolicy, FusionSetting, save_policy
from mtf_rl.agents.search.study import Record, Study
from mtf_rl.core.arrays import BoolArray, FloatArray, IntArray
from mtf_rl.core.protocols import GROUND_TRUTH, SIMULATOR, Policy
from mtf_rl.data import UserGroup
from mtf_rl.envs import SessionDynamics
from mtf_rl.envs.observation import UserProfiles
from mtf_rl.envs.toy import toy_dynamics
from mtf_rl.evaluation.over_seeds import mean_over_seeds, paired_over_seeds
from mtf_rl.experiments.comparison import Comparison, Results, report
from mtf_rl.experiments.comparison.comparing import policy_folder
from mtf_rl.experiments.comparison.pictures import (
    budget_figure,
    differences_figure,
    front_figure,
    gap_figure,
    objectives_of,
    pictures_of,
    seesaw_figure,
    spread_labels,
    weights_figure,
)
from mtf_rl.experiments.comparison.weights import WeightsAlong, terciles, weights_along
from mtf_rl.experiments.console import Terminal
from tests.experiments.comparison_examples import (
    EXPLOITER,
    LEARNERS,
    NAMES,
    SEARCH,
    made_up_comparison,
)


@pytest.fixture(scope="module", name="comparison")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return made_up_comparison(tmp_path_factory.mktemp("made_up"))


class ChangingPolicy(Policy):
    """A policy whose weights change with the observation `session/log_requests`."""

    def __init__(self, position: int, action_dim: int) -> None:
        self._position, self._width = position, action_dim

    @override
    def predict(
        self,
        observation: FloatArray,
        state: None = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[FloatArray, None]:
        assert deterministic
        moved = np.tanh(observation[:, self._position] / 4.0)
        return np.repeat(moved[:, None], self._width, axis=1).astype(np.float32), None


def naive_weights(
    policy: ChangingPolicy, kinds: IntArray, episodes: int, seed: int
) -> tuple[dict[tuple[int, int], FloatArray], dict[tuple[int, int], int]]:
    """Mean weights and counts by kind and request, computed session by session."""
    dynamics = toy_dynamics()
    played: dict[tuple[int, int], list[FloatArray]] = {}
    for episode in range(episodes):
        state = dynamics.start(seed, np.array([episode]))
        kind, request, over = int(kinds[state.users[0]]), 0, False
        while not over:
            action = policy.predict(dynamics.observe(state), deterministic=True)[0]
            parameters = dynamics.action_map.to_parameters(action)
            state, outcome = dynamics.advance(state, parameters, seed)
            played.setdefault((kind, request), []).append(parameters[0].astype(np.float64))
            request += 1
            over = bool(outcome.terminated[0] or outcome.truncated[0])
    means = {key: np.mean(rows, axis=0) for key, rows in played.items()}
    return means, {key: len(rows) for key, rows in played.items()}


def test_weights_along_a_session_are_those_of_a_naive_loop() -> None:
    dynamics = toy_dynamics()
    policy = ChangingPolicy(
        dynamics.layout.names.index("session/log_requests"), dynamics.action_dim
    )
    kinds = np.arange(20) % 3
    along = weights_along(dynamics, policy, kinds, seed=5, episodes=np.arange(40))
    means, counts = naive_weights(policy, kinds, 40, 5)
    longest = 1 + max(request for _, request in counts)
    assert along.means.shape == (3, longest, dynamics.action_dim)
    assert along.counts[:, 0].sum() == 40
    for kind in range(3):
        for request in range(longest):
            key = (kind, request)
            assert along.counts[key] == counts.get(key, 0)
            expected = means.get(key, np.full(dynamics.action_dim, np.nan))
            np.testing.assert_allclose(along.means[key], expected, rtol=1e-6)
    assert along.means[0, 0, 0] != along.means[0, 2, 0]


def test_mean_weights_of_a_static_policy_are_constant() -> None:
    dynamics = toy_dynamics()
    action = np.linspace(-0.5, 0.5, dynamics.action_dim, dtype=np.float32)
    along = weights_along(
        dynamics, ConstantPolicy(action), np.zeros(20, dtype=int), seed=1, episodes=np.arange(30)
    )
    expected = dynamics.action_map.to_parameters(action[None])[0]
    np.testing.assert_allclose(along.means, np.broadcast_to(expected, along.means.shape), rtol=1e-6)
    assert (np.diff(along.counts[0]) <= 0).all()


def test_terciles_keep_equal_values_together() -> None:
    values = np.array([9.0, 1.0, 5.0, 2.0, 8.0, 4.0, 3.0, 7.0, 6.0])
    assert terciles(values).tolist() == [2, 0, 1, 0, 2, 1, 0, 2, 1]
    assert len(set(terciles(np.array([1.0, 1.0, 1.0, 1.0])))) == 1


@given(st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=30), st.floats(0.1, 10.0))
def test_labels_keep_order_distance_and_mean(values: list[float], gap: float) -> None:
    heights = np.array(values)
    positions = spread_labels(heights, gap)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(positions[order]) >= gap - 1e-6).all()
    assert positions.mean() == pytest.approx(heights.mean(), abs=1e-6)


def test_labels_worked_example() -> None:
    np.testing.assert_allclose(spread_labels(np.array([5.0, 0.0, 0.0]), 1.0), [5.0, -0.5, 0.5])


def panel_of(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(title))


def texts_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_budget_picture_shows_means_and_all_names(comparison: Comparison) -> None:
    axes = panel_of(budget_figure(comparison), "Evaluator: ground truth")
    curves = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(curves) == 3  # the headline contestants
    results = comparison.common
    expected = [
        np.mean(list(results.rewards("td3", GROUND_TRUTH, fraction=fraction).values()))
        for fraction in (0.125, 0.25, 0.5, 1.0)
    ]
    assert any(np.allclose(np.asarray(line.get_ydata()), expected) for line in curves)
    np.testing.assert_array_equal(curves[0].get_xdata(), [12_500, 25_000, 50_000, 100_000])
    myopic_baselines = {name for name in NAMES if name.endswith("_myopic")}
    assert set(texts_of(axes)) == set(NAMES) - myopic_baselines
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 2


def test_bands_are_t_intervals_over_seeds(comparison: Comparison) -> None:
    axes = panel_of(budget_figure(comparison), "Evaluator: simulator")
    rewards = comparison.common.rewards(SEARCH, SIMULATOR)
    interval = mean_over_seeds(np.array([rewards[seed] for seed in sorted(rewards)]))
    corners = np.concatenate([band.get_paths()[0].vertices for band in axes.collections])
    last = np.unique(corners[corners[:, 0] == 100_000, 1])
    for limit in (interval.low, interval.high):
        assert np.abs(last - limit).min() < 1e-9


def test_differences_are_paired_with_the_search(comparison: Comparison) -> None:
    axes = panel_of(differences_figure(comparison), "Evaluator: simulator")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(set(NAMES) - {SEARCH})
    points = {
        names[int(np.asarray(line.get_ydata())[0])]: float(np.asarray(line.get_xdata())[0])
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert points.keys() == set(names)
    for name in ("grid", LEARNERS[0], EXPLOITER):
        delta = paired_over_seeds(*comparison.results.paired(name, SEARCH, SIMULATOR))
        assert points[name] == pytest.approx(delta.mean)


def test_the_axis_label_says_that_wide_intervals_are_cut(tmp_path: Path) -> None:
    comparison = made_up_comparison(tmp_path, seeds=2, noise=4.0)
    figure = differences_figure(comparison)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ends = np.concatenate([line.get_xdata() for line in axes.lines])
        assert ends.min() >= low
        assert ends.max() <= high
    assert any("cut at the edge" in axes.get_xlabel() for axes in figure.axes)


def test_the_gap_picture_names_the_exploiting_policy(comparison: Comparison) -> None:
    (axes,) = gap_figure(comparison).axes
    named = [text for text in texts_of(axes) if "exploits" in text]
    assert named == [f"{EXPLOITER}  (exploits the simulator)"]
    assert len(texts_of(axes)) == len(NAMES)
    assert axes.get_title(loc="left").startswith("Rank correlation with the ground truth 0.")


def test_the_seesaw_picture_has_the_numbers_of_the_table(comparison: Comparison) -> None:
    axes = seesaw_figure(comparison).axes[0]
    values = np.asarray(axes.images[0].get_array())
    assert [label.get_text() for label in axes.get_yticklabels()][1] == "td3 for watch_time"
    np.testing.assert_allclose([values[1, 1], values[2, 1], values[2, 2]], [20.0, -20.0, 30.0])
    assert "+30.0 %" in texts_of(axes)
    hate = [label.get_text() for label in axes.get_xticklabels()].index("hate")
    assert values[2, hate] == pytest.approx(-30.0)  # 30 % more hate is bad, and so drawn in red


def test_the_front_picture_separates_dominated_trials() -> None:
    points = np.array([[1.0, 5.0], [3.0, 3.0], [2.0, 2.0], [5.0, 1.0], [1.0, 4.0]])
    (axes,) = front_figure(points).axes
    beaten, front = axes.lines
    np.testing.assert_array_equal(front.get_xydata(), [[1.0, 5.0], [3.0, 3.0], [5.0, 1.0]])
    np.testing.assert_array_equal(beaten.get_xydata(), [[2.0, 2.0], [1.0, 4.0]])
    assert front.get_label() == "Pareto front, 3 trials"


def test_trials_are_compared_on_common_random_numbers() -> None:
    # The second trial has only the first session, in which it differs by (1, -1).
    first = Record(np.zeros(2), np.array([[0.0, 10.0, 2.0], [0.0, 30.0, 4.0]]), (5, 5))
    second = Record(np.ones(2), np.array([[0.0, 11.0, 1.0]]), (5,))
    np.testing.assert_allclose(objectives_of([first, second]), [[20.0, 3.0], [21.0, 2.0]])


def test_weights_of_rare_requests_are_omitted() -> None:
    means = np.arange(12.0).reshape(2, 3, 2)
    along = WeightsAlong(means, np.array([[100, 50, 9], [40, 4, 0]]))
    figure = weights_figure(along, "td3", ("like", "watch"))
    axes = panel_of(figure, "watch")
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[1.0, 7.0], [2.0, 9.0]])


def test_pictures_without_data_are_omitted(tmp_path: Path) -> None:
    one_evaluator = made_up_comparison(tmp_path, evaluators=(SIMULATOR,))
    assert set(pictures_of(one_evaluator)) == {"budget", "differences", "seesaw"}


def test_infinite_intervals_are_cut_at_the_panel(tmp_path: Path) -> None:
    whole = made_up_comparison(tmp_path)
    single = [
        result
        for result in whole.results.all
        if result.contestant != "reward_weighted" or result.seed == 0
    ]
    comparison = replace(whole, results=Results(tuple(single)))
    delta = paired_over_seeds(*comparison.results.paired("reward_weighted", SEARCH, SIMULATOR))
    assert np.isinf(delta.low)
    axes = panel_of(differences_figure(comparison), "Evaluator: simulator")
    assert axes.get_xlim()[0] < delta.mean
    assert np.isfinite(axes.get_xlim()).all()


def test_the_front_is_read_from_the_trials_of_the_job(tmp_path: Path) -> None:
    comparison = made_up_comparison(tmp_path)
    study = Study(policy_folder(comparison.config, "nsga2", 0) / "trials.db", {})
    for minutes, worth in ((20.0, 3.0), (21.0, 2.0), (19.0, 1.0)):
        study.add(Record(np.zeros(2), np.array([[0.0, minutes, worth]] * 2), (5, 5)))
    (axes,) = pictures_of(comparison)["front"].axes
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xydata()), [[19.0, 1.0]])
    np.testing.assert_allclose(np.asarray(axes.lines[1].get_xydata()), [[20.0, 3.0], [21.0, 2.0]])


def test_the_weights_picture_shows_the_headline_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = made_up_comparison(tmp_path)
    dynamics = toy_dynamics()
    dynamics.profiles = UserProfiles(
        np.arange(20, dtype=np.float32)[:, None], ("log_follow_user_num",)
    )
    dynamics.layout = replace(dynamics.layout, profile=("profile/log_follow_user_num",))
    action = np.full(dynamics.action_dim, 0.25, dtype=np.float32)
    policy = FusionPolicy(ConstantPolicy(action), FusionSetting.of(dynamics))
    save_policy(policy_folder(comparison.config, LEARNERS[0], 0), policy)

    class ToyStage:
        def __init__(self, run: Path) -> None:
            assert run == comparison.config.run

        def dynamics(self, track: str, group: UserGroup, evaluator: str) -> SessionDynamics:
            assert (track, group, evaluator) == ("session", UserGroup.FINAL, SIMULATOR)
            return dynamics

    monkeypatch.setattr("mtf_rl.experiments.comparison.pictures.Stage", ToyStage)
    axes = panel_of(pictures_of(comparison)["weights"], "like")
    assert len(axes.lines) == 3
    column = dynamics.formula.parameter_names.index("like")
    expected = dynamics.action_map.to_parameters(action[None])[0, column]
    for line in axes.lines:
        np.testing.assert_allclose(np.asarray(line.get_ydata()), expected, rtol=1e-6)


def test_a_report_writes_its_pictures(comparison: Comparison) -> None:
    folder = comparison.config.folder
    folder.mkdir(parents=True)
    report(comparison, Terminal())
    written = {path.name for path in folder.glob("*.png")}
    assert written == {"budget.png", "differences.png", "gap.png", "seesaw.png"}
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in written)
