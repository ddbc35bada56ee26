"""Censoring of leaving and returning at the end of a log."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import BoolArray, IntArray
from mtf_rl.data.impressions import Impressions
from mtf_rl.user_models.replay import LoggedRequests

__all__ = ["ReturnTargets", "followed_up", "return_targets"]


def followed_up(requests: LoggedRequests, *, end_ms: IntArray, gap_ms: int) -> BoolArray:
    """Requests after which it is observed whether the user left, (requests,) bool.

    `end_ms` (requests,) is the end of the observation period of each request. A request is observed
    if the session gap `gap_ms` ends within that period: without another request of the session by
    then, the user has left. All other requests are censored, even if a later request is in the log.
    Keeping only those with a later request would underestimate leaving.
    """
    return np.asarray(requests.times_ms + gap_ms < end_ms)


@dataclass(frozen=True)
class ReturnTargets:
    """The next active day after each session; -1 if the log ends before it."""

    days: IntArray  # (sessions,) days to the next active day, >= 1, or -1
    observed_days: IntArray  # (sessions,) whole days that the log covers after the session's day

    @property
    def next_day_known(self) -> BoolArray:
        """Sessions after which the log covers at least one whole day."""
        return self.observed_days >= 1

    def later_days(self) -> tuple[int, int]:
        """Number of returns, and of days at risk, from the second day on, over all sessions."""
        later = self.next_day_known & (self.days != 1)
        returned = later & (self.days > 1)
        at_risk = np.where(returned, self.days, self.observed_days)[later] - 1
        return int(returned.sum()), int(at_risk.sum())


def return_targets(
    impressions: Impressions, observed: BoolArray, users: IntArray, days: IntArray
) -> ReturnTargets:
    """Returns after sessions of `users` that ended on `days`, (sessions,) each.

    `observed` (rows,) selects the rows from which active days are taken. Their last day counts as
    fully covered if no other row of the log is on that day.
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
