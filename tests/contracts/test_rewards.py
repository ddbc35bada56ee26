"""The contract of all rewards."""

import numpy as np
import pytest

from mtf_rl.core.slates import Response
from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.envs import REWARDS


def random_response(seed: int) -> Response:
    generator = np.random.default_rng(seed)
    feedback = (generator.uniform(size=(5, 4, 7)) < 0.3).astype(np.float32)
    return Response(feedback, generator.uniform(0, 90, size=(5, 4)).astype(np.float32))


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_are_additive_over_videos_and_ignore_their_order(name: str) -> None:
    worth = REWARDS[name].on(KUAIRAND_TASKS)
    response = random_response(0)
    whole = worth(response)
    assert whole.shape == (5,)
    assert whole.dtype == np.float32
    parts = [
        worth(Response(response.feedback[:, [i]], response.watch_seconds[:, [i]])) for i in range(4)
    ]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-5)
    order = [2, 0, 3, 1]
    moved = Response(response.feedback[:, order], response.watch_seconds[:, order])
    np.testing.assert_allclose(worth(moved), whole, rtol=1e-6)
    nothing = Response(np.zeros((1, 4, 7), np.float32), np.zeros((1, 4), np.float32))
    assert worth(nothing)[0] == 0.0


@pytest.mark.parametrize("name", REWARDS)
def test_positive_feedback_never_lowers_and_hate_never_raises_the_reward(name: str) -> None:
    worth = REWARDS[name].on(KUAIRAND_TASKS)
    response = random_response(1)
    before = worth(response)
    for column in range(7):
        more = response.feedback.copy()
        more[:, :, column] = 1.0
        change = worth(Response(more, response.watch_seconds)) - before
        assert (change * KUAIRAND_TASKS.signs[column] >= -1e-6).all()
    longer = worth(Response(response.feedback, response.watch_seconds + 30)) - before
    assert (longer >= 0).all()
