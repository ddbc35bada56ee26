"""Write Stable-Baselines3's logged values to the run's metrics."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import KVWriter
from typing_extensions import override

from mtf_rl.agents.learning import MetricSink

__all__ = ["SinkWriter"]


class SinkWriter(KVWriter):
    """An SB3 log writer that passes numeric values to a `MetricSink`."""

    def __init__(self, sink: MetricSink) -> None:
        self._sink = sink

    @override
    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: Mapping[str, Any],
        step: int = 0,
    ) -> None:
        for name, value in sorted(key_values.items()):
            if isinstance(value, int | float | np.number | torch.Tensor):
                self._sink(step, name, float(value))

    @override
    def close(self) -> None:
        return
