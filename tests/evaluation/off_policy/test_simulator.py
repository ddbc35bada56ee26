"""A simulator's estimates, corrected by a log, on sessions that are made up."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtf_rl.core.arrays import FloatArray
from mtf_rl.evaluation.off_policy import (
    PolicyReplay,
    SampleMeans,
    SimulatorComparison,
    SimulatorEstimate,
    composite_estimates,
    composite_of,
    corrected_estimates,
    scaled_estimates,
    simulator_estimates,
)

MAKERS: dict[str, Callable[[SimulatorComparison], list[SimulatorEstimate]]] = {
    "simulator": simulator_estimates,
    "scaled": scaled_estimates,
    "corrected": corrected_estimates,
    "composite": composite_estimates,
}
SESSIONS = 4_000


def sample(mean: float, stderr: float, rng: np.random.Generator) -> FloatArray:
    """Sessions whose mean and standard error are exact, (SESSIONS,)."""
    drawn = rng.normal(size=SESSIONS)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    values: FloatArray = mean + stderr * np.sqrt(SESSIONS) * drawn
    return values


def comparison(
    figures: list[tuple[float, float, float]],
    *,
    own: float = 60.0,
    own_error: float = 1.0,
    own_replayed: float = 30.0,
    error: float = 0.5,
    seed: int = 0,
) -> SimulatorComparison:
    """Policies with values (S, D, D'); D - O has the error `error`, D' - O' half of it."""
    rng = np.random.default_rng(seed)
    here, there = sample(own, own_error, rng), sample(own_replayed, 0.0, rng)
    return SimulatorComparison(
        [
            PolicyReplay(
                played=sample(played, 0.1, rng),
                logged=here + sample(logged - own, error, rng),
                replayed=there + sample(replayed - own_replayed, 0.5 * error, rng),
            )
            for played, logged, replayed in figures
        ],
        own=here,
        own_replayed=there,
    )


def values(estimates: list[SimulatorEstimate]) -> list[float]:
    return [one.value.estimate.value for one in estimates]


def test_by_hand() -> None:
    """The log's own policies earned 60, their actions 30 in the simulator: a scale of 2."""
    told = comparison([(33.0, 67.0, 32.0), (28.0, 59.0, 29.0)])
    assert values(simulator_estimates(told)) == pytest.approx([33.0, 28.0])
    assert values(scaled_estimates(told)) == pytest.approx([66.0, 56.0])
    assert values(corrected_estimates(told)) == pytest.approx([68.0, 58.0])
    # Departures of the log from twice the replay are (67 - 60) - 2 (32 - 30) = 3 and
    # (59 - 60) - 2 (29 - 30) = 1, with a noise of sqrt(0.5^2 + (2 * 0.25)^2). dm misses both
    # policies by 1 in the replay, with a noise of 0.25 there and of 0.1 in playing:
    # twice sqrt(1 - 0.0625 - 0.01) is the hidden error.
    errors = np.full(2, np.sqrt(0.5 + 4.0 * (1.0 - 0.0725)))
    believed = composite_of(np.array([3.0, 1.0]), errors)
    found = composite_estimates(told)
    for one, scaled, departure, fraction in zip(
        found, (66, 56), (3, 1), believed.fractions, strict=True
    ):
        assert one.log_fraction == pytest.approx(fraction, rel=1e-6)
        assert one.value.estimate.value == pytest.approx(scaled + fraction * departure)
        assert one.gain.estimate.value == pytest.approx(one.value.estimate.value - 60.0)
        assert one.value.variance == pytest.approx(fraction * errors[0] ** 2)


def test_a_naive_loop_gives_the_same() -> None:
    """Means and errors session by session, and lambda by a plain search over tau."""
    told = comparison([(33.0, 67.0, 32.0), (28.0, 59.0, 29.0), (35.0, 66.0, 31.0)], seed=3)
    own = sum(told.own) / SESSIONS
    own_replayed = sum(told.own_replayed) / SESSIONS
    scale = own / own_replayed
    departures, errors = [], []
    for one in told.replays:
        moved = [d - o for d, o in zip(one.logged, told.own, strict=True)]
        again = [d - o for d, o in zip(one.replayed, told.own_replayed, strict=True)]
        mean, mean_again = sum(moved) / SESSIONS, sum(again) / SESSIONS
        noise = sum((x - mean) ** 2 for x in moved) / (SESSIONS - 1) / SESSIONS
        noise += scale**2 * sum((x - mean_again) ** 2 for x in again) / (SESSIONS - 1) / SESSIONS
        missed = (one.replayed.mean() - one.played.mean()) ** 2
        missed -= one.replayed.var(ddof=1) / SESSIONS + one.played.var(ddof=1) / SESSIONS
        departures.append(mean - scale * mean_again)
        errors.append(np.sqrt(noise + scale**2 * max(0.0, missed)))
    best, largest = 0.0, -np.inf
    for spread in np.linspace(0.01, 20.0, 40_000):
        total = spread**2 + np.square(errors)
        value = np.log(spread) - 0.5 * np.sum(np.log(total) + np.square(departures) / total)
        if value > largest:
            best, largest = spread, value
    for one, found, departure, error in zip(
        told.replays, composite_estimates(told), departures, errors, strict=True
    ):
        fraction = best**2 / (best**2 + error**2)
        assert found.log_fraction == pytest.approx(fraction, abs=1e-3)
        expected = own + scale * (one.played.mean() - own_replayed) + fraction * departure
        assert found.value.estimate.value == pytest.approx(expected, abs=5e-3)


def test_errors_against_draws() -> None:
    """The errors of O S / O' and of O S / O' - O, by drawing O, S and O' with their errors."""
    rng = np.random.default_rng(0)
    draws = 200_000
    own, there, played = (
        rng.normal(60.0, 1.0, draws),
        rng.normal(30.0, 0.4, draws),
        rng.normal(36.0, 0.5, draws),
    )
    told = SimulatorComparison(
        [PolicyReplay(sample(36.0, 0.5, rng), sample(70.0, 1.0, rng), sample(36.0, 1.0, rng))],
        own=sample(60.0, 1.0, rng),
        own_replayed=sample(30.0, 0.4, rng),
    )
    (scaled,) = scaled_estimates(told)
    value = own * played / there
    for found, drawn, mean in ((scaled.value, value, 72.0), (scaled.gain, value - own, 12.0)):
        assert found.estimate.stderr == pytest.approx(drawn.std(), rel=0.02)
        assert found.estimate.value == pytest.approx(mean)


def test_a_clear_departure_counts_and_noise_does_not() -> None:
    rng = np.random.default_rng(1)
    noisy = comparison([(30.0, 60.0 + rng.normal(0.0, 5.0), 30.0) for _ in range(20)], error=5.0)
    assert np.std(values(composite_estimates(noisy))) < 1.0
    clear = comparison([(30.0, 60.0 + 3.0 * (n - 10), 30.0) for n in range(20)], error=0.05)
    expected = 60.0 + 3.0 * (np.arange(20) - 10)
    # The replay's noise hides an error of dm of up to a tenth.
    np.testing.assert_allclose(values(composite_estimates(clear)), expected, atol=0.1)


def test_one_policy_alone_is_the_log_and_the_simulators_own_error() -> None:
    """S O / O' + D - D' O / O' = 66 + 67 - 64."""
    assert values(composite_estimates(comparison([(33.0, 67.0, 32.0)]))) == pytest.approx([69.0])


def test_the_error_of_dm_in_the_simulator_lowers_the_weight_of_the_log() -> None:
    right = comparison([(33.0, 67.0, 33.0), (28.0, 57.0, 28.0)])
    # The same departures from a replay that misses what the policies are worth there by 4.
    wrong = comparison([(33.0, 75.0, 37.0), (28.0, 57.0, 28.0)])
    narrow, wide = (composite_estimates(one)[0].value.estimate for one in (right, wrong))
    assert wide.stderr > 1.5 * narrow.stderr
    assert narrow.value > wide.value > scaled_estimates(wrong)[0].value.estimate.value


def test_a_log_that_earns_less_than_nothing_shifts_the_simulator() -> None:
    told = comparison([(33.0, -3.0, 31.0)], own=-4.0)
    (scaled,) = scaled_estimates(told)
    assert scaled.value.estimate.value == pytest.approx(-4.0 + 33.0 - 30.0)
    assert scaled.gain.estimate.value == pytest.approx(3.0)
    assert scaled.gain.estimate.stderr == pytest.approx(0.1)  # of S alone
    samples = [told.own, told.replays[0].played]
    total = sum(one.var(ddof=1) / SESSIONS for one in samples)
    assert scaled.value.estimate.stderr == pytest.approx(np.sqrt(total))


def test_a_log_of_one_session_has_infinite_errors() -> None:
    told = comparison([(33.0, 67.0, 32.0), (28.0, 59.0, 29.0)])
    few = SimulatorComparison(
        [PolicyReplay(one.played, one.logged[:1], one.replayed[:1]) for one in told.replays],
        own=told.own[:1],
        own_replayed=told.own_replayed[:1],
    )
    for name, make in MAKERS.items():
        for one in make(few):
            assert np.isfinite(one.value.estimate.value), name
            assert np.isfinite(one.gain.estimate.value), name
            assert np.isinf(one.gain.estimate.stderr), name
            assert np.isinf(one.value.estimate.stderr) == (name != "simulator")


def test_a_reference_that_is_not_pooled_changes_no_estimate() -> None:
    figures = [(33.0, 67.0, 32.0), (28.0, 59.0, 29.0)]
    alone, beside = comparison(figures), comparison([*figures, (20.0, 90.0, 20.0)])
    pooled = SimulatorComparison(beside.replays, beside.own, beside.own_replayed, pooled=2)
    assert values(composite_estimates(pooled))[:2] == values(composite_estimates(alone))
    assert values(composite_estimates(beside))[:2] != values(composite_estimates(alone))


@pytest.mark.parametrize("name", MAKERS)
def test_differences_are_paired_by_session(name: str) -> None:
    """Sessions that differ by a constant have a certain difference, whatever their own errors."""
    told = comparison([(33.0, 66.0, 33.0)])
    first = told.replays[0]
    second = PolicyReplay(first.played + 1.0, first.logged + 2.0, first.replayed + 1.0)
    both = SimulatorComparison([first, second, first], told.own, told.own_replayed)
    one, two, same = (made.value for made in MAKERS[name](both))
    difference = two.minus(one).estimate
    assert difference.value == pytest.approx(1.0 if name == "simulator" else 2.0)
    if name != "composite":
        assert difference.stderr < 0.1 * one.estimate.stderr
    zero = same.minus(one).estimate
    assert (zero.value, zero.stderr) == (0.0, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(10.0, 90.0), st.floats(10.0, 90.0), st.floats(10.0, 90.0)),
        min_size=2,
        max_size=6,
    ),
    st.floats(0.1, 10.0),
)
def test_the_unit_of_reward_does_not_matter(
    figures: list[tuple[float, float, float]], unit: float
) -> None:
    told = comparison(figures)
    scaled = SimulatorComparison(
        [
            PolicyReplay(unit * one.played, unit * one.logged, unit * one.replayed)
            for one in told.replays
        ],
        own=unit * told.own,
        own_replayed=unit * told.own_replayed,
    )
    for make in MAKERS.values():
        for one, other in zip(make(told), make(scaled), strict=True):
            for first, second in ((one.value, other.value), (one.gain, other.gain)):
                assert second.estimate.value == pytest.approx(
                    unit * first.estimate.value, rel=1e-3, abs=1e-3 * unit
                )
                assert second.estimate.stderr == pytest.approx(
                    unit * first.estimate.stderr, rel=1e-3
                )


def test_parts_add_up() -> None:
    found = SampleMeans(np.array([1.0, 3.0]), None, np.array([2.0, 2.0, 5.0]), 0.5, 4.0).estimate
    assert found.value == pytest.approx(2.0 + 3.0 + 0.5)
    assert found.stderr == pytest.approx(np.sqrt(2.0 / 2.0 + 3.0 / 3.0 + 4.0))
    assert found.degrees == 1
