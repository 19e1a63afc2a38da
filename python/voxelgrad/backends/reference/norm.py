"""Batch and group normalisation of arrays (N, *spatial, C) in plain numpy, and an activation.

Instance norm is group norm with as many groups as channels; layer norm is group norm with one group
on the array reshaped to (rows, columns).
"""

from __future__ import annotations

import numpy as np

from voxelgrad.backends.reference._common import Array, float64
from voxelgrad.backends.reference.activation import activation_backward, activation_forward


def _scale(weight: Array | None) -> Array:
    return np.ones(()) if weight is None else float64(weight)


def _shift(bias: Array | None) -> Array:
    return np.zeros(()) if bias is None else float64(bias)


def _activate(pre: Array, activation: str, alpha: float) -> Array:
    """Return identity, relu or leaky_relu (slope ``alpha``) of ``pre``, in its place."""
    if activation != "identity":
        activation_forward(activation, pre, pre, alpha)
    return pre


def _through_activation(grad: Array, pre: Array, activation: str, alpha: float) -> Array:
    """Return the gradient of ``pre`` from that of ``_activate(pre)``."""
    result = float64(grad)
    if activation != "identity":
        result = np.empty_like(pre)
        # The slope depends on the sign alone, which input and output share.
        activation_backward(activation, grad, pre, result, alpha)
    return result


def _grad_normalised(grad: Array, normalised: Array, invstd: Array, axes: tuple[int, ...]) -> Array:
    """Return the gradient of ``(x - mean(x)) / std(x)`` over ``axes``, given that of its result."""
    mean_grad = grad.mean(axis=axes, keepdims=True)
    mean_product = (grad * normalised).mean(axis=axes, keepdims=True)
    result: Array = invstd * (grad - mean_grad - normalised * mean_product)
    return result


def batch_norm_forward(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    output: Array,
    mean: Array,
    invstd: Array,
    eps: float,
    activation: str,
    alpha: float,
) -> None:
    """Normalise each channel by its own mean and biased variance.

    ``output`` gets the result, ``mean`` and ``invstd`` (C,) the statistics.
    """
    x = float64(input).reshape(-1, input.shape[-1])
    centre = x.mean(axis=0)
    inverse = 1.0 / np.sqrt(((x - centre) ** 2).mean(axis=0) + eps)
    pre = (x - centre) * inverse * _scale(weight) + _shift(bias)
    output[...] = _activate(pre, activation, alpha).reshape(output.shape)
    mean[...] = centre
    invstd[...] = inverse


def batch_norm_update(
    mean: Array,
    invstd: Array,
    running_mean: Array,
    running_var: Array,
    count: int,
    momentum: float,
    eps: float,
) -> None:
    """Move running statistics towards those of a batch of ``count`` values a channel, in place."""
    # A training that diverges overflows here first; its loss says so, once and with the place.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        variance = np.maximum(1.0 / float64(invstd) ** 2 - eps, 0.0) * count / (count - 1)
        running_mean[...] = (1.0 - momentum) * float64(running_mean) + momentum * float64(mean)
        running_var[...] = (1.0 - momentum) * float64(running_var) + momentum * variance


def batch_norm_apply(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    invstd: Array,
    output: Array,
    activation: str,
    alpha: float,
) -> None:
    """Normalise each channel by given statistics ``mean``, ``invstd`` (C,)."""
    normalised = (float64(input) - float64(mean)) * float64(invstd)
    output[...] = _activate(normalised * _scale(weight) + _shift(bias), activation, alpha)


def batch_norm_statistics(
    running_mean: Array, running_var: Array, mean: Array, invstd: Array, eps: float
) -> None:
    """Write what ``batch_norm_apply`` takes: the mean, and 1 / sqrt(variance + eps)."""
    mean[...] = running_mean
    invstd[...] = 1.0 / np.sqrt(float64(running_var) + eps)


def batch_norm_fold(
    weight: Array,
    bias: Array | None,
    norm_weight: Array | None,
    norm_bias: Array | None,
    mean: Array,
    variance: Array,
    folded_weight: Array,
    folded_bias: Array,
    eps: float,
) -> None:
    """Write weight (out_channels, ...) and bias of a layer that contains the norm behind it.

    The norm has constant statistics: y = (x - mean) * norm_weight / sqrt(variance + eps) +
    norm_bias.
    """
    scale = _scale(norm_weight) / np.sqrt(float64(variance) + eps)
    folded_weight[...] = float64(weight) * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    folded_bias[...] = _shift(norm_bias) + (_shift(bias) - float64(mean)) * scale


