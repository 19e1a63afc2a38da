"""Bounds for the norms, to first order.

The normalised value xh = (x - mean) * invstd may be computed as x * scale - mean * scale; the mean
is off by gamma_n * mean |x|, invstd by gamma_n of itself (the error of the mean cancels in the
variance). So xh is off by gamma_n times ``size`` = (|x| + mean |x|) * invstd + |xh|.
The input gradient is invstd * (g - mean(g) - xh * mean(g * xh)) with g = grad * weight.
"""

from __future__ import annotations

import numpy as np

from op_case import OpCase
from rounding import Arrays, Bounds, gamma


def _norm(
    arrays: list[np.ndarray | None],
    grad: np.ndarray,
    axes: tuple[int, ...],
    statistics: tuple[np.ndarray, np.ndarray],
    terms: int,
    grads_through_statistics: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bounds of the output, the input gradient and the terms of the weight gradient."""
    x, weight, bias = arrays
    mean, invstd = statistics
    weight = np.ones(1) if weight is None else np.abs(weight)
    shift = 0.0 if bias is None else np.abs(bias)
    mean_size = (
        np.abs(x).mean(axis=axes, keepdims=True) if grads_through_statistics else np.abs(mean)
    )
    normalised = np.abs((x - mean) * invstd)
    size = (np.abs(x) + mean_size) * invstd + normalised
    grad = np.abs(grad)
    through = grad * weight
    error = through
    if grads_through_statistics:
        product = (through * normalised).mean(axis=axes, keepdims=True)
        product_size = (through * size).mean(axis=axes, keepdims=True)
        error = through + through.mean(axis=axes, keepdims=True)
        error = error + size * product + normalised * product_size
    relative = gamma(terms)
    return (
        relative * (size * weight + shift),
        4.0 * relative * invstd * error,
        2 * relative * grad * size,
    )


def batch_norm(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    x, running_mean, running_var, weight, bias = arrays
    axes = tuple(range(x.ndim - 1))
    training = case.params["training"]
    mean = x.mean(axis=axes) if training else running_mean
    variance = x.var(axis=axes) if training else running_var
    statistics = (mean, 1.0 / np.sqrt(variance + 1e-5))
    bounds = _norm([x, weight, bias], grad, axes, statistics, case.terms, training)
    return _with_affine(bounds, weight, grad, case.terms)


def _with_affine(
    bounds: tuple[np.ndarray, np.ndarray, np.ndarray],
    weight: np.ndarray | None,
    grad: np.ndarray,
    terms: int,
) -> Bounds:
    output, grad_input, weight_terms = bounds
    if weight is None:
        return [output, grad_input]
    axes = tuple(range(grad.ndim - weight.ndim))
    return [
        output,
        grad_input,
        weight_terms.sum(axis=axes),
        gamma(terms) * np.abs(grad).sum(axis=axes),
    ]


def group_norm(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    x, weight, bias = arrays
    channels = x.shape[-1]
    groups = case.params.get("num_groups", channels)
    split = (x.shape[0], -1, groups, channels // groups)
    affine = [None if a is None else a.reshape(groups, -1) for a in (weight, bias)]
    grouped = x.reshape(split)
    mean = grouped.mean(axis=(1, 3), keepdims=True)
    invstd = 1.0 / np.sqrt(grouped.var(axis=(1, 3), keepdims=True) + 1e-5)
    parts = _norm([grouped, *affine], grad.reshape(split), (1, 3), (mean, invstd), case.terms, True)
    output, grad_input, weight_terms = (part.reshape(x.shape) for part in parts)
    return _with_affine((output, grad_input, weight_terms), weight, grad, case.terms)


def layer_norm(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    x = arrays[0]
    weight, bias = (*arrays[1:], None, None)[:2]
    axes = tuple(range(x.ndim - len(case.params["normalized_shape"]), x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    invstd = 1.0 / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
    bounds = _norm([x, weight, bias], grad, axes, (mean, invstd), case.terms, True)
    return _with_affine(bounds, weight, grad, case.terms)
