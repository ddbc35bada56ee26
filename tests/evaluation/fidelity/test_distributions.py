"""Survival and distances: by hand, against SciPy, and what a distance must be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtf_rl.evaluation.fidelity import (
    LONGEST,
    SESSION_LENGTH,
    log_curves,
    log_distances,
    sample_distance,
    survival_curve,
    survival_distance,
    survival_tally,
)
from tests.evaluation.fidelity.examples import hand_log, lawful_log
from tests.user_models.examples import Law


def test_survival_by_hand() -> None:
    # Sessions of 1 and 3 requests, and one of 2 that the end of the log cut off.
    users = np.array([0, 0, 0, 0, 1, 1])
    steps = np.array([0, 0, 1, 2, 0, 1])
    left = np.array([True, False, False, True, False, False])
    known = np.array([True, True, True, True, True, False])
    curve = survival_tally(users, steps, known, left).curve()
    # At the first request 1 of 3 leaves, at the second 0 of 1, at the third 1 of 1.
    np.testing.assert_allclose(curve[:5], [1.0, 2 / 3, 2 / 3, 0.0, 0.0])
    assert len(curve) == LONGEST + 1
    tally = survival_tally(users, steps, known, left)
    assert tally.mean_requests() == pytest.approx(1 + 2 / 3 + 2 / 3)
    # Counting user 0 alone: 1 of 2, 0 of 1, 1 of 1.
    np.testing.assert_allclose(tally.curve(np.array([1.0, 0.0]))[:4], [1.0, 0.5, 0.5, 0.0])


def test_survival_against_scipy() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.geometric(0.2, 300).clip(max=LONGEST - 1)
    seen = np.minimum(lengths, rng.integers(1, 40, 300))
    sessions = np.repeat(np.arange(300), seen)
    steps = np.concatenate([np.arange(n) for n in seen])
    last = steps == seen[sessions] - 1
    cut = seen < lengths
    # A cut session's last request is one of which it is not known whether the user left.
    known = ~(last & cut[sessions])
    curve = survival_tally(sessions, steps, known, last).curve()
    # SciPy counts a session that is cut after n requests as at risk at n; here it is not.
    sample = stats.CensoredData(uncensored=seen[~cut], right=seen[cut] - 0.5)
    expected = stats.ecdf(sample).sf
    np.testing.assert_allclose(curve[:30], expected.evaluate(np.arange(30)), atol=1e-12)


def test_resampled_limits_hold_the_truth() -> None:
    log = lawful_log()
    tally = survival_tally(
        log.users_of_requests, log.step_of_request, log.followed_up, log.last_requests
    )
    mean, beyond = tally.intervals((1, 5), seed=0)
    # Half of the users leave with chance 0.1, half with 0.4: sessions of 10 and 2.5 requests.
    assert mean.holds(6.25)
    assert beyond[1].holds(0.5 * 0.9 + 0.5 * 0.6)
    assert beyond[5].low < beyond[5].mean < beyond[5].high


samples = st.lists(st.floats(-50.0, 50.0), min_size=2, max_size=40).map(np.array)


@settings(max_examples=40, deadline=None)
@given(first=samples, second=samples)
def test_distances_of_samples(first: np.ndarray, second: np.ndarray) -> None:
    distance = sample_distance("x", first, second)
    assert distance.ks == pytest.approx(stats.ks_2samp(first, second, method="asymp").statistic)
    assert distance == sample_distance("x", second, first)
    assert sample_distance("x", first, first).ks == 0.0
    assert 0.0 <= distance.ks <= 1.0


def test_a_distance_by_hand() -> None:
    distance = sample_distance("x", np.array([0.0, 1.0]), np.array([1.0, 4.0]))
    # Up to 0: 0.5 and 0; up to 1: 1 and 0.5. Sorted pairs are 1 and 3 apart.
    assert (distance.ks, distance.wasserstein) == pytest.approx((0.5, 2.0))
    curves = np.array([1.0, 0.5, 0.0]), np.array([1.0, 0.8, 0.2])
    assert survival_distance(*curves) == pytest.approx((0.3, 0.5))


def test_distances_of_logs() -> None:
    log = lawful_log()
    assert all(entry.ks == 0.0 for entry in log_distances(log, log))
    other = lawful_log(1, Law(leave=(0.4, 0.8)))
    found = {entry.name: entry.ks for entry in log_distances(log, other)}
    assert found[SESSION_LENGTH] > 0.2
    assert found[SESSION_LENGTH] == pytest.approx(
        np.abs(survival_curve(log) - survival_curve(other)).max()
    )


def test_a_log_as_lines() -> None:
    play, gap, length = log_curves("log", hand_log())
    assert play.y[49] == pytest.approx(2.0)  # the median of 0, 0, 1, 2, 8, 13, 30
    assert set(gap.y) == {100.0}
    assert length.y[0] == 1.0
