"""Normalisation over the batch, over groups of channels, and over trailing axes."""

from __future__ import annotations

from collections.abc import Sequence

from voxelgrad.ops._arguments import as_ints
from voxelgrad.ops._norm import BatchNorm, GroupNorm, LayerNorm
from voxelgrad.tensor import Array, Tensor


def batch_norm(
    input: Tensor,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: str | None = None,
    negative_slope: float = 0.01,
) -> Tensor:
    """Normalise each channel over batch and space.

    Source: S. Ioffe, C. Szegedy, Batch normalization, 2015.

    Args:
        input: ``(N, *spatial, C)``.
        running_mean: Array ``(C,)`` of numpy, or of cupy if the input lies on a device; updated in
            place in training; ``None`` to keep none.
        running_var: Array ``(C,)``, the same, with the unbiased variance.
        weight: ``(C,)`` factor, or ``None`` for 1.
        bias: ``(C,)`` summand, or ``None`` for 0.
        training: Normalise by the batch's own mean and biased variance (else by the running ones,
            as constants).
        momentum: How far the running statistics move towards the batch's, in [0, 1].
        eps: Added to the variance.
        activation: What follows in the same pass: ``None``, ``"relu"`` or ``"leaky_relu"``. The
            backward pass computes again what went into it, so it costs no memory.
        negative_slope: That of the leaky ReLU.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes or settings do not fit, or a channel has fewer than two values to
            train on.
        TypeError: If the running statistics are not arrays of floats on the input's device.
    """
    function = BatchNorm(
        running_mean, running_var, training, momentum, eps, activation, negative_slope
    )
    return function.apply(input, weight, bias)


def instance_norm(
    input: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    activation: str | None = None,
    negative_slope: float = 0.01,
) -> Tensor:
    """Normalise each channel of each sample over space.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, Instance normalization, 2016.

    Args:
        input: ``(N, *spatial, C)`` with at least two positions.
        weight: ``(C,)`` factor, or ``None`` for 1.
        bias: ``(C,)`` summand, or ``None`` for 0.
        eps: Added to the variance.
        activation: What follows in the same pass: ``None``, ``"relu"`` or ``"leaky_relu"``. The
            backward pass computes again what went into it, so it costs no memory.
        negative_slope: That of the leaky ReLU.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes do not fit or there is a single position.
    """
    function = GroupNorm("instance_norm", None, eps, activation, negative_slope)
    return function.apply(input, weight, bias)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    activation: str | None = None,
    negative_slope: float = 0.01,
) -> Tensor:
    """Normalise each group of neighbouring channels of each sample over space.

    Source: Y. Wu, K. He, Group normalization, 2018.

    Args:
        input: ``(N, *spatial, C)``.
        num_groups: Number of groups; divides ``C``.
        weight: ``(C,)`` factor, or ``None`` for 1.
        bias: ``(C,)`` summand, or ``None`` for 0.
        eps: Added to the variance.
        activation: What follows in the same pass: ``None``, ``"relu"`` or ``"leaky_relu"``. The
            backward pass computes again what went into it, so it costs no memory.
        negative_slope: That of the leaky ReLU.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    if num_groups is None:
        raise ValueError("group_norm: num_groups is None; it must be an int that divides C")
    function = GroupNorm("group_norm", num_groups, eps, activation, negative_slope)
    return function.apply(input, weight, bias)


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    activation: str | None = None,
    negative_slope: float = 0.01,
) -> Tensor:
    """Normalise over the trailing axes.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, 2016.

    Args:
        input: ``(..., *normalized_shape)``.
        normalized_shape: Lengths of the axes to normalise over, together.
        weight: Factor of that shape, or ``None`` for 1.
        bias: Summand of that shape, or ``None`` for 0.
        eps: Added to the variance.
        activation: What follows in the same pass: ``None``, ``"relu"`` or ``"leaky_relu"``. The
            backward pass computes again what went into it, so it costs no memory.
        negative_slope: That of the leaky ReLU.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes do not fit.
    """
    rank = len(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else 1
    shape = as_ints("layer_norm", "normalized_shape", normalized_shape, rank)
    return LayerNorm(shape, eps, activation, negative_slope).apply(input, weight, bias)
