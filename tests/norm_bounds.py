"""Bounds for the norms and the activation after them, to first order.

The normalised value xh = (x - mean) * invstd may be computed as x * scale - mean * scale; the mean
is off by gamma_n * mean |x|, invstd by gamma_n of itself (the error of the mean cancels in the
variance). So xh is off by gamma_n times ``size`` = (|x| + mean |x|) * invstd + |xh|.
The input gradient is invstd * (g - mean(g) - xh * mean(g * xh)) with g = grad * weight.

The moments are summed around k, the mean of the first 16 of n rows, 32 squares at a time in
float32: sum (x - k)^2 = n (var + (mean - k)^2) is off by at most 34 u of itself. By Cauchy's
inequality (mean - k)^2 <= (n / 16 - 1) var, so the variance is off by at most 34 n u / 16 of
itself and invstd by half of that: n u, which gamma_n grants.

An activation of slopes up to 1 passes on the error of what it gets, ``pre`` = xh * weight + bias.
Where ``pre`` is closer to 0 than its error, the two sides may be taken for one another: the
gradient that comes through it then has the other slope, an error of |grad| times their difference,
which the input gradient passes on linearly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from op_case import OpCase
from rounding import Arrays, Bounds, gamma


class _Sizes(NamedTuple):
    """Bounds of output and input gradient, and of the terms of the affine gradients."""

    output: np.ndarray
    grad_input: np.ndarray
    weight_terms: np.ndarray
    bias_terms: np.ndarray


def _slopes(case: OpCase, pre: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the slope of the activation at ``pre``, and how far its two slopes are apart."""
    kind = case.params.get("activation")
    if kind is None:
        return np.ones_like(pre), 0.0
    below = case.params["negative_slope"] if kind == "leaky_relu" else 0.0
    return np.where(pre > 0, 1.0, below), 1.0 - below


def _norm(
    case: OpCase,
    arrays: list[np.ndarray | None],
    grad: np.ndarray,
    axes: tuple[int, ...],
    statistics: tuple[np.ndarray, np.ndarray],
    grads_through_statistics: bool = True,
) -> _Sizes:
    x, weight, bias = arrays
    mean, invstd = statistics
    weight = np.ones(1) if weight is None else weight
    bias = np.zeros(1) if bias is None else bias
    mean_size = (
        np.abs(x).mean(axis=axes, keepdims=True) if grads_through_statistics else np.abs(mean)
    )
    normalised = (x - mean) * invstd
    pre = normalised * weight + bias
    normalised, weight, bias, grad = (np.abs(a) for a in (normalised, weight, bias, grad))
    size = (np.abs(x) + mean_size) * invstd + normalised
    relative = gamma(case.terms)
    pre_error = relative * (size * weight + bias)

    slope, apart = _slopes(case, pre)
    jump = np.where(np.abs(pre) <= pre_error, grad * apart, 0.0)
    grad = grad * slope + jump
    through, jump_through = grad * weight, jump * weight
    error, jump_error = through, jump_through
    if grads_through_statistics:
        product = (through * normalised).mean(axis=axes, keepdims=True)
        product_size = (through * size).mean(axis=axes, keepdims=True)
        error = through + through.mean(axis=axes, keepdims=True)
        error = error + size * product + normalised * product_size
        jump_product = (jump_through * normalised).mean(axis=axes, keepdims=True)
        jump_error = jump_through + jump_through.mean(axis=axes, keepdims=True)
        jump_error = jump_error + normalised * jump_product
    return _Sizes(
        pre_error,
        invstd * (4.0 * relative * error + jump_error),
        2 * relative * grad * size + jump * normalised,
        relative * grad + jump,
    )


def _bounds(sizes: _Sizes, weight: np.ndarray | None) -> Bounds:
    """Sum the terms of the affine gradients, if there are any."""
    if weight is None:
        return [sizes.output, sizes.grad_input]
    axes = tuple(range(sizes.output.ndim - weight.ndim))
    affine = (terms.sum(axis=axes) for terms in (sizes.weight_terms, sizes.bias_terms))
    return [sizes.output, sizes.grad_input, *affine]


def batch_norm(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    x, running_mean, running_var, weight, bias = arrays
    axes = tuple(range(x.ndim - 1))
    training = case.params["training"]
    mean = x.mean(axis=axes) if training else running_mean
    variance = x.var(axis=axes) if training else running_var
    statistics = (mean, 1.0 / np.sqrt(variance + 1e-5))
    sizes = _norm(case, [x, weight, bias], grad, axes, statistics, training)
    return _bounds(sizes, weight)


def group_norm(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    x, weight, bias = arrays
    channels = x.shape[-1]
    groups = case.params.get("num_groups", channels)
    split = (x.shape[0], -1, groups, channels // groups)
    affine = [None if a is None else a.reshape(groups, -1) for a in (weight, bias)]
    grouped = x.reshape(split)
    mean = grouped.mean(axis=(1, 3), keepdims=True)
    invstd = 1.0 / np.sqrt(grouped.var(axis=(1, 3), keepdims=True) + 1e-5)
    sizes = _norm(case, [grouped, *affine], grad.reshape(split), (1, 3), (mean, invstd))
    return _bounds(_Sizes(*(part.reshape(x.shape) for part in sizes)), weight)


def layer_norm(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    x = arrays[0]
    weight, bias = (*arrays[1:], None, None)[:2]
    axes = tuple(range(x.ndim - len(case.params["normalized_shape"]), x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    invstd = 1.0 / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
    return _bounds(_norm(case, [x, weight, bias], grad, axes, (mean, invstd)), weight)
