"""Panel regressions: by hand, against dummy variables, and their promise of coverage."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mtf_rl.core.errors import DataError
from mtf_rl.evaluation.panel_regression import (
    Estimate,
    condition_number,
    fit_half_panels,
    fit_pooled,
    fit_within,
    varies,
)

Floats = NDArray[np.float64]
Panel = tuple[Floats, Floats, NDArray[np.int64]]


def random_panel(seed: int, *, users: int = 12, rows: int = 6, columns: int = 3) -> Panel:
    rng = np.random.default_rng(seed)
    ids = np.repeat(rng.permutation(users) + 100, rows)
    level = rng.normal(size=users + 100)[ids]
    design = rng.gamma(1.0, size=(len(ids), columns)) + level[:, None]
    outcome = design @ np.arange(1.0, columns + 1.0) + 5.0 * level + rng.normal(size=len(ids))
    return design, outcome, ids


def test_two_users_by_hand() -> None:
    # User 1: x - 2 = -1, 1 and y - 7 = -2, 2. User 2: x - 6 = -1, 1 and y - 3 = -1, 1.
    # Slope (2 + 2 + 1 + 1) / (1 + 1 + 1 + 1) = 1.5; residuals -0.5, 0.5 and 0.5, -0.5.
    design = np.array([[1.0], [3.0], [5.0], [7.0]])
    outcome, users = np.array([5.0, 9.0, 2.0, 4.0]), np.array([1, 1, 2, 2])
    within = fit_within(design, outcome, users)
    assert within.coefficients == pytest.approx([1.5])
    # Users' moments 0.5 + 0.5 and -0.5 - 0.5, over 4; variance 2 / 1 of (1/4)^2 + (1/4)^2.
    assert within.influence[:, 0] == pytest.approx([0.25, -0.25])
    assert within.covariance[0, 0] == pytest.approx(0.25)
    # Over all users: x - 4 = -3, -1, 1, 3 and y - 5 = 0, 4, -3, -1; slope (-4 - 3 - 3) / 20.
    assert fit_pooled(design, outcome, users).coefficients == pytest.approx([-0.5])


@pytest.mark.parametrize("seed", range(3))
def test_within_against_dummy_variables_and_a_naive_sandwich(seed: int) -> None:
    design, outcome, users = random_panel(seed)
    dummies = (users[:, None] == np.unique(users)).astype(float)
    for fit, extra in ((fit_within, dummies), (fit_pooled, np.ones((len(users), 1)))):
        full = np.hstack([design, extra])
        solution = np.linalg.lstsq(full, outcome)[0]
        residual = outcome - full @ solution
        bread = np.linalg.pinv(full.T @ full)
        meat = np.zeros_like(bread)
        for user in np.unique(users):
            moment = np.zeros(full.shape[1])
            for row in np.flatnonzero(users == user):
                moment += full[row] * residual[row]
            meat += np.outer(moment, moment)
        covariance = (12 / 11) * bread @ meat @ bread
        estimate = fit(design, outcome, users)
        np.testing.assert_allclose(estimate.coefficients, solution[:3], rtol=1e-8)
        np.testing.assert_allclose(estimate.covariance, covariance[:3, :3], rtol=1e-7)
        half = stats.t.ppf(0.975, 11) * np.sqrt(covariance[1, 1])
        assert estimate.interval(1).high - estimate.interval(1).mean == pytest.approx(half)


def test_the_jackknife_is_made_of_three_fits() -> None:
    design, outcome, users = random_panel(3, rows=5)
    early = np.tile([True, True, False, False, False], 12)
    fits = [
        fit_within(design[part], outcome[part], users[part])
        for part in (np.ones(60, dtype=bool), early, ~early)
    ]
    whole, first, second = (fit.coefficients for fit in fits)
    jackknifed = fit_half_panels(design, outcome, users)
    np.testing.assert_allclose(jackknifed.coefficients, 2 * whole - 0.5 * first - 0.5 * second)


@pytest.mark.parametrize("fit", [fit_pooled, fit_within, fit_half_panels])
def test_scale_order_and_level(fit: Callable[..., Estimate]) -> None:
    design, outcome, users = random_panel(4)
    plain = fit(design, outcome, users)
    scaled = fit(design * [1.0, 1e4, 1e-3], outcome, users)
    np.testing.assert_allclose(scaled.coefficients, plain.coefficients * [1.0, 1e-4, 1e3])
    blocks = np.concatenate([np.flatnonzero(users == user) for user in np.unique(users)[::-1]])
    moved = fit(design[blocks], outcome[blocks], users[blocks])
    np.testing.assert_allclose(moved.coefficients, plain.coefficients)
    np.testing.assert_allclose(moved.covariance, plain.covariance)
    if fit is not fit_pooled:
        rng = np.random.default_rng(5)
        shift = rng.normal(size=(200, 4))[users]
        shifted = fit(design + shift[:, :3], outcome + shift[:, 3], users)
        np.testing.assert_allclose(shifted.coefficients, plain.coefficients)
        np.testing.assert_allclose(shifted.covariance, plain.covariance, atol=1e-12)


def dynamic_panel(rng: np.random.Generator, *, users: int, rows: int) -> Panel:
    """Minutes that carry over: y_t = level + .3 y_(t-1) + .5 x_t + noise, x_t tied to the level.

    The next session's noise is that of its own minutes, so an input of one row holds the outcome
    of the one before, as in a log.
    """
    level = rng.normal(size=users)
    minutes = level / 0.7 + rng.normal(size=users)
    design, outcome = np.empty((users, rows, 2)), np.empty((users, rows))
    for position in range(-30, rows):
        event = level + 0.5 * minutes + rng.normal(size=users)
        following = level + 0.3 * minutes + 0.5 * event + rng.normal(size=users)
        if position >= 0:
            design[:, position] = np.stack([minutes, event], axis=1)
            outcome[:, position] = following
        minutes = following
    return design.reshape(-1, 2), outcome.ravel(), np.repeat(np.arange(users), rows)


def test_coverage_where_the_outcome_is_the_next_input() -> None:
    rng = np.random.default_rng(6)
    truth, repeats = (0.3, 0.5), 150
    covered = {"pooled": np.zeros(2), "within": np.zeros(2), "corrected": np.zeros(2)}
    for _ in range(repeats):
        panel = dynamic_panel(rng, users=150, rows=14)
        fits = {"pooled": fit_pooled, "within": fit_within, "corrected": fit_half_panels}
        for name, fit in fits.items():
            estimate = fit(*panel)
            for column, value in enumerate(truth):
                interval = estimate.interval(column)
                covered[name][column] += interval.low <= value <= interval.high
    fractions = {name: counts / repeats for name, counts in covered.items()}
    assert fractions["pooled"].max() < 0.05  # users' levels stand in for minutes and events
    assert fractions["within"][0] < 0.05  # Nickell's bias
    assert fractions["corrected"].min() > 0.85


def test_coverage_of_within_where_inputs_are_not_outcomes() -> None:
    rng = np.random.default_rng(7)
    covered, repeats = 0, 400
    for _ in range(repeats):
        users = np.repeat(np.arange(80), 6)
        level = rng.normal(size=80)[users]
        design = (rng.poisson(np.exp(0.5 * level)).astype(float))[:, None]
        shock = rng.normal(size=480) + rng.normal(size=80)[users] * design[:, 0]
        interval = fit_within(design, 0.4 * design[:, 0] + level + shock, users).interval(0)
        covered += interval.low <= 0.4 <= interval.high
    assert 0.91 <= covered / repeats <= 0.98


def test_ratios_are_bounded_just_where_the_unit_is_told() -> None:
    influence = np.array([[0.3, 0.1], [-0.3, 0.1], [0.1, -0.2], [-0.1, 0.0]])
    for unit in (0.5, 0.7, 0.9, 2.0, -0.9):
        estimate = Estimate(np.array([1.0, unit]), influence)
        ratio = estimate.ratio(0, 1)
        assert np.isfinite(ratio.low) == estimate.interval(1).excludes_zero
        if np.isfinite(ratio.low):
            # Its ends are where a - r b is just about to differ from 0.
            t = stats.t.ppf(0.975, 3)
            for r in (ratio.low, ratio.high):
                contrast = np.array([1.0, -r])
                variance = contrast @ estimate.covariance @ contrast
                assert abs(1.0 - r * unit) == pytest.approx(t * np.sqrt(variance))
        assert estimate.ratio(1, 1).mean == 1.0


def test_what_varies_and_what_is_entangled() -> None:
    design, outcome, users = random_panel(8)
    constant = np.column_stack([design, users, np.tile([1.0, 2.0, 3.0, 4.0, 4.0, 4.0], 12)])
    assert varies(constant, users).tolist() == [True, True, True, False, False]
    assert condition_number(design, users) < 3.0
    twice = np.column_stack([design, design[:, 0] + 1e-3 * design[:, 1]])
    assert condition_number(twice, users) > 100.0
    with pytest.raises(DataError, match=re.escape("the 4 inputs and controls are collinear")):
        fit_within(np.column_stack([design, design[:, 0]]), outcome, users)
    with pytest.raises(DataError, match=re.escape("at least 2 users, got 1")):
        fit_pooled(design[:6], outcome[:6], users[:6])
