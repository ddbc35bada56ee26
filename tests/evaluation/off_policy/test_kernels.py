"""Kernels and ratios of densities, against closed forms."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import ConfigError, ShapeError, UnknownNameError
from mtf_rl.evaluation.intervals import Interval
from mtf_rl.evaluation.off_policy import (
    KERNELS,
    ProductKernel,
    effective_size,
    scott_bandwidth,
    slope_choice,
)

GRID = (np.arange(200_000) + 0.5) / 100_000 - 1.0  # midpoints of [-1, 1]


@pytest.mark.parametrize("name", KERNELS)
@given(centre=st.floats(-1.0, 1.0), bandwidth=st.floats(0.02, 2.0))
def test_one_dimension_integrates_to_one(name: str, centre: float, bandwidth: float) -> None:
    kernel = ProductKernel(np.array([bandwidth]), name)
    density = np.exp(kernel.log_density(GRID[:, None], np.full((len(GRID), 1), centre)))
    assert density.mean() * 2.0 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("width", range(1, 9))
def test_a_product_is_the_product_of_its_dimensions(width: int) -> None:
    """So that it integrates to 1 in any number of them: the scale is divided by in each."""
    rng = np.random.default_rng(width)
    bandwidths = rng.uniform(0.05, 0.8, width)
    actions, centres = rng.uniform(-1.0, 1.0, (2, 50, width))
    joint = ProductKernel(bandwidths).log_density(actions, centres)
    alone = sum(
        ProductKernel(bandwidths[j : j + 1]).log_density(actions[:, [j]], centres[:, [j]])
        for j in range(width)
    )
    np.testing.assert_allclose(joint, alone, rtol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_two_and_four_dimensions_by_a_grid(name: str) -> None:
    """A regression: public code divides by the bandwidth once, and 4 dimensions have mass .42."""
    for width, side in ((2, 400), (4, 40)):
        line = (np.arange(side) + 0.5) * 2.0 / side - 1.0
        points = np.stack(np.meshgrid(*[line] * width, indexing="ij"), axis=-1).reshape(-1, width)
        kernel = ProductKernel(np.full(width, 0.3), name)
        centres = np.broadcast_to(np.linspace(-0.2, 0.9, width), points.shape)
        mass = np.exp(kernel.log_density(points, centres)).mean() * 2.0**width
        assert mass == pytest.approx(1.0, abs=0.03)


PROFILES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "gaussian": norm.pdf,
    "epanechnikov": lambda u: np.where(np.abs(u) < 1.0, 0.75 * (1.0 - u**2), 0.0),
    "triangle": lambda u: np.maximum(0.0, 1.0 - np.abs(u)),
    "box": lambda u: np.where(np.abs(u) < 1.0, 0.5, 0.0),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("bandwidth", [0.05, 0.3, 1.1, 2.0])
def test_the_sum_over_all_images(name: str, bandwidth: float) -> None:
    rng = np.random.default_rng(3)
    actions, centres = rng.uniform(-1.0, 1.0, (2, 400, 2))
    actions[:3], centres[:2], centres[2] = 1.0, 1.0, -1.0
    total = np.zeros_like(actions)
    for image in range(-8, 9):
        for distance in (actions - centres, actions + centres - 2.0):
            total += PROFILES[name]((distance + 4.0 * image) / bandwidth) / bandwidth
    found = ProductKernel(np.full(2, bandwidth), name).log_density(actions, centres)
    np.testing.assert_allclose(np.exp(found), total.prod(axis=1), rtol=1e-10, atol=1e-290)


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_no_number_stays_so(name: str) -> None:
    actions = np.array([[0.0, np.nan], [0.0, 0.0]])
    found = ProductKernel(np.full(2, 0.3), name).log_density(actions, np.zeros((2, 2)))
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


def test_away_from_the_bounds_it_is_the_plain_kernel() -> None:
    kernel = ProductKernel(np.array([0.1]))
    actions = np.linspace(-0.3, 0.3, 7)[:, None]
    np.testing.assert_allclose(
        np.exp(kernel.log_density(actions, np.zeros((7, 1)))), norm.pdf(actions[:, 0], scale=0.1)
    )


def test_the_bias_of_smoothing_a_quadratic_reward() -> None:
    """r = -(a - c)^2 at a policy p: the smoothed value is -((p - c)^2 + h^2)."""
    p, c, h = 0.1, 0.3, 0.05
    density = np.exp(
        ProductKernel(np.array([h])).log_density(GRID[:, None], np.full((200_000, 1), p))
    )
    smoothed = (density * -((GRID - c) ** 2)).mean() * 2.0
    assert smoothed == pytest.approx(-((p - c) ** 2 + h**2), abs=1e-6)


def test_the_effective_size_of_a_gaussian_bandit() -> None:
    """Behaviour N(m, s^2), target N(p, e^2): ESS / n in closed form."""
    m, s, p, e = 0.0, 0.3, 0.1, 0.2
    rng = np.random.default_rng(0)
    actions = rng.normal(m, s, 400_000)
    weights = norm.pdf(actions, p, e) / norm.pdf(actions, m, s)
    spread = 2.0 * s**2 - e**2
    expected = e * np.sqrt(spread) / s**2 * np.exp(-((p - m) ** 2) / spread)
    assert effective_size(weights) / len(weights) == pytest.approx(expected, rel=0.01)
    value = (weights * -((actions - 0.3) ** 2)).mean()
    assert value == pytest.approx(-((p - 0.3) ** 2 + e**2), abs=2e-3)


def test_scotts_rule_by_hand_and_within_bounds() -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1.0, 1.0, (10_000, 2))
    actions[:, 1] = 0.5
    first, second = scott_bandwidth(actions)
    assert first == pytest.approx(actions[:, 0].std() * 10_000 ** (-1.0 / 6.0))
    assert second == pytest.approx(0.1 * 10_000 ** (-1.0 / 6.0))


def test_slope_stops_where_an_interval_no_longer_meets_the_others() -> None:
    def around(mean: float, half: float) -> Interval:
        return Interval(mean, mean - half, mean + half)

    # A wide kernel of little noise whose bias shows: the widest that does not is taken.
    narrow_to_wide = [around(2.0, 3.0), around(1.9, 0.3), around(1.7, 0.2), around(1.0, 0.1)]
    assert slope_choice(narrow_to_wide) == 2
    assert slope_choice(narrow_to_wide[::-1]) == 1  # the same one: their order does not count
    assert slope_choice(narrow_to_wide[:1]) == 0
    # Where no bias shows, the least noisy is taken.
    assert slope_choice([around(1.0, 0.4), around(1.0, 0.2), around(1.0, 0.1)]) == 2
    with pytest.raises(ConfigError, match="at least one interval"):
        slope_choice([])


def test_bad_kernels_are_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("bandwidths must be in (0, 2], got [0.")):
        ProductKernel(np.array([0.0]))
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        ProductKernel(np.array([0.1]), "gaussianx")
    with pytest.raises(ShapeError, match=re.escape("actions must have shape (rows, action_dim")):
        ProductKernel(np.array([0.1])).log_density(np.zeros((3, 2)), np.zeros((3, 2)))
