"""The fitted networks as they run, against plain matrix products."""

import numpy as np

from mtf_rl.user_models.networks import GRID, ResponseNetwork, Standardiser, round_to_grid

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


def test_logits_are_those_of_matrix_products() -> None:
    rng = np.random.default_rng(0)
    network = some_network(rng)
    users, videos = rng.integers(USERS, size=11), rng.integers(VIDEOS, size=(11, 6))
    session, rows = rng.normal(size=(11, FEATURES)), rng.normal(size=(11, 6, 2))
    found = network.logits(users, videos, session, rows)
    for env in range(11):
        standard = (session[env] - network.session.mean) / network.session.scale
        request = np.clip(standard, -5, 5) @ network.session_weights
        for place in range(6):
            video = videos[env, place]
            products = network.user_factors[users[env]] * network.video_factors[video]
            tastes = network.tastes[users[env], network.first_tags[video]]
            inputs = np.concatenate([rows[env, place], tastes, products])
            hidden = request + network.user_part[users[env]] + network.video_part[video]
            hidden = np.maximum(hidden + inputs @ network.row_weights, 0.0)
            expected = hidden @ network.output_weights + network.output_bias
            np.testing.assert_allclose(found[6 * env + place], expected, atol=1.1 / GRID)


def test_the_grid_is_far_below_any_effect() -> None:
    values = np.random.default_rng(1).normal(size=100)
    rounded = round_to_grid(values)
    assert np.abs(rounded - values).max() <= 0.5 / GRID
    np.testing.assert_array_equal(rounded * GRID, np.rint(rounded * GRID))
