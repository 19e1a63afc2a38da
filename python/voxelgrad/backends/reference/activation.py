"""Functions of one number: a table of formulas and a table of their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from voxelgrad.backends.reference._common import Array, float64

# kind -> f(x, alpha)
_FORWARD: dict[str, Callable[[Array, float], Array]] = {
    "relu": lambda x, alpha: np.maximum(x, 0.0),
    "leaky_relu": lambda x, alpha: np.where(x > 0.0, x, alpha * x),
    "elu": lambda x, alpha: np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0))),
    "sigmoid": lambda x, alpha: np.exp(-np.logaddexp(0.0, -x)),
    "tanh": lambda x, alpha: np.tanh(x),
    "softplus": lambda x, alpha: np.logaddexp(0.0, x),
    "exp": lambda x, alpha: np.exp(x),
    "log": lambda x, alpha: np.log(x),
    "sqrt": lambda x, alpha: np.sqrt(x),
    "abs": lambda x, alpha: np.abs(x),
    "square": lambda x, alpha: x * x,
}

# kind -> f'(x), written in what the forward pass saved: its input x or its output y
_DERIVATIVE: dict[str, Callable[[Array, float], Array]] = {
    "relu": lambda y, alpha: np.where(y > 0.0, 1.0, 0.0),
    "leaky_relu": lambda x, alpha: np.where(x > 0.0, 1.0, alpha),
    "elu": lambda y, alpha: np.where(y > 0.0, 1.0, y + alpha),
    "sigmoid": lambda y, alpha: y * (1.0 - y),
    "tanh": lambda y, alpha: 1.0 - y * y,
    "softplus": lambda x, alpha: np.exp(-np.logaddexp(0.0, -x)),
    "exp": lambda y, alpha: y,
    "log": lambda x, alpha: 1.0 / x,
    "sqrt": lambda y, alpha: 0.5 / y,
    "abs": lambda x, alpha: np.where(x > 0.0, 1.0, np.where(x < 0.0, -1.0, 0.0)),
    "square": lambda x, alpha: 2.0 * x,
}


def _check_kind(kind: str) -> None:
    if kind not in _FORWARD:
        raise ValueError(f"activation: kind {kind!r} is unknown; choose one of {sorted(_FORWARD)}")


def activation_forward(kind: str, input: Array, output: Array, alpha: float) -> None:
    """Write the function ``kind`` of each element; ``alpha`` is its slope or scale, if any.

    Raises:
        ValueError: If there is no function of that kind.
    """
    _check_kind(kind)
    output[...] = _FORWARD[kind](float64(input), alpha)


def activation_backward(
    kind: str, grad_output: Array, saved: Array, grad_input: Array, alpha: float
) -> None:
    """Write ``grad_output`` times the derivative.

    ``saved`` is the output for relu, elu, sigmoid, tanh, exp and sqrt, else the input.

    Raises:
        ValueError: If there is no function of that kind.
    """
    _check_kind(kind)
    grad_input[...] = float64(grad_output) * _DERIVATIVE[kind](float64(saved), alpha)


def clip_forward(input: Array, output: Array, low: float, high: float) -> None:
    """Write ``input`` cut to [low, high]; NaN stays NaN."""
    output[...] = np.clip(float64(input), low, high)


def clip_backward(
    grad_output: Array, input: Array, grad_input: Array, low: float, high: float
) -> None:
    """Write ``grad_output`` where ``low < input < high``, else 0."""
    inside = (input > low) & (input < high)
    grad_input[...] = np.where(inside, float64(grad_output), 0.0)
