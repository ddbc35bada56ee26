"""Standardisation of observations to mean 0 and std 1."""

from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape

__all__ = ["Standardisation"]

_MIN_SCALE = 1e-3


@dataclass(frozen=True)
class Standardisation:
    """(observation - mean) / scale, per feature of the observation."""

    mean: FloatArray  # (obs_dim,)
    scale: FloatArray  # (obs_dim,) > 0

    @classmethod
    def of(cls, observations: FloatArray) -> "Standardisation":
        """Mean and std of observations (rows, obs_dim); a constant feature has scale 1."""
        scale = observations.std(axis=0, dtype=np.float64)
        return cls(
            mean=observations.mean(axis=0, dtype=np.float64),
            scale=np.where(scale < _MIN_SCALE, 1.0, scale),
        )

    def apply(self, observations: FloatArray) -> FloatArray:
        """Standardised observations (rows, obs_dim), float64.

        Raises:
            ShapeError: if the observations have another obs_dim.
        """
        shape = (len(observations), len(self.mean))
        check_shape("observations", observations, "rows, obs_dim", shape)
        standard: FloatArray = (observations - self.mean) / self.scale
        return standard  # (rows, obs_dim)
