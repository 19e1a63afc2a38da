"""Compares the gradients an op computes with central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from voxelgrad import random
from voxelgrad.grad_mode import no_grad
from voxelgrad.tensor import Array, Tensor


class GradientError(AssertionError):
    """A computed gradient differs from the central difference."""


def gradcheck(
    fn: Callable[..., Tensor],
    inputs: Tensor | Array | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """Check the gradients of ``fn`` in float64 against central differences.

    The output is weighted by fixed random numbers and summed, so one backward gives every gradient;
    each element of each input is then moved by ``eps`` both ways. Stay away from kinks and ties.

    Args:
        fn: Takes the inputs as tensors and returns a tensor; random numbers it draws from
            ``voxelgrad.random`` are the same in every call.
        inputs: One or several tensors or arrays. Floating ones become float64 copies. If some
            tensor requires gradients only those are checked, else every floating input is.
        eps: Half the distance of the central difference.
        atol: Absolute tolerance.
        rtol: Tolerance relative to the central difference.

    Returns:
        ``True``.

    Raises:
        GradientError: Naming input and index, if a gradient is missing or differs.
        TypeError: If there is nothing to check, or ``fn`` does not return a tensor.
    """
    listed = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    tensors = _as_float64(listed)
    state = random.get_state()
    output = _call(fn, tensors)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, output.shape)
    weights *= np.where(np.arange(weights.size).reshape(weights.shape) % 2, -1.0, 1.0)
    output.backward(weights)

    def value() -> float:
        random.set_state(state)
        with no_grad():
            return float(np.sum(_call(fn, tensors).data * weights))

    for index, tensor in enumerate(tensors):
        if isinstance(tensor, Tensor) and tensor.requires_grad:
            _compare(index, tensor, value, eps, atol, rtol)
    return True


def _as_float64(inputs: list[Any]) -> list[Any]:
    """Return float64 copies of the floating inputs, those to check with ``requires_grad``."""
    chosen = any(isinstance(i, Tensor) and i.requires_grad for i in inputs)
    tensors: list[Any] = []
    for value in inputs:
        array = value.data if isinstance(value, Tensor) else value
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            tensors.append(value)
            continue
        wanted = not chosen or (isinstance(value, Tensor) and value.requires_grad)
        tensors.append(Tensor(array.astype(np.float64, order="C"), requires_grad=wanted))
    if not any(isinstance(t, Tensor) and t.requires_grad for t in tensors):
        raise TypeError("gradcheck: inputs hold no floating tensor or array to check")
    return tensors


def _call(fn: Callable[..., Tensor], tensors: list[Any]) -> Tensor:
    output = fn(*tensors)
    if not isinstance(output, Tensor):
        raise TypeError(f"gradcheck: fn returned {type(output).__name__}; it must return a Tensor")
    return output


def _compare(
    number: int,
    tensor: Tensor,
    value: Callable[[], float],
    eps: float,
    atol: float,
    rtol: float,
) -> None:
    """Compare the gradient of input ``number`` with central differences, element by element."""
    if tensor.grad is None:
        raise GradientError(f"gradcheck: input {number} got no gradient; fn does not depend on it")
    for index in np.ndindex(tensor.shape):
        kept = tensor.data[index]
        tensor.data[index] = kept + eps
        above = value()
        tensor.data[index] = kept - eps
        below = value()
        tensor.data[index] = kept
        expected = (above - below) / (2 * eps)
        computed = float(tensor.grad.data[index])
        if not abs(computed - expected) <= atol + rtol * abs(expected):
            raise GradientError(
                f"gradcheck: input {number} at index {index}: backward gives {computed:.9g}, the "
                f"central difference is {expected:.9g} (atol {atol}, rtol {rtol})"
            )
