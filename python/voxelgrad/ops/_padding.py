"""Padding that differs before and after an axis: split off and added by the pad op.

The kernels pad both ends of an axis alike. What one end has more is added to the input beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voxelgrad.ops._arguments import IntOrTuple, Shape, as_ints, as_tensor, check_images
from voxelgrad.ops.shape import pad
from voxelgrad.tensor import Tensor

Pairs = tuple[tuple[int, int], ...]
Padding = IntOrTuple | Sequence[Sequence[int]]
"""Elements at both ends of every axis, of each axis, or ``(before, after)`` of each axis."""


def is_uneven(padding: Any) -> bool:
    """Return whether ``padding`` gives a pair for some axis."""
    return isinstance(padding, (tuple, list)) and any(
        isinstance(part, (tuple, list)) for part in padding
    )


def as_pairs(op: str, padding: Any, rank: int) -> Pairs:
    """Return ``padding`` as ``(before, after)`` of each spatial axis.

    Raises:
        TypeError: If it is no int, ints or pairs of ints.
        ValueError: If there are too few or too many, or one is negative.
    """
    if is_uneven(padding):
        if len(padding) != rank:
            raise ValueError(
                f"{op}: padding is {padding}; it must be an int, {rank} ints or {rank} pairs "
                f"(before, after)"
            )
        listed = [as_ints(op, f"padding[{i}]", part, 2) for i, part in enumerate(padding)]
    else:
        listed = [(both, both) for both in as_ints(op, "padding", padding, rank)]
    if min(map(min, listed)) < 0:
        raise ValueError(f"{op}: padding is {padding}; it must be 0 or greater")
    return tuple((before, after) for before, after in listed)


def pad_spatial(op: str, input: Any, pairs: Pairs, value: float = 0.0) -> Tensor:
    """Return ``input`` (N, *spatial, C) with ``value`` added at the ends of its spatial axes."""
    tensor = as_tensor(op, "input", input)
    check_images(op, tensor.shape, len(pairs))
    if not any(map(any, pairs)):
        return tensor
    return pad(tensor, ((0, 0), *pairs, (0, 0)), "constant", value)


def split_uneven(op: str, input: Any, padding: Any, rank: int) -> tuple[Any, IntOrTuple]:
    """Return input and padding of a convolution, the uneven part of the padding added already."""
    if not is_uneven(padding):
        return input, padding
    pairs = as_pairs(op, padding, rank)
    even: Shape = tuple(min(pair) for pair in pairs)
    rest = tuple((b - e, a - e) for (b, a), e in zip(pairs, even, strict=True))
    return pad_spatial(op, input, rest), even
