"""Feed-forward networks as plain arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtf_rl.core.arrays import FloatArray, check_shape
from mtf_rl.core.compiled import compiled
from mtf_rl.core.errors import ShapeError
from mtf_rl.core.registry import Registry

__all__ = ["HIDDEN_ACTIVATIONS", "OUTPUT_ACTIVATIONS", "Mlp"]

_Activation = Callable[[FloatArray], FloatArray]


def _relu(values: FloatArray) -> FloatArray:
    return np.maximum(values, 0.0)


def _clip(values: FloatArray) -> FloatArray:
    return np.clip(values, -1.0, 1.0)


def _identity(values: FloatArray) -> FloatArray:
    return values


HIDDEN_ACTIVATIONS: Registry[_Activation] = Registry(
    "hidden activation", {"relu": _relu, "tanh": np.tanh}
)
OUTPUT_ACTIVATIONS: Registry[_Activation] = Registry(
    "output activation", {"tanh": np.tanh, "clip": _clip, "identity": _identity}
)


@dataclass(frozen=True)
class Mlp:
    """A multi-layer perceptron with float64 sums in a fixed order.

    A row's output is bitwise independent of the other rows in the batch.

    Raises:
        ShapeError: if there is no layer, or the layers do not fit each other.
        UnknownNameError: if an activation is unknown.
    """

    weights: tuple[FloatArray, ...]  # each (outputs, inputs)
    biases: tuple[FloatArray, ...]  # each (outputs,)
    hidden: str = "relu"
    """Activation after every layer but the last: relu or tanh."""
    output: str = "tanh"
    """Activation after the last layer: tanh, clip (to [-1, 1]) or identity."""

    def __post_init__(self) -> None:
        HIDDEN_ACTIVATIONS[self.hidden]
        OUTPUT_ACTIVATIONS[self.output]
        if not self.weights or len(self.weights) != len(self.biases):
            raise ShapeError(
                "a network needs at least one layer, and a bias for each weight, got "
                f"{len(self.weights)} weights and {len(self.biases)} biases"
            )
        width: int | None = None
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2:
                raise ShapeError(
                    f"weights[{layer}] must have shape (outputs, inputs), got {weight.shape}"
                )
            outputs, inputs = weight.shape
            expected = (outputs, inputs if width is None else width)
            check_shape(f"weights[{layer}]", weight, "outputs, inputs", expected)
            check_shape(f"biases[{layer}]", bias, "outputs", (outputs,))
            width = outputs

    @property
    def inputs(self) -> int:
        """Width of the input."""
        return int(self.weights[0].shape[1])

    @property
    def outputs(self) -> int:
        """Width of the output."""
        return len(self.biases[-1])

    def __call__(self, values: FloatArray) -> FloatArray:
        """Compute outputs (rows, outputs) float64 for inputs `values` (rows, inputs).

        Raises:
            ShapeError: if `values` has the wrong shape.
        """
        check_shape("values", values, "rows, inputs", (len(values), self.inputs))
        activation = HIDDEN_ACTIVATIONS[self.hidden]
        values = np.ascontiguousarray(values, dtype=np.float64)
        for weight, bias in self._layers[:-1]:
            values = activation(_layer(values, weight, bias))
        return OUTPUT_ACTIVATIONS[self.output](_layer(values, *self._layers[-1]))

    @cached_property
    def _layers(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Weights (inputs, outputs) and biases (outputs,) in float64."""
        pairs = zip(self.weights, self.biases, strict=True)
        return tuple(
            (np.ascontiguousarray(weight.T, dtype=np.float64), bias.astype(np.float64))
            for weight, bias in pairs
        )


COMPILED_FROM = 1 << 18
"""Number of products above which a compiled loop is used; serving a request needs no numba."""


def _layer(values: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    """Bias plus products, summed in the order of the inputs: (rows, outputs) float64."""
    rows, (inputs, outputs) = len(values), weight.shape
    if rows * weight.size < COMPILED_FROM:
        terms = np.empty((rows, 1 + inputs, outputs))
        terms[:, 0] = bias
        np.multiply(values[:, :, None], weight, out=terms[:, 1:])
        # Running sums have a fixed order; the order of a plain sum depends on the shape.
        return np.add.accumulate(terms, axis=1, out=terms)[:, -1]
    sums = np.empty((rows, outputs))
    _sum_into(np.ascontiguousarray(values), weight, bias, sums)
    return sums


# Compiled, since the summation order of a BLAS product depends on the number of rows.


@compiled
def _sum_into(values: Any, weight: Any, bias: Any, sums: Any) -> None:
    """Add bias and products into `sums`, (rows, outputs), in the order of the inputs.

    `weight` is (inputs, outputs), so the inner loop runs along memory. Four inputs are added per
    pass: the same sums with a quarter of the loads and stores.
    """
    inputs, outputs = weight.shape
    whole = inputs - inputs % 4
    for row in range(values.shape[0]):
        for position in range(outputs):
            sums[row, position] = bias[position]
        for source in range(0, whole, 4):
            first, second = values[row, source], values[row, source + 1]
            third, fourth = values[row, source + 2], values[row, source + 3]
            for position in range(outputs):
                total = sums[row, position] + first * weight[source, position]
                total += second * weight[source + 1, position]
                total += third * weight[source + 2, position]
                sums[row, position] = total + fourth * weight[source + 3, position]
        for source in range(whole, inputs):
            value = values[row, source]
            for position in range(outputs):
                sums[row, position] += value * weight[source, position]
