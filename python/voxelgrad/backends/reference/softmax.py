"""Softmax and log-softmax over the last axis."""

from __future__ import annotations

import numpy as np

from voxelgrad.backends.reference._common import Array, float64


def softmax_forward(input: Array, output: Array, log: bool) -> None:
    """Write the softmax, or its logarithm, of each row."""
    x = float64(input)
    shifted = x - x.max(axis=-1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    output[...] = shifted - log_total if log else np.exp(shifted - log_total)


def softmax_backward(grad_output: Array, output: Array, grad_input: Array, log: bool) -> None:
    """Write the gradient, given the ``output`` of the forward pass."""
    grad, y = float64(grad_output), float64(output)
    if log:
        grad_input[...] = grad - np.exp(y) * grad.sum(axis=-1, keepdims=True)
    else:
        grad_input[...] = y * (grad - (grad * y).sum(axis=-1, keepdims=True))
