"""What imported convolutions and poolings share: padding by size, transposed ones cut to size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from voxelgrad import ops
from voxelgrad.tensor import Tensor

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

_MOST_GROWTH, _TINY = 4096, 1 << 12

CONVOLUTIONS: dict[int, Any] = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
TRANSPOSED: dict[int, Any] = {
    1: ops.conv_transpose1d,
    2: ops.conv_transpose2d,
    3: ops.conv_transpose3d,
}


def check_growth(given: int, shape: Sequence[int]) -> None:
    """Raise unless a result of ``shape`` stands in some proportion to what is given.

    A few damaged bytes of a size or a stride must not take all memory.

    Args:
        given: How many numbers go in.
        shape: Extents of the result.

    Raises:
        ValueError: If it is more than 4096 times as large (where the inputs are not tiny).
    """
    if math.prod(shape) > _MOST_GROWTH * (given + _TINY):
        raise ValueError(
            f"a result of shape {tuple(shape)} is asked for, of {given:,} numbers given; "
            f"the node's sizes look damaged"
        )


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the padding before and after an axis so that it gives ceil(size / stride) outputs.

    Where it cannot be even, the end gets one more.
    """
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


def enlarged(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    settings: tuple[Ints, Ints, int],
    extra: Ints,
    cut: Pairs,
) -> Tensor:
    """Return a transposed convolution of which any number of positions is cut from either end.

    Args:
        rank: Number of spatial axes.
        input: (N, *spatial, C).
        weight: (O, *kernel, C // groups).
        bias: (O,), or None.
        settings: Strides, dilations and groups.
        extra: Positions added at the end of each axis.
        cut: How many are cut at both ends of each axis; below 0 at the end adds as many.

    Raises:
        ValueError: If more is added than the stride allows.
    """
    strides, dilations, groups = settings
    grown = [e + max(0, -after) for e, (_, after) in zip(extra, cut, strict=True)]
    allowed = [max(s, d) - 1 for s, d in zip(strides, dilations, strict=True)]
    if any(g > a for g, a in zip(grown, allowed, strict=True)):
        raise ValueError(
            f"the output would be longer by {grown} than the kernel reaches; output_padding and "
            f"output_shape may add at most {allowed} (stride or dilation, less 1)"
        )
    symmetric = tuple(max(0, min(pair)) for pair in cut)
    output: Tensor = TRANSPOSED[rank](
        input, weight, bias, strides, symmetric, tuple(grown), dilations, groups
    )
    before = [b - s for (b, _), s in zip(cut, symmetric, strict=True)]
    after = [max(0, a) - s for (_, a), s in zip(cut, symmetric, strict=True)]
    return cropped(output, before, after)


def cropped(image: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Return an image without some positions at both ends of its spatial axes."""
    if not any(before) and not any(after):
        return image
    sizes = [n - b - a for n, b, a in zip(image.shape[1:-1], before, after, strict=True)]
    return ops.crop(image, (0, *before, 0), (image.shape[0], *sizes, image.shape[-1]))
