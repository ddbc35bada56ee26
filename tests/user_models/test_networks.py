"""Inference of the fitted networks against naive implementations."""

import numpy as np

from mtf_rl.user_models.networks import (
    GRID,
    ResponseNetwork,
    SessionNetwork,
    Standardiser,
    round_to_grid,
)
from tests.user_models.examples import random_session_network

USERS, VIDEOS, HIDDEN, FACTORS, FEATURES, OUTPUTS, TAGS, TASTES = 5, 9, 16, 3, 4, 7, 6, 2


def some_network(rng: np.random.Generator) -> ResponseNetwork:
    return ResponseNetwork(
        user_part=rng.normal(size=(USERS, HIDDEN)),
        user_factors=rng.normal(size=(USERS, FACTORS)),
        video_part=rng.normal(size=(VIDEOS, HIDDEN)),
        video_factors=rng.normal(size=(VIDEOS, FACTORS)),
        tastes=rng.normal(size=(USERS, TAGS, TASTES)),
        first_tags=rng.integers(TAGS, size=VIDEOS),
        session=Standardiser(rng.normal(size=FEATURES), rng.uniform(0.5, 2.0, FEATURES)),
        session_weights=rng.normal(size=(FEATURES, HIDDEN)),
        row_weights=rng.normal(size=(2 + TASTES + FACTORS, HIDDEN)),
        output_weights=rng.normal(size=(HIDDEN, OUTPUTS)),
        output_bias=rng.normal(size=OUTPUTS),
    )


def test_response_logits_equal_matrix_products() -> None:
    rng = np.random.default_rng(0)
    network = some_network(rng)
    users, videos = rng.integers(USERS, size=11), rng.integers(VIDEOS, size=(11, 6))
    session, rows = rng.normal(size=(11, FEATURES)), rng.normal(size=(11, 6, 2))
    logits = network.logits(users, videos, session, rows)
    for env in range(11):
        standard = (session[env] - network.session.mean) / network.session.scale
        request = np.clip(standard, -5, 5) @ network.session_weights
        for position in range(6):
            video = videos[env, position]
            products = network.user_factors[users[env]] * network.video_factors[video]
            tastes = network.tastes[users[env], network.first_tags[video]]
            inputs = np.concatenate([rows[env, position], tastes, products])
            hidden = request + network.user_part[users[env]] + network.video_part[video]
            hidden = np.maximum(hidden + inputs @ network.row_weights, 0.0)
            expected = hidden @ network.output_weights + network.output_bias
            np.testing.assert_allclose(logits[6 * env + position], expected, atol=1.1 / GRID)


def test_session_logits_equal_a_loop() -> None:
    rng = np.random.default_rng(2)
    network = random_session_network(USERS)
    features = network.session.mean.size
    users, session = rng.integers(USERS, size=11), rng.normal(size=(11, features))
    logits = network.logits(users, session)
    for env, user in enumerate(users):
        standard = (session[env] - network.session.mean) / network.session.scale
        standard = np.clip(standard, -5, 5)
        hidden = network.user_part[user] + standard @ network.session_weights
        for factor in range(network.user_factors.shape[1]):
            of_session = standard @ network.session_factors[:, factor]
            product = network.user_factors[user, factor] * of_session
            hidden = hidden + product * network.product_weights[factor]
        expected = np.maximum(hidden, 0.0) @ network.output_weights + network.output_bias
        np.testing.assert_allclose(logits[env], expected, atol=1.1 / GRID)


def test_a_session_feature_can_have_opposite_effects_on_two_users() -> None:
    """By hand: only the product of a user factor and a session factor reaches the hidden unit."""
    network = SessionNetwork(
        user_part=np.full((2, 1), 10.0),
        user_factors=np.array([[1.0], [-1.0]]),
        session=Standardiser(np.zeros(1), np.ones(1)),
        session_weights=np.zeros((1, 1)),
        session_factors=np.array([[2.0]]),
        product_weights=np.array([[0.5]]),
        output_weights=np.ones((1, 1)),
        output_bias=np.zeros(1),
    )
    logits = network.logits(np.array([0, 1]), np.full((2, 1), 3.0))
    np.testing.assert_array_equal(logits, [[13.0], [7.0]])


def test_rounding_to_the_grid_changes_values_by_at_most_half_a_step() -> None:
    values = np.random.default_rng(1).normal(size=100)
    rounded = round_to_grid(values)
    assert np.abs(rounded - values).max() <= 0.5 / GRID
    np.testing.assert_array_equal(rounded * GRID, np.rint(rounded * GRID))