def batch_norm_backward(
    grad_output: Array,
    input: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    invstd: Array,
    grad_input: Array | None,
    grad_weight: Array | None,
    grad_bias: Array | None,
    training: bool,
    activation: str,
    alpha: float,
) -> None:
    """Write those gradients that are not None; in ``training`` statistics depend on the input."""
    channels = input.shape[-1]
    inverse = float64(invstd)
    normalised = (float64(input).reshape(-1, channels) - float64(mean)) * inverse
    pre = normalised * _scale(weight) + _shift(bias)
    grad = _through_activation(grad_output.reshape(-1, channels), pre, activation, alpha)
    if grad_bias is not None:
        grad_bias[...] = grad.sum(axis=0)
    if grad_weight is not None:
        grad_weight[...] = (grad * normalised).sum(axis=0)
    if grad_input is None:
        return
    scaled = grad * _scale(weight)
    result = _grad_normalised(scaled, normalised, inverse, (0,)) if training else scaled * inverse
    grad_input[...] = result.reshape(grad_input.shape)


def _grouped(array: Array, groups: int) -> Array:
    """Return ``array`` (N, *spatial, C) as (N, prod(spatial), groups, C / groups)."""
    samples, channels = array.shape[0], array.shape[-1]
    rows = int(np.prod(array.shape[1:-1]))
    return float64(array).reshape(samples, rows, groups, channels // groups)


def _per_group(statistic: Array) -> Array:
    """Return a statistic (N, G) so that it broadcasts with the result of ``_grouped``."""
    return float64(statistic)[:, None, :, None]


def group_norm_forward(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    output: Array,
    mean: Array,
    invstd: Array,
    eps: float,
    activation: str,
    alpha: float,
) -> None:
    """Normalise each group of channels of each sample; ``mean``, ``invstd`` (N, G) are outputs."""
    x = _grouped(input, mean.shape[1])
    centre = x.mean(axis=(1, 3))
    variance = ((x - _per_group(centre)) ** 2).mean(axis=(1, 3))
    inverse = 1.0 / np.sqrt(variance + eps)
    normalised = (x - _per_group(centre)) * _per_group(inverse)
    pre = normalised.reshape(output.shape) * _scale(weight) + _shift(bias)
    output[...] = _activate(pre, activation, alpha)
    mean[...] = centre
    invstd[...] = inverse


def group_norm_apply(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    invstd: Array,
    output: Array,
    activation: str,
    alpha: float,
) -> None:
    """Normalise each group of channels of each sample by given ``mean``, ``invstd`` (N, G)."""
    centred = _grouped(input, mean.shape[1]) - _per_group(mean)
    normalised = (centred * _per_group(invstd)).reshape(output.shape)
    output[...] = _activate(normalised * _scale(weight) + _shift(bias), activation, alpha)


def group_norm_backward(
    grad_output: Array,
    input: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    invstd: Array,
    grad_input: Array | None,
    grad_weight: Array | None,
    grad_bias: Array | None,
    activation: str,
    alpha: float,
) -> None:
    """Write those gradients of ``group_norm_forward`` that are not None."""
    channels, groups = input.shape[-1], mean.shape[1]
    inverse = _per_group(invstd)
    normalised = (_grouped(input, groups) - _per_group(mean)) * inverse
    pre = normalised.reshape(input.shape) * _scale(weight) + _shift(bias)
    grad = _through_activation(grad_output, pre, activation, alpha)
    if grad_bias is not None:
        grad_bias[...] = grad.reshape(-1, channels).sum(axis=0)
    if grad_weight is not None:
        product = grad * normalised.reshape(input.shape)
        grad_weight[...] = product.reshape(-1, channels).sum(axis=0)
    if grad_input is None:
        return
    scaled = _grouped(grad * _scale(weight), groups)
    result = _grad_normalised(scaled, normalised, inverse, (1, 3))
    grad_input[...] = result.reshape(grad_input.shape)
