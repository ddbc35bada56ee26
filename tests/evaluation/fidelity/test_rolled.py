"""A rolled log is read as the written one is."""

from dataclasses import fields

import numpy as np
import pytest

from mtf_rl.data import Dataset, read_kuairand
from mtf_rl.data.impressions import Impressions
from mtf_rl.evaluation.fidelity import roll_log
from mtf_rl.user_models import World, WorldConfig, synthesize
from mtf_rl.user_models.world.rankers import LOGGING_RANKERS

CONFIG = WorldConfig(users=24, videos=300, days=2, seed=1)


@pytest.fixture(scope="module", name="written")
def written_log(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("logs")
    synthesize(CONFIG, folder)
    return read_kuairand(folder)


def rolled(world: World, *, rng: int, since_ms: int) -> Impressions:
    return roll_log(
        world,
        LOGGING_RANKERS,
        answers=world,
        rng=rng,
        since_ms=since_ms,
        session_gap_minutes=30.0,
        on_users=lambda done: None,
    )


def test_the_worlds_random_numbers_reproduce_its_log(written: Dataset) -> None:
    again = rolled(World(CONFIG), rng=0, since_ms=0)
    for field in fields(Impressions):
        if field.name != "keys":
            found, expected = (getattr(rows, field.name) for rows in (again, written.impressions))
            np.testing.assert_array_equal(found, expected, err_msg=field.name)
            assert found.dtype == expected.dtype


def test_other_random_numbers_and_later_rows(written: Dataset) -> None:
    since_ms = int(np.median(written.impressions.times_ms))
    later = rolled(World(CONFIG), rng=0, since_ms=since_ms)
    kept = written.impressions.times_ms >= since_ms
    np.testing.assert_array_equal(later.videos, written.impressions.videos[kept])
    other = rolled(World(CONFIG), rng=1, since_ms=0)
    assert len(other.users) != len(written.impressions.users)
    assert other.feedback[:, 0].mean() == pytest.approx(
        written.impressions.feedback[:, 0].mean(), rel=0.2
    )
