"""Convolution and transposed convolution of sequences, images and volumes.

Images are ``(N, *spatial, C)``, weights ``(out_channels, *kernel, in_channels // groups)`` for both
directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

from voxelgrad.backends import is_on_device
from voxelgrad.ops._arguments import IntOrTuple, as_tensor
from voxelgrad.ops._conv import Conv, ConvTranspose, JoinedConv
from voxelgrad.ops._padding import Padding, split_uneven
from voxelgrad.ops.shape import Concat
from voxelgrad.tensor import Tensor

Images: TypeAlias = "Tensor | Sequence[Tensor]"
"""An image, or several that are joined along the channels."""


def _convolve(
    op: str,
    rank: int,
    input: Images,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntOrTuple,
    padding: Padding,
    dilation: IntOrTuple,
    groups: int,
) -> Tensor:
    """Convolve one image, or several joined along the channels."""
    if not _are_images(input):
        image, even = split_uneven(op, input, padding, rank)
        return Conv(op, rank, stride, even, dilation, groups).apply(image, weight, bias)
    images = [as_tensor(op, f"input[{i}]", one) for i, one in enumerate(input)]
    if len(images) == 1 or is_on_device(images[0].data):  # whose kernels read one array
        joined = Concat(-1).apply(*images) if len(images) > 1 else images[0]
        return _convolve(op, rank, joined, weight, bias, stride, padding, dilation, groups)
    padded = [split_uneven(op, image, padding, rank) for image in images]
    settings = (op, rank, stride, padded[0][1], dilation, groups)
    return JoinedConv(len(images), *settings).apply(*(image for image, _ in padded), weight, bias)


def _are_images(input: Any) -> TypeGuard[Sequence[Tensor]]:
    return isinstance(input, (tuple, list)) and any(isinstance(one, Tensor) for one in input)


def conv1d(
    input: Images,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve sequences; as ``conv2d`` with one spatial axis.

    Args:
        input: ``(N, L, C)``, or a list of several.
        weight: ``(out_channels, K, C // groups)``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Step of the kernel.
        padding: Zeros added at both ends; ``[(before, after)]`` where they differ.
        dilation: Distance between kernel elements.
        groups: Number of independent blocks of channels.

    Returns:
        ``(N, (L + 2 * padding - dilation * (K - 1) - 1) // stride + 1, out_channels)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    settings = (stride, padding, dilation, groups)
    return _convolve("conv1d", 1, input, weight, bias, *settings)


def conv2d(
    input: Images,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve images (cross-correlation: the kernel is not flipped).

    Args:
        input: ``(N, H, W, C)``; or several images that have C channels together, in a list: then
            the result is that for ``concat(input)``, without the joined array where that can be.
        weight: ``(out_channels, KH, KW, C // groups)``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Step of the kernel, an int or one per spatial axis.
        padding: Zeros added on both sides, an int or one per spatial axis; or a pair
            ``(before, after)`` per axis.
        dilation: Distance between kernel elements, an int or one per spatial axis.
        groups: Number of independent blocks of channels; ``C`` makes it depthwise.

    Returns:
        ``(N, OH, OW, out_channels)``, ``OH = (H + 2 * padding - dilation * (KH - 1) - 1) // stride
        + 1``.

    Raises:
        ValueError: If shapes or settings do not fit.
        TypeError: If dtypes are mixed.
    """
    settings = (stride, padding, dilation, groups)
    return _convolve("conv2d", 2, input, weight, bias, *settings)


def conv3d(
    input: Images,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve volumes; as ``conv2d`` with three spatial axes.

    Args:
        input: ``(N, D, H, W, C)``, or a list of several.
        weight: ``(out_channels, KD, KH, KW, C // groups)``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Step of the kernel, an int or one per spatial axis.
        padding: Zeros added on both sides, an int or one per spatial axis; or a pair
            ``(before, after)`` per axis.
        dilation: Distance between kernel elements, an int or one per spatial axis.
        groups: Number of independent blocks of channels.

    Returns:
        ``(N, OD, OH, OW, out_channels)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    settings = (stride, padding, dilation, groups)
    return _convolve("conv3d", 3, input, weight, bias, *settings)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: IntOrTuple = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of sequences ``(N, L, C)``; as ``conv_transpose2d``."""
    function = ConvTranspose(
        "conv_transpose1d", 1, stride, padding, output_padding, dilation, groups
    )
    return function.apply(input, weight, bias)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: IntOrTuple = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of images, which scales them up by ``stride``.

    Args:
        input: ``(N, H, W, C)``.
        weight: ``(out_channels, KH, KW, C // groups)``: the layout of ``conv2d``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Distance between the outputs of neighbouring inputs.
        padding: Elements cut off on both sides of the output.
        output_padding: Elements added at the end of each axis, less than stride or dilation.
        dilation: Distance between kernel elements.
        groups: Number of independent blocks of channels.

    Returns:
        ``(N, OH, OW, out_channels)`` with
        ``OH = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + 1 + output_padding``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    function = ConvTranspose(
        "conv_transpose2d", 2, stride, padding, output_padding, dilation, groups
    )
    return function.apply(input, weight, bias)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: IntOrTuple = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of volumes ``(N, D, H, W, C)``; as ``conv_transpose2d``."""
    function = ConvTranspose(
        "conv_transpose3d", 3, stride, padding, output_padding, dilation, groups
    )
    return function.apply(input, weight, bias)
