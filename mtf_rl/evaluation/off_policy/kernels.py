"""Kernels that smooth a deterministic policy into one with a density on [-1, 1]^d."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.errors import ConfigError
from mtf_rl.core.registry import Registry

__all__ = ["KERNELS", "ProductKernel", "scott_bandwidth"]

# Reflections of the line at -1 and 1 repeat with period 4; Gaussian tails need a few of them.
_IMAGES = (-2, -1, 0, 1, 2)


def _gaussian(u: FloatArray) -> FloatArray:
    density: FloatArray = np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi)
    return density


def _epanechnikov(u: FloatArray) -> FloatArray:
    return np.where(np.abs(u) < 1.0, 0.75 * (1.0 - u**2), 0.0)


def _triangle(u: FloatArray) -> FloatArray:
    return np.maximum(0.0, 1.0 - np.abs(u))


def _box(u: FloatArray) -> FloatArray:
    return np.where(np.abs(u) < 1.0, 0.5, 0.0)


KERNELS: Registry[Callable[[FloatArray], FloatArray]] = Registry(
    "kernel",
    {"gaussian": _gaussian, "epanechnikov": _epanechnikov, "triangle": _triangle, "box": _box},
)


@dataclass(frozen=True)
class ProductKernel:
    """K(a; m) = prod_j k_h(a_j; m_j) on [-1, 1]^d, reflected at the bounds.

    k_h(a; m) = sum over i of [k((a - m + 4 i) / h) + k((a + m - 2 + 4 i) / h)] / h: what a kernel
    puts outside is folded back, so that it integrates to 1 for every m and d. The scale is divided
    by once for each dimension.

    Raises:
        ConfigError: if a bandwidth is not in (0, 2].
        UnknownNameError: if there is no such kernel.
    """

    bandwidths: FloatArray  # (num_parameters,)
    kernel: str = "gaussian"

    def __post_init__(self) -> None:
        KERNELS[self.kernel]
        if not ((self.bandwidths > 0.0) & (self.bandwidths <= 2.0)).all():
            raise ConfigError(f"bandwidths must be in (0, 2], got {self.bandwidths}")

    def log_density(self, actions: FloatArray, centres: FloatArray) -> FloatArray:
        """Log K of actions (rows, num_parameters) around centres: (rows,); -inf where it is 0.

        Raises:
            ShapeError: if the actions are of another width than the bandwidths.
        """
        shape = (len(centres), len(self.bandwidths))
        check_shape("actions", actions, "rows, num_parameters", shape)
        check_shape("centres", centres, "rows, num_parameters", shape)
        profile, total = KERNELS[self.kernel], np.zeros(shape)
        near, mirrored = actions - centres, actions + centres - 2.0
        for image in _IMAGES:
            total += profile((near + 4.0 * image) / self.bandwidths)
            total += profile((mirrored + 4.0 * image) / self.bandwidths)
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(total / self.bandwidths).sum(axis=1)
        return logs


def scott_bandwidth(actions: FloatArray) -> FloatArray:
    """sd_j rows^(-1 / (d + 4)) of actions (rows, num_parameters): (num_parameters,).

    Scott's rule, a start. sd is taken as .1 where an action never moves, and bandwidths are kept
    within [.001, 2].
    """
    rows, width = actions.shape
    spread = actions.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0.0, spread, 0.1) * rows ** (-1.0 / (width + 4))
    start: FloatArray = np.clip(scale, 1e-3, 2.0)
    return start
