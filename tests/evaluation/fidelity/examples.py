"""Small logs for the statistics: one by hand, one with a law."""

import numpy as np

from mtf_rl.core.videos import VideoCatalogue
from mtf_rl.evaluation.fidelity import SessionLog
from mtf_rl.user_models import FittedUserModel
from mtf_rl.user_models.sessions import FittedLeaving, FittedPausing, FittedReturning
from tests.user_models.examples import (
    DAY_MS,
    FIRST_DAY,
    Law,
    impressions_of,
    random_history,
    random_response_model,
    random_session_network,
    random_trace_reader,
    small_catalogue,
    small_log,
)

GAP_MS = 1_800_000
START_MS = FIRST_DAY * DAY_MS
USERS = 60


def hand_log() -> SessionLog:
    """Two users: sessions of 2 and 1 requests, and one that the end of the log may cut.

    | user | time | videos (tag) | play, s | click | like |
    | --- | --- | --- | --- | --- | --- |
    | 0 | 0 s | 0 (0), 1 (1) | 8, 0 | 1, 0 | 1, 0 |
    | 0 | 100 s | 3 (0), 5 (2) | 2, 30 | 0, 1 | 0, 0 |
    | 0 | 2 h | 4 (1) | 0 | 0 | 0 |
    | 1 | 9 h | 2 (2), 5 (2) | 13, 1 | 1, 0 | 0, 0 |
    """
    seconds = np.array([0, 0, 100, 100, 7200, 32_400, 32_400])
    feedback = np.zeros((7, 7))
    feedback[:, 0] = [1, 0, 0, 1, 0, 1, 0]
    feedback[0, 2] = 1
    catalogue = small_catalogue()
    return SessionLog(
        impressions=impressions_of(
            catalogue,
            users=np.array([0, 0, 0, 0, 0, 1, 1]),
            videos=np.array([0, 1, 3, 5, 4, 2, 5]),
            times_ms=START_MS + 1000 * seconds,
            play_seconds=np.array([8.0, 0.0, 2.0, 30.0, 0.0, 13.0, 1.0]),
            feedback=feedback,
        ),
        catalogue=catalogue,
        end_ms=START_MS + 1000 * 32_400 + GAP_MS,
        gap_ms=GAP_MS,
    )


def lawful_log(seed: int = 0, law: Law | None = None) -> SessionLog:
    """Two days of users with a known law; the log stops at the last midnight."""
    dataset = small_log(law, num_users=USERS, num_days=2, seed=seed)
    end_ms = (FIRST_DAY + 2) * DAY_MS - 8 * 3_600_000
    return SessionLog(dataset.impressions, dataset.catalogue, end_ms, GAP_MS)


def random_model() -> FittedUserModel:
    """A user model of random numbers for `USERS` users and the small catalogue."""
    catalogue: VideoCatalogue = small_catalogue()
    gaps = np.exp(np.random.default_rng(3).normal(4.0, 1.0, 500))
    return FittedUserModel(
        responses=random_response_model(USERS, catalogue),
        traces=random_trace_reader(USERS),
        leaving=FittedLeaving(random_session_network(USERS, seed=1)),
        pausing=FittedPausing.fit(random_history(500), gaps),
        returning=FittedReturning(random_session_network(USERS, seed=2), np.asarray(0.5)),
        hour_fractions=np.full(24, 1.0 / 24.0),
        catalogue=catalogue,
        row_keys=np.arange(7, dtype=np.uint64),
    )
