"""Settings and shared folders of all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.made_once import MadeOnce

# How long an example takes says how busy the machine is; speed is measured in benchmarks/.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", name="made_once")
def folders_of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that are made once a session, though it may have several worker processes."""
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made_once"
    root.mkdir(exist_ok=True)
    return MadeOnce(Path(root))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is made once takes seconds to make."""
    for item in items:
        if "made_once" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
