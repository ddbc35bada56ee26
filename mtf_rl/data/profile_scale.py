"""How what is known of a user becomes the numbers that a policy observes as `profile/...`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray
from mtf_rl.core.errors import DataError

__all__ = ["ProfileScale", "standardise"]

EXPOSURES = "exposures"
_PREFIX = "user_"


def standardise(raw: FloatArray, means: FloatArray, stds: FloatArray, limit: float) -> FloatArray:
    """(raw - mean) / std, cut at +-limit, float32; 0 where a value is not known (NaN)."""
    standard = np.nan_to_num((raw - means) / stds, nan=0.0)
    return np.clip(standard, -limit, limit).astype(np.float32)


@dataclass(frozen=True)
class ProfileScale:
    """The constants of the profile block, as they were where a policy was learnt.

    A number is one of these, standardised by its mean and standard deviation:

    - `log_NAME`: log(1 + NAME), a count such as `follow_user_num`;
    - `user_log_exposures`: log(1 + exposures), the videos shown to the user before;
    - `user_NAME_rate`: the logit of (NAME + smoothing rate) / (exposures + smoothing), NAME being
      the sum of a feedback over those videos, and rate the feedback's overall rate.
    """

    names: tuple[str, ...]
    """Of the numbers, without `profile/`."""
    means: tuple[float, ...]
    stds: tuple[float, ...]
    limit: float
    """Standardised numbers are cut at +-limit."""
    rates: tuple[tuple[str, float], ...]
    """Feedback and its overall rate, in [0, 1]."""
    smoothing: float
    """Exposures at the overall rate that are added to what was seen."""

    def facts_of(self, name: str) -> tuple[str, ...]:
        """Names of the raw facts that a number is computed from.

        Raises:
            DataError: if there is no such number.
        """
        if name not in self.names:
            raise DataError(f"no constants are kept for profile/{name}")
        if name == f"{_PREFIX}log_{EXPOSURES}":
            return (EXPOSURES,)
        feedback = name.removeprefix(_PREFIX).removesuffix("_rate")
        if feedback in dict(self.rates):
            return (EXPOSURES, feedback)
        return (name.removeprefix("log_"),)

    def observed(self, name: str, facts: Mapping[str, float]) -> float:
        """The number that a policy observes, of raw counts; NaN stands for what is not known.

        Args:
            name: one of `names`.
            facts: counts by name, those of `facts_of(name)` at least.

        Raises:
            DataError: if a fact is missing, or a count negative.
        """
        needed = self.facts_of(name)
        for fact in needed:
            if fact not in facts:
                raise DataError(f"profile/{name} needs the counts {', '.join(needed)}: no {fact}")
            if facts[fact] < 0.0:
                raise DataError(f"{fact} must be a count of at least 0, got {facts[fact]}")
        position = self.names.index(name)
        standard = standardise(
            np.array([self._raw(needed, facts)]),
            np.array(self.means[position]),
            np.array(self.stds[position]),
            self.limit,
        )
        return float(standard[0])

    def _raw(self, needed: tuple[str, ...], facts: Mapping[str, float]) -> float:
        if len(needed) == 1:
            return float(np.log1p(np.float64(facts[needed[0]])))
        # Imported here: a policy that looks at no rate is served without scipy.
        from mtf_rl.data.past_feedback import PastTotals, rate_columns

        exposures, feedback = needed
        totals = PastTotals(
            np.array([float(facts[exposures])]), np.array([[float(facts[feedback])]])
        )
        rate = np.array([dict(self.rates)[feedback]])
        return float(rate_columns(totals, rate, self.smoothing)[0, 1])

    def to_json(self) -> dict[str, Any]:
        """Numbers, strings and lists that `of_record` reads back."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "ProfileScale":
        """What `to_json` wrote."""
        return cls(
            names=tuple(record["names"]),
            means=tuple(record["means"]),
            stds=tuple(record["stds"]),
            limit=float(record["limit"]),
            rates=tuple((name, float(rate)) for name, rate in record["rates"]),
            smoothing=float(record["smoothing"]),
        )
