"""Optimizer steps over lists of arrays, in place."""

from __future__ import annotations

import math

import numpy as np

from voxelgrad.backends.reference._common import Array, float64


def sgd_step(
    params: list[Array],
    grads: list[Array],
    buffers: list[Array],
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """Make one step of stochastic gradient descent.

    With momentum, ``buffer = momentum * buffer + gradient`` and the step follows the buffer, or,
    with ``nesterov``, gradient + momentum * buffer. ``buffers`` is empty when ``momentum`` is 0.
    """
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        direction = float64(grad) + weight_decay * float64(param)
        if momentum != 0.0:
            velocity = momentum * float64(buffers[i]) + direction
            buffers[i][...] = velocity
            direction = direction + momentum * velocity if nesterov else velocity
        param[...] = float64(param) - lr * direction


def adam_step(
    params: list[Array],
    grads: list[Array],
    exp_avgs: list[Array],
    exp_avg_sqs: list[Array],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """Make step number ``step`` (from 1) of Adam, or of AdamW when ``decoupled``.

    Sources: D. P. Kingma, J. Ba, Adam, 2015, algorithm 1; I. Loshchilov, F. Hutter, Decoupled
    weight decay regularization, 2019, algorithm 2.
    """
    first_correction, second_correction = 1.0 - beta1**step, 1.0 - beta2**step
    for param, grad, average, square in zip(params, grads, exp_avgs, exp_avg_sqs, strict=True):
        old, gradient = float64(param), float64(grad)
        if decoupled:
            old = old * (1.0 - lr * weight_decay)
        else:
            gradient = gradient + weight_decay * old
        m = beta1 * float64(average) + (1.0 - beta1) * gradient
        v = beta2 * float64(square) + (1.0 - beta2) * gradient**2
        average[...] = m
        square[...] = v
        denominator = np.sqrt(v / second_correction) + eps
        param[...] = old - lr * (m / first_correction) / denominator


def squared_norm(arrays: list[Array]) -> float:
    """Return the sum of the squares of all elements."""
    return math.fsum(float((float64(array) ** 2).sum()) for array in arrays)


def scale_inplace(arrays: list[Array], factor: float) -> None:
    """Multiply every element by ``factor``."""
    for array in arrays:
        array[...] = float64(array) * factor


def all_finite(array: Array) -> bool:
    """Return whether no element is infinite or NaN."""
    return bool(np.isfinite(array).all())
