"""A simulator's answers, corrected by the log, on figures that are made up."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mtf_rl.evaluation import Interval
from mtf_rl.evaluation.off_policy import composite_of
from mtf_rl.experiments.offline_evaluation import Finding
from mtf_rl.experiments.offline_evaluation.correcting import PolicyReplay, simulated_findings

QUANTILE = stats.norm.ppf(0.975)
ALL = ("simulator", "scaled", "corrected", "composite")
OWN, OWN_REPLAYED = Interval(60.0, 60.0 - QUANTILE, 60.0 + QUANTILE), Interval(30.0, 30.0, 30.0)


def told(mean: float, error: float) -> Interval:
    return Interval(mean, mean - QUANTILE * error, mean + QUANTILE * error)


def replay(
    policy: str, played: float, log: float, replayed: float, *, error: float = 0.5
) -> PolicyReplay:
    return PolicyReplay(
        policy,
        played=told(played, 0.1),
        told=told(log, 1.2 * error),
        told_gain=told(log - OWN.mean, error),
        replayed=told(replayed, 0.6 * error),
        replayed_gain=told(replayed - OWN_REPLAYED.mean, 0.5 * error),
        leverage=1.5,
    )


def found(replays: list[PolicyReplay], own: Interval = OWN) -> dict[tuple[str, str], Finding]:
    findings = simulated_findings(replays, ALL, own=own, own_replayed=OWN_REPLAYED, confidence=0.95)
    assert [one.estimator for one in findings] == [one for one in ALL for _ in replays]
    return {(one.policy, one.estimator): one for one in findings}


def test_by_hand() -> None:
    """The log's own earned 60, its actions 30 in the simulator: a scale of 2."""
    replays = [replay("a", 33.0, 67.0, 32.0), replay("b", 28.0, 59.0, 29.0)]
    all_of = found(replays)
    for policy, simulator, scaled, corrected in (("a", 33, 66, 68), ("b", 28, 56, 58)):
        values = {one: all_of[policy, one].value.mean for one in ALL}
        assert values["simulator"] == simulator
        assert values["scaled"] == pytest.approx(scaled)
        assert values["corrected"] == pytest.approx(corrected)
    # Departures of the log from twice the replay: 67 - 64 and 59 - 58, with a noise of
    # sqrt(.5^2 + (2 * .25)^2). dm misses both policies by 1 in the replay, whose noise is .3 and
    # that of playing .1: twice sqrt(1 - .09 - .01) is hidden.
    believed = composite_of(np.array([3.0, 1.0]), np.full(2, np.sqrt(0.5 + 4.0 * 0.9)))
    for policy, scaled, departure, fraction in zip(
        "ab", (66, 56), (3, 1), believed.fractions, strict=True
    ):
        composite = all_of[policy, "composite"]
        assert composite.value.mean == pytest.approx(scaled + fraction * departure)
        assert composite.gain.mean == pytest.approx(composite.value.mean - OWN.mean)
        assert composite.leverage == 1.5
        assert composite.supported
        assert composite.verdict.endswith(f"{fraction:.0%}")


def test_errors_against_draws() -> None:
    """Of O S / O' and of O S / O' - O, by drawing O, S and O' with their errors."""
    rng = np.random.default_rng(0)
    draws = 200_000
    own, there, played = (
        rng.normal(60.0, 1.0, draws),
        rng.normal(30.0, 0.4, draws),
        rng.normal(36.0, 0.5, draws),
    )
    one = replace(replay("a", 36.0, 70.0, 36.0), played=told(36.0, 0.5))
    scaled = next(
        finding
        for finding in simulated_findings(
            [one], ("scaled",), own=told(60.0, 1.0), own_replayed=told(30.0, 0.4), confidence=0.95
        )
    )
    value = own * played / there
    for interval, drawn in ((scaled.value, value), (scaled.gain, value - own)):
        assert (interval.high - interval.mean) / QUANTILE == pytest.approx(drawn.std(), rel=0.02)
        assert interval.mean == pytest.approx(72.0 if interval is scaled.value else 12.0)


def test_a_clear_word_of_the_log_is_believed_and_noise_is_not() -> None:
    rng = np.random.default_rng(1)
    noisy = [replay(f"p{n}", 30.0, 60.0 + rng.normal(0.0, 5.0), 30.0, error=5.0) for n in range(20)]
    composites = [found(noisy)[one.policy, "composite"].value for one in noisy]
    assert np.std([one.mean for one in composites]) < 1.0
    clear = [replay(f"p{n}", 30.0, 60.0 + 3.0 * (n - 10), 30.0, error=0.05) for n in range(20)]
    for n, one in enumerate(clear):
        assert found(clear)[one.policy, "composite"].value.mean == pytest.approx(
            60.0 + 3.0 * (n - 10), abs=0.1
        )


def test_one_policy_alone_is_the_log_and_the_simulators_own_error() -> None:
    """S O / O' + D - D' O / O' = 66 + 67 - 64."""
    assert found([replay("a", 33.0, 67.0, 32.0)])["a", "composite"].value.mean == pytest.approx(69)


def test_what_dm_gets_wrong_in_the_simulator_it_is_not_believed_of_the_log() -> None:
    right = [replay("a", 33.0, 67.0, 33.0), replay("b", 28.0, 57.0, 28.0)]
    # The same departures from a replay that misses what the policies are worth there by 4.
    wrong = [replay("a", 33.0, 75.0, 37.0), right[1]]
    narrow, wide = (found(one)["a", "composite"] for one in (right, wrong))
    assert wide.value.high - wide.value.low > 1.5 * (narrow.value.high - narrow.value.low)
    assert narrow.value.mean > wide.value.mean > found(wrong)["a", "scaled"].value.mean


def test_where_the_log_earns_less_than_nothing_the_simulator_is_moved_not_scaled() -> None:
    own = told(-4.0, 1.0)
    scaled = found([replay("a", 33.0, -3.0, 31.0)], own)["a", "scaled"]
    assert scaled.value.mean == pytest.approx(-4.0 + 33.0 - 30.0)
    assert scaled.gain.mean == pytest.approx(3.0)
    assert (scaled.value.high - scaled.value.mean) / QUANTILE == pytest.approx(np.hypot(1.0, 0.1))
    assert (scaled.gain.high - scaled.gain.mean) / QUANTILE == pytest.approx(0.1)


def test_a_log_of_one_session_tells_nothing_and_says_so() -> None:
    nothing = Interval(60.0, -np.inf, np.inf)
    replays = [
        replace(
            replay(policy, 33.0, 67.0, 32.0),
            told=nothing,
            told_gain=nothing,
            replayed=nothing,
            replayed_gain=nothing,
        )
        for policy in "ab"
    ]
    for finding in found(replays, nothing).values():
        assert np.isfinite(finding.value.mean)
        assert not np.isnan([finding.gain.low, finding.gain.high]).any()
        if finding.estimator != "simulator":
            assert finding.value.high - finding.value.low > 1e6


def test_far_from_the_log_it_is_not_supported() -> None:
    far = [replace(one, leverage=31.0) for one in (replay("a", 33.0, 67.0, 32.0),)]
    for estimator in ("corrected", "composite"):
        assert not found(far)["a", estimator].supported
    assert found(far)["a", "scaled"].supported
