"""What a log can and cannot say about leaving and returning, when it ends somewhere."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, IntArray
from mtf_rl.data.impressions import Impressions
from mtf_rl.user_models.replay import LoggedRequests

__all__ = ["ReturnTargets", "followed_up", "return_targets"]


def followed_up(requests: LoggedRequests, *, end_ms: IntArray, gap_ms: int) -> BoolArray:
    """Of which requests it is known whether the user left after them, (requests,).

    `end_ms` (requests,) is the instant up to which each request may be looked at. Known are those
    that the session gap had passed after: without a later request of the session the user has
    left. The others are censored, even where a later request was seen already: counting those
    that stayed but not those that may have left would make leaving too rare.
    """
    return np.asarray(requests.times_ms + gap_ms < end_ms)


@dataclass(frozen=True)
class ReturnTargets:
    """The next active day after each session; -1 where the log ends before one is seen."""

    days: IntArray  # (sessions,) days to the next active day, >= 1, or -1
    observed_days: IntArray  # (sessions,) whole days that the log covers after the session's day

    @property
    def next_day_known(self) -> BoolArray:
        """Sessions after which at least one whole day is covered."""
        return self.observed_days >= 1

    def later_days(self) -> tuple[int, int]:
        """Returns and chances to return from the second day on, over all sessions."""
        later = self.next_day_known & (self.days != 1)
        seen = later & (self.days > 1)
        chances = np.where(seen, self.days, self.observed_days)[later] - 1
        return int(seen.sum()), int(chances.sum())


def return_targets(
    impressions: Impressions, observed: BoolArray, users: IntArray, days: IntArray
) -> ReturnTargets:
    """The returns after sessions of `users` that ended on `days`, (sessions,) each.

    `observed` are the rows that tell which days a user was active on. The last of their days is
    taken as covered whole when no row of the log follows on it.
    """
    last_day = int(impressions.days[observed].max())
    if np.any(impressions.days[~observed] == last_day):
        last_day -= 1
    span = int(impressions.days.max()) + 2
    active = observed & (impressions.days <= last_day)
    codes = np.unique(
        impressions.users[active].astype(np.int64) * span + impressions.days[active]
    )  # (active days,), sorted by user, then day
    codes = np.append(codes, np.iinfo(np.int64).max)
    following = codes[np.searchsorted(codes, users.astype(np.int64) * span + days, side="right")]
    same_user = following // span == users
    gap = np.where(same_user, following % span - days, -1)
    return ReturnTargets(gap.astype(np.int64), np.maximum(last_day - days, 0).astype(np.int64))
