"""Kernels that smooth a deterministic policy into one with a density on [-1, 1]^d."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry

__all__ = ["KERNELS", "ProductKernel", "scott_bandwidth"]

_GAUSSIAN, _EPANECHNIKOV, _TRIANGLE, _BOX = range(4)

KERNELS: Registry[int] = Registry(
    "kernel",
    {
        "gaussian": _GAUSSIAN,
        "epanechnikov": _EPANECHNIKOV,
        "triangle": _TRIANGLE,
        "box": _BOX,
    },
)
"""Kernels by name; compiled code uses the numbers."""

# Reflections at -1 and 1 repeat with period 4; Gaussian tails need several of them.
_IMAGES = 4
_NEGLIGIBLE_LOG = 40.0  # e^-40 times the nearest image's density is below float64 precision


@njit(cache=True, nogil=True)
def _profile(kernel: int, u: float) -> float:
    """k(u), which integrates to 1."""
    if kernel == _GAUSSIAN:
        return float(np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi))
    if np.isnan(u):
        return u
    if abs(u) >= 1.0:
        return 0.0
    if kernel == _EPANECHNIKOV:
        return 0.75 * (1.0 - u * u)
    if kernel == _TRIANGLE:
        return 1.0 - abs(u)
    return 0.5 if kernel == _BOX else np.nan


@njit(cache=True, nogil=True)
def _log_densities_into(
    kernel: int, actions: Any, centres: Any, bandwidths: Any, logs: Any
) -> None:
    """Write log densities (rows,) of actions around centres (rows, action_dim) into `logs`.

    Reflections that contribute less than float64 precision are skipped. NaN stays NaN.
    """
    for row in range(len(actions)):
        logs[row] = 0.0
        for position in range(len(bandwidths)):
            scale = bandwidths[position]
            near = (actions[row, position] - centres[row, position]) / scale
            mirrored = (actions[row, position] + centres[row, position] - 2.0) / scale
            period = 4.0 / scale
            farthest = near * near + 2.0 * _NEGLIGIBLE_LOG
            total = 0.0
            for image in range(-_IMAGES, _IMAGES + 1):
                first, second = near + image * period, mirrored + image * period
                if not first * first > farthest:
                    total += _profile(kernel, first)
                if not second * second > farthest:
                    total += _profile(kernel, second)
            logs[row] += np.log(total / scale) if total != 0.0 else -np.inf


@dataclass(frozen=True)
class ProductKernel:
    """K(a; m) = prod_j k_h(a_j; m_j) on [-1, 1]^d, reflected at the bounds.

    k_h(a; m) = sum over i of [k((a - m + 4 i) / h) + k((a + m - 2 + 4 i) / h)] / h. Mass outside
    the bounds is reflected inside, so K integrates to 1 for every m and d.

    Raises:
        ConfigError: if a bandwidth is not in (0, 2].
        UnknownNameError: if no kernel has this name.
    """

    bandwidths: FloatArray  # (action_dim,)
    kernel: str = "gaussian"

    def __post_init__(self) -> None:
        KERNELS[self.kernel]
        if not ((self.bandwidths > 0.0) & (self.bandwidths <= 2.0)).all():
            raise ConfigError(f"bandwidths must be in (0, 2], got {self.bandwidths}")

    def log_density(self, actions: FloatArray, centres: FloatArray) -> FloatArray:
        """Log K of actions (rows, action_dim) around centres, (rows,); -inf where K is 0.

        Raises:
            ShapeError: if actions or centres do not have shape (rows, action_dim).
        """
        shape = (len(centres), len(self.bandwidths))
        check_shape("actions", actions, "rows, action_dim", shape)
        check_shape("centres", centres, "rows, action_dim", shape)
        logs = np.empty(len(centres))
        at, around = actions.astype(np.float64), centres.astype(np.float64)
        _log_densities_into(KERNELS[self.kernel], at, around, self.bandwidths, logs)
        return logs


def scott_bandwidth(actions: FloatArray) -> FloatArray:
    """Scott's rule, std_j rows^(-1 / (d + 4)), of actions (rows, action_dim): (action_dim,).

    The std of a constant action entry is set to 0.1. Bandwidths are clipped to [0.001, 2].
    """
    rows, width = actions.shape
    spread = actions.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0.0, spread, 0.1) * rows ** (-1.0 / (width + 4))
    start: FloatArray = np.clip(scale, 1e-3, 2.0)
    return start
