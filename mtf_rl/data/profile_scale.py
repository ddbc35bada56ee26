"""Conversion of a user's raw counts to the observations `profile/...` of a policy."""

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
    """(raw - mean) / std, clipped to +-limit, float32; 0 for unknown values (NaN)."""
    standard = np.nan_to_num((raw - means) / stds, nan=0.0)
    return np.clip(standard, -limit, limit).astype(np.float32)


@dataclass(frozen=True)
class ProfileScale:
    """Standardisation constants of the profile features, from the training of a policy.

    Each feature is one of these, standardised by its mean and std:

    - `log_NAME`: log(1 + NAME), with a count NAME such as `follow_user_num`;
    - `user_log_exposures`: log(1 + exposures), the videos shown to the user before;
    - `user_NAME_rate`: the logit of (NAME + smoothing * rate) / (exposures + smoothing), with NAME
      the sum of a feedback over these videos and rate its overall rate.
    """

    names: tuple[str, ...]
    """Names of the features, without `profile/`."""
    means: tuple[float, ...]
    stds: tuple[float, ...]
    limit: float
    """Standardised features are clipped to +-limit."""
    rates: tuple[tuple[str, float], ...]
    """Name and overall rate of each feedback, in [0, 1]."""
    smoothing: float
    """Number of prior exposures at the overall rate."""

    def facts_of(self, name: str) -> tuple[str, ...]:
        """Names of the raw counts from which a feature is computed.

        Raises:
            DataError: if there is no such feature.
        """
        if name not in self.names:
            raise DataError(
                f"profile/{name} has no standardisation constants. Known: {', '.join(self.names)}"
            )
        if name == f"{_PREFIX}log_{EXPOSURES}":
            return (EXPOSURES,)
        feedback = name.removeprefix(_PREFIX).removesuffix("_rate")
        if feedback in dict(self.rates):
            return (EXPOSURES, feedback)
        return (name.removeprefix("log_"),)

    def observed(self, name: str, facts: Mapping[str, float]) -> float:
        """The feature that a policy observes, from raw counts; NaN stands for an unknown count.

        Args:
            name: one of `names`.
            facts: counts by name, including those of `facts_of(name)`.

        Raises:
            DataError: if a count is missing or negative.
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
        # Imported here, so that a policy without rates is served without scipy.
        from mtf_rl.data.past_feedback import PastTotals, rate_columns

        exposures, feedback = needed
        totals = PastTotals(
            np.array([float(facts[exposures])]), np.array([[float(facts[feedback])]])
        )
        rate = np.array([dict(self.rates)[feedback]])
        return float(rate_columns(totals, rate, self.smoothing)[0, 1])

    def to_json(self) -> dict[str, Any]:
        """A JSON document for `of_record`."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "ProfileScale":
        """Read the document of `to_json`."""
        return cls(
            names=tuple(record["names"]),
            means=tuple(record["means"]),
            stds=tuple(record["stds"]),
            limit=float(record["limit"]),
            rates=tuple((name, float(rate)) for name, rate in record["rates"]),
            smoothing=float(record["smoothing"]),
        )
