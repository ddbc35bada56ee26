"""The fit on the real rows of KuaiRand-Pure, if they are available."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtf_rl.core.randomness import EpisodeRng
from mtf_rl.data import REAL_PLAN, Dataset, read_kuairand, scorer_half, split_by_time
from mtf_rl.user_models import DeclaredPrior, FittedUserModel, UserModelFitConfig, fit_user_model
from mtf_rl.user_models.replay import group_requests, logged_slate, replay

REAL_ROWS = Path(__file__).parents[2] / ".." / "shared" / "data" / "kuairand" / "pure"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not REAL_ROWS.exists(), reason="the real rows of KuaiRand-Pure are not available"
    ),
]


@pytest.fixture(scope="module", name="real")
def real_rows() -> Dataset:
    return read_kuairand(REAL_ROWS)


@pytest.fixture(scope="module", name="model")
def fitted_on_real_rows(real: Dataset) -> FittedUserModel:
    split = split_by_time(real.impressions, REAL_PLAN)
    half = ~scorer_half(real.impressions, seed=0)
    return fit_user_model(real, split, half, config=UserModelFitConfig(max_epochs=2))


def test_session_parts_use_the_declared_prior_because_sessions_are_fragments(
    model: FittedUserModel,
) -> None:
    for part in (model.leaving, model.pausing, model.returning):
        assert isinstance(part, DeclaredPrior)
    assert len(model.prior_parts) == 3
    assert all(
        "87 % of the log's sessions have only one request" in part for part in model.prior_parts
    )


def test_a_played_video_of_a_two_column_page_was_clicked(real: Dataset) -> None:
    impressions = real.impressions
    played = (impressions.tabs == 0) & (impressions.play_seconds > 0)
    assert impressions.feedback[played, 0].mean() > 0.999


def test_replayed_test_slates_get_the_rates_of_the_log(
    real: Dataset, model: FittedUserModel
) -> None:
    test = split_by_time(real.impressions, REAL_PLAN).test
    requests = group_requests(real.impressions, test, max_requests=100, max_slate=40)
    slate, logged = logged_slate(real.impressions, requests)
    before = replay(real.impressions, requests, real.catalogue).before
    # The replay drops tag exposure; in sessions of one request it is zero.
    exposure = np.zeros((len(requests.users), real.catalogue.num_tags), dtype=np.float32)
    history = replace(before, tag_exposure=exposure)
    rng = EpisodeRng(0, np.arange(len(requests.users)), requests.steps)
    response, _ = model.respond(model.start(slate.users, rng), slate, history, rng)
    shown = slate.mask
    for column, tolerance in ((0, 0.1), (1, 0.1), (2, 0.25)):  # click, long_view, like
        simulated = response.feedback[shown][:, column].mean()
        assert simulated == pytest.approx(logged.feedback[shown][:, column].mean(), rel=tolerance)
    seconds = response.watch_seconds[shown].mean()
    assert seconds == pytest.approx(logged.watch_seconds[shown].mean(), rel=0.1)
