"""Initial values of weights, drawn from the library's one generator (``voxelgrad.manual_seed``).

Weights are ``(out, *kernel, in)`` or ``(out, in)``: the fan-in is everything but the first axis,
the fan-out everything but the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad.random import generator
from voxelgrad.tensor import Tensor

_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
}
_elements_left: ContextVar[int | None] = ContextVar("elements_left", default=None)


@contextmanager
def limited_elements(most: int) -> Iterator[None]:
    """Within the block, let layers make arrays of so many elements together, and no more.

    A network that is built as a file describes it cannot need more than the file holds.

    Raises:
        ValueError: In the block, where a layer asks for more; before it takes the memory.
    """
    token = _elements_left.set(most)
    try:
        yield
    finally:
        _elements_left.reset(token)


def filled(shape: tuple[int, ...], value: float, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return a new array for a layer, filled with a value; ``limited_elements`` counts it."""
    _claim(shape)
    return np.full(shape, value, dtype)


def _claim(shape: tuple[int, ...]) -> None:
    left, wanted = _elements_left.get(), math.prod(shape)
    if left is None:
        return
    if wanted > left:
        raise ValueError(
            f"the description asks for a network with an array of shape {shape}; the file has only "
            f"{left:,} numbers left for it"
        )
    _elements_left.set(left - wanted)


def gain_of(nonlinearity: str, negative_slope: float = 0.0) -> float:
    """Return the factor by which weights before an activation are scaled to keep the variance.

    Args:
        nonlinearity: linear, sigmoid, tanh, relu or leaky_relu.
        negative_slope: Slope of leaky_relu below zero.

    Raises:
        ValueError: If the nonlinearity is unknown.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + negative_slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"init: nonlinearity {nonlinearity!r} is unknown; choose one of {known}")
    return _GAINS[nonlinearity]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight of this shape.

    Raises:
        ValueError: If the shape has fewer than two axes or an empty one.
    """
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(
            f"init: a weight of shape {shape} has no fan-in; it needs two axes or more"
        )
    size = math.prod(shape)
    return size // shape[0], size // shape[-1]


def uniform(tensor: Tensor, low: float, high: float) -> Tensor:
    """Fill a tensor in place from the uniform distribution on [low, high) and return it."""
    return _fill(tensor, generator().uniform(low, high, tensor.shape))


def normal(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill a tensor in place from a normal distribution and return it."""
    return _fill(tensor, generator().normal(mean, std, tensor.shape))


def kaiming_uniform(
    tensor: Tensor,
    negative_slope: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Tensor:
    """Fill a weight in place, uniform with bound gain * sqrt(3 / fan), and return it.

    Source: He et al. 2015, "Delving deep into rectifiers", section 2.2.

    Args:
        tensor: The weight, (out, *kernel, in) or (out, in).
        negative_slope: Slope of the leaky ReLU that follows; 0 is a plain ReLU.
        mode: fan_in keeps the variance forward, fan_out backward.
        nonlinearity: The activation that follows, see ``gain_of``.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor.shape, negative_slope, mode, nonlinearity)
    return uniform(tensor, -bound, bound)


def kaiming_normal(
    tensor: Tensor,
    negative_slope: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Tensor:
    """Fill a weight in place, normal with deviation gain / sqrt(fan), and return it.

    Arguments and source as for ``kaiming_uniform``.
    """
    return normal(tensor, 0.0, _kaiming_std(tensor.shape, negative_slope, mode, nonlinearity))


def xavier_uniform(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a weight in place, uniform with bound gain * sqrt(6 / (fan_in + fan_out)); return it.

    Source: Glorot and Bengio 2010, equation 16.
    """
    bound = gain * math.sqrt(6.0 / sum(fans(tensor.shape)))
    return uniform(tensor, -bound, bound)


def xavier_normal(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a weight in place, normal, deviation gain * sqrt(2 / (fan_in + fan_out)); return it.

    Source: Glorot and Bengio 2010, equation 12.
    """
    return normal(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor.shape))))


def orthogonal(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a weight in place so that, as a matrix (out, rest), its rows or columns are orthonormal.

    Source: Saxe et al. 2014; fixing the signs of R makes the draw uniform (Mezzadri 2007).

    Args:
        tensor: The weight, two axes or more.
        gain: Length of the rows or columns.
    """
    fan_in, _ = fans(tensor.shape)
    rows = tensor.shape[0]
    gaussian = generator().normal(size=(max(rows, fan_in), min(rows, fan_in)))
    q, r = np.linalg.qr(gaussian)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    matrix = q if rows >= fan_in else q.T
    return _fill(tensor, gain * matrix.reshape(tensor.shape))


def default_weight(shape: tuple[int, ...], fan_in: int) -> NDArray[np.float32]:
    """Return a new float32 array, uniform with bound 1 / sqrt(fan_in).

    This is PyTorch's default for weights and biases of convolutions and linear layers.
    """
    _claim(shape)
    bound = 1.0 / math.sqrt(fan_in)
    return generator().uniform(-bound, bound, shape).astype(np.float32)


def _kaiming_std(shape: tuple[int, ...], slope: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode is {mode!r}; choose fan_in or fan_out")
    fan = fans(shape)[0 if mode == "fan_in" else 1]
    return gain_of(nonlinearity, slope) / math.sqrt(fan)


def _fill(tensor: Tensor, values: NDArray[np.float64]) -> Tensor:
    tensor.data[...] = values
    return tensor
