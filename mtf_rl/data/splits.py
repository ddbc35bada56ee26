"""Splits of a log: by time, by session half, and by user group."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mtf_rl.core.arrays import BoolArray, IntArray
from mtf_rl.core.errors import DataError, LeakageError
from mtf_rl.core.log_schema import KUAIRAND_LOG
from mtf_rl.core.randomness import hash_words
from mtf_rl.data.impressions import Impressions
from mtf_rl.data.sessions import start_of_day_ms
from mtf_rl.data.time_plan import TimePlan

__all__ = [
    "Split",
    "UserGroup",
    "check_disjoint",
    "scorer_half",
    "split_by_time",
    "user_groups",
]

# Salts make the two hashes independent of each other and of other uses of the seed.
_HALF_SALT = 0x48414C46
_GROUP_SALT = 0x47524F55


@dataclass(frozen=True)
class Split:
    """Masks (rows,) of three disjoint parts that cover the log."""

    train: BoolArray
    validation: BoolArray
    test: BoolArray
    split_time_ms: int
    """Start of validation, Unix time in ms."""
    test_time_ms: int
    """Start of test, Unix time in ms."""


def split_by_time(
    impressions: Impressions,
    plan: TimePlan,
    *,
    utc_offset_hours: float = KUAIRAND_LOG.utc_offset_hours,
) -> Split:
    """Split a log into training, validation and test at two times; a part includes its start time.

    A request is never split, because its rows have equal times. A session may be split. Days are
    counted back from the last day of the log.

    Args:
        impressions: rows of the log.
        plan: sizes of test and validation.
        utc_offset_hours: time zone of the log (`LogSchema`); days begin at its midnight.

    Raises:
        DataError: if a part would be empty.
    """
    times_ms = impressions.times_ms
    last_day = int(impressions.days.max())
    test_time_ms = start_of_day_ms(last_day - plan.test_days + 1, utc_offset_hours)
    if plan.validation_days:
        first_day = last_day - plan.test_days + 1 - plan.validation_days
        split_time_ms = start_of_day_ms(first_day, utc_offset_hours)
    else:
        split_time_ms = _fraction_boundary(impressions, test_time_ms, plan.validation_fraction)
    train = times_ms < split_time_ms
    test = times_ms >= test_time_ms
    split = Split(train, ~train & ~test, test, split_time_ms, test_time_ms)
    for name, part in (("train", train), ("validation", split.validation), ("test", test)):
        if not part.any():
            days = last_day - int(impressions.days.min()) + 1
            raise DataError(
                f"no {name} rows: the log covers {days} day(s), and the plan is"
                f" test_days={plan.test_days}, validation_days={plan.validation_days},"
                f" validation_fraction={plan.validation_fraction}."
                " Use a longer log, or reduce the plan."
            )
    return split


def _fraction_boundary(impressions: Impressions, before_ms: int, fraction: float) -> int:
    """The time at which the last `fraction` of the requests before `before_ms` begins."""
    _, first_rows = np.unique(impressions.requests, return_index=True)
    times_ms = impressions.times_ms[first_rows]
    earlier_ms = np.sort(times_ms[times_ms < before_ms])
    if len(earlier_ms) == 0:
        return before_ms
    return int(earlier_ms[min(int(len(earlier_ms) * (1.0 - fraction)), len(earlier_ms) - 1)])


def scorer_half(impressions: Impressions, *, seed: int) -> BoolArray:
    """True for the scorer's sessions, False for the user model's, (rows,).

    Each session is assigned with probability 0.5 by a hash of (seed, user index, session start),
    so that its rows stay together.
    """
    sessions, inverse = np.unique(impressions.sessions, return_inverse=True)
    starts_ms = np.full(len(sessions), np.iinfo(np.int64).max)
    np.minimum.at(starts_ms, inverse, impressions.times_ms)
    bits = hash_words(_HALF_SALT, seed, impressions.users, starts_ms[inverse])
    return np.asarray(bits >> np.uint64(63) == 1)


def check_disjoint(scorer_keys: IntArray, user_model_keys: IntArray) -> None:
    """Check that scorer and user model were fitted on disjoint rows, by `Impressions.keys`.

    Raises:
        LeakageError: if they have rows in common; the message has their number.
    """
    common = np.intersect1d(scorer_keys, user_model_keys)
    if len(common):
        raise LeakageError(
            f"the scorer and the user model were both fitted on {len(common)} of the same rows:"
            " evaluation would reuse the scorer's training rows. Fit each on its own half of the"
            " sessions (scorer_half)."
        )


class UserGroup(IntEnum):
    """Purpose of a user's simulated sessions."""

    LEARN = 0
    TUNE = 1
    FINAL = 2


def user_groups(user_ids: IntArray, *, seed: int) -> IntArray:
    """The `UserGroup` of each user, (users,) int8: 70 % learn, 10 % tune, 20 % final.

    The group is a hash of (seed, user id), so it does not depend on the other users.
    """
    uniforms = (hash_words(_GROUP_SALT, seed, user_ids) >> np.uint64(11)) * 2.0**-53
    groups: NDArray[np.int8] = np.searchsorted([0.7, 0.8], uniforms, side="right").astype(np.int8)
    return groups
