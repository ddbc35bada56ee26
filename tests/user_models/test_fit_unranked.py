"""The fit of the correction for unranked videos on random exposures."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from mtf_rl.core.arrays import IntArray
from mtf_rl.data import SYNTHETIC_PLAN, Dataset, split_by_time
from mtf_rl.user_models.answer_rules import KUAIRAND_RULES
from mtf_rl.user_models.calibration import logged_logits
from mtf_rl.user_models.fit_config import UserModelFitConfig
from mtf_rl.user_models.fit_log import ReplayedLog
from mtf_rl.user_models.fit_unranked import MIN_RANDOM_ROWS, _at, with_unranked
from mtf_rl.user_models.play import draw_outcomes, outcome_fractions
from mtf_rl.user_models.responses import ResponseModel
from tests.user_models.examples import random_response_model, small_log

pytestmark = pytest.mark.slow


def log_with_random_exposures(fraction: float, seed: int = 0) -> Dataset:
    """A small log in which some requests are random exposures."""
    dataset = small_log(num_users=150, num_days=4)
    impressions = dataset.impressions
    chance = np.random.default_rng(seed).random(int(impressions.requests.max()) + 1)
    randomised = chance[impressions.requests] < fraction
    return replace(dataset, impressions=replace(impressions, randomised=randomised))


def replayed(dataset: Dataset, pools: IntArray | None = None) -> ReplayedLog:
    split = split_by_time(dataset.impressions, SYNTHETIC_PLAN)
    everything = np.ones(len(dataset.impressions.users), dtype=np.bool_)
    return ReplayedLog.make(dataset, split, everything, UserModelFitConfig(), pools)


def answered_by(log: ReplayedLog, model: ResponseModel) -> ReplayedLog:
    """The log with plays and feedback of random exposures redrawn from the model."""
    rng = np.random.default_rng(1)
    requests = np.arange(len(log.requests.users))
    duration = log.impressions.duration_seconds
    logits = logged_logits(log, model, requests)
    fractions = outcome_fractions(logits, duration)
    outcomes = draw_outcomes(fractions, rng.random(len(fractions)))
    play = model.play_times.draw(outcomes, duration, rng.random(len(fractions)))
    seen = log.dataset.impressions
    chances = expit(model.interaction_logits(logits, play, duration))
    played, feedback = seen.play_seconds.copy(), seen.feedback.copy()
    randomised = seen.randomised[log.rows]
    rows = log.rows[randomised]
    played[rows] = play[randomised]
    feedback[rows, KUAIRAND_RULES.interaction_columns] = (rng.random(chances.shape) < chances)[
        randomised
    ]
    answered = replace(seen, play_seconds=played, feedback=feedback)
    return replace(log, dataset=replace(log.dataset, impressions=answered))


def test_known_values_are_recovered() -> None:
    dataset = log_with_random_exposures(0.9)
    log = replayed(dataset)
    model = random_response_model(150, dataset.catalogue)
    planted = _at(log, model, np.arange(len(log.rows)), 30.0, 0.3, 1.6)
    fitted, reports = with_unranked(answered_by(log, planted), model)
    assert float(fitted.unranked.contrast) == pytest.approx(1.6, abs=0.12)
    assert float(fitted.unranked.session_fraction) == pytest.approx(0.3, abs=0.12)
    assert np.log1p(float(fitted.unranked.position)) == pytest.approx(np.log1p(30.0), abs=0.35)
    assert reports[0].gain > 0.01
    assert reports[0].reference == "without correction"


def test_no_correction_is_fitted_if_there_is_no_difference() -> None:
    """If random exposures do not differ, session fraction and contrast are close to 1."""
    dataset = log_with_random_exposures(0.9)
    log = replayed(dataset)
    model = random_response_model(150, dataset.catalogue)
    planted = _at(log, model, np.arange(len(log.rows)), 1.5, 1.0, 1.0)
    fitted, _ = with_unranked(answered_by(log, planted), model)
    assert float(fitted.unranked.contrast) == pytest.approx(1.0, abs=0.1)
    assert float(fitted.unranked.session_fraction) > 0.85


def test_too_few_random_exposures_leave_the_model_unchanged() -> None:
    dataset = log_with_random_exposures(0.002)
    log = replayed(dataset)
    exposed = log.impressions.randomised & log.train
    assert 0 < exposed.sum() < MIN_RANDOM_ROWS
    model = random_response_model(150, dataset.catalogue)
    left, reports = with_unranked(log, model)
    assert left is model
    assert reports == []


def test_retrieved_rows_are_those_in_the_users_pool() -> None:
    dataset = log_with_random_exposures(0.5)
    rng = np.random.default_rng(2)
    pools = np.stack([rng.permutation(dataset.num_videos)[:9] for _ in range(dataset.num_users)])
    log = replayed(dataset, pools)
    impressions = log.impressions
    for row in range(0, len(log.rows), 97):
        expected = impressions.videos[row] in pools[impressions.users[row]]
        assert log.retrieved[row] == expected
    assert replayed(dataset).retrieved.all()
