"""Indexing: ints, slices, ``...`` and ``None``."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.ops._arguments import Shape
from voxelgrad.ops.shape import Crop, reshape
from voxelgrad.tensor import Tensor


def getitem(input: Tensor, key: Any) -> Tensor:
    """Index with ints, slices of step 1, ``...`` and ``None``; also the operator ``[]``.

    Args:
        input: A tensor of any shape.
        key: What stands between the brackets.

    Returns:
        A copy of the part.

    Raises:
        IndexError: If an index leaves the tensor or there are too many.
        TypeError: If ``key`` holds anything else, such as an index array.
        ValueError: If a slice has another step.
    """
    start, size, shape = _parse_key(input.shape, key if isinstance(key, tuple) else (key,))
    return reshape(Crop(start, size).apply(input), shape)


def _parse_key(shape: Shape, keys: tuple[Any, ...]) -> tuple[Shape, Shape, Shape]:
    """Return start, size and final shape of the part that ``keys`` select."""
    used = len([k for k in keys if k is not None and k is not Ellipsis])
    if used > len(shape):
        raise IndexError(
            f"index: {used} indices for a tensor of {len(shape)} axes (shape {shape}); give fewer"
        )
    keys = _expand_ellipsis(keys, len(shape) - used)
    start: list[int] = []
    size: list[int] = []
    result: list[int] = []
    for key in keys:
        if key is None:
            result.append(1)
            continue
        first, length = _parse_one(len(start), shape[len(start)], key)
        start.append(first)
        size.append(length)
        if isinstance(key, slice):
            result.append(length)
    return tuple(start), tuple(size), tuple(result)


def _expand_ellipsis(keys: tuple[Any, ...], missing: int) -> tuple[Any, ...]:
    """Replace ``...`` (at the end, if there is none) by as many full slices as are missing."""
    places = [i for i, key in enumerate(keys) if key is Ellipsis]
    if len(places) > 1:
        raise IndexError("index: '...' may stand only once")
    place = places[0] if places else len(keys)
    return keys[:place] + (slice(None),) * missing + keys[place + 1 :]


def _parse_one(axis: int, length: int, key: Any) -> tuple[int, int]:
    """Return first index and number of elements that ``key`` selects along an axis."""
    if isinstance(key, slice):
        first, stop, step = key.indices(length)
        if step != 1:
            raise ValueError(f"index: the slice of axis {axis} has step {step}; only 1 is offered")
        return first, max(0, stop - first)
    if not isinstance(key, (int, np.integer)) or isinstance(key, bool):
        raise TypeError(
            f"index: axis {axis} is indexed by {type(key).__name__}; use ints, slices, '...' or "
            f"None (for index arrays and masks, index .numpy())"
        )
    if not -length <= key < length:
        raise IndexError(f"index: {key} is outside axis {axis} of length {length}")
    return int(key) % length, 1
