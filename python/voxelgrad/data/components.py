"""Connected pieces of masks."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def largest_component(mask: NDArray[Any]) -> NDArray[Any]:
    """Return the mask with nothing but its largest connected piece.

    Voxels that touch, also over edges and corners, are connected, whatever their classes. Of two
    pieces of one size the first in memory stays.

    Args:
        mask: Classes (*spatial), 0 is background.

    Returns:
        A copy of the same shape and dtype, 0 outside the piece.
    """
    rows, starts, ends, grid = _runs(mask)
    if len(rows) == 0:
        return np.array(mask)
    first, second = _touching(rows, starts, ends, grid)
    labels = _join(len(rows), first, second)
    sizes = np.bincount(labels, weights=ends - starts)
    return _keep(mask, rows, starts, ends, grid, labels == sizes.argmax())


def _runs(mask: NDArray[Any]) -> tuple[Ints, Ints, Ints, tuple[int, ...]]:
    """Return row, start and end of each run of foreground along the last axis, in memory order.

    Rows are counted in a grid with a border of one row on all sides, where stepping to a neighbour
    never wraps around.
    """
    grid = tuple(length + 2 for length in mask.shape[:-1])
    inside = np.zeros((*grid, mask.shape[-1] + 2), np.int8)
    inside[tuple(slice(1, -1) for _ in mask.shape)] = mask > 0
    steps = np.diff(inside.reshape(-1, mask.shape[-1] + 2), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    return rows.astype(np.int64), starts.astype(np.int64), ends.astype(np.int64), grid


def _touching(rows: Ints, starts: Ints, ends: Ints, grid: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Return the pairs of runs in neighbouring rows that overlap or meet at a corner."""
    width = int(ends.max()) + 2
    start_keys, end_keys = rows * width + starts, rows * width + ends
    strides = [int(np.prod(grid[axis + 1 :])) for axis in range(len(grid))]
    pairs: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for offsets in product((-1, 0, 1), repeat=len(grid)):
        if offsets <= (0,) * len(grid):
            continue
        row = rows + sum(o * s for o, s in zip(offsets, strides, strict=True))
        low = np.searchsorted(end_keys, row * width + starts, "left")
        high = np.searchsorted(start_keys, row * width + ends, "right")
        counts = np.maximum(high - low, 0)
        first = np.repeat(np.arange(len(rows)), counts)
        place = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs.append((first, np.repeat(low, counts) + place))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _join(count: int, first: Ints, second: Ints) -> Ints:
    """Return for each run the lowest one it is connected to, by hooking and pointer jumping."""
    labels = np.arange(count)
    while True:
        lowest = np.minimum(labels[first], labels[second])
        joined = labels.copy()
        np.minimum.at(joined, labels[first], lowest)
        np.minimum.at(joined, labels[second], lowest)
        joined = joined[joined]
        if np.array_equal(joined, labels):
            return labels
        labels = joined


def _keep(
    mask: NDArray[Any],
    rows: Ints,
    starts: Ints,
    ends: Ints,
    grid: tuple[int, ...],
    kept: NDArray[np.bool_],
) -> NDArray[Any]:
    result = np.zeros_like(mask)
    for run in np.flatnonzero(kept):
        row = [int(i) - 1 for i in np.unravel_index(rows[run], grid)] if grid else []
        piece: Any = (*row, slice(int(starts[run]), int(ends[run])))
        result[piece] = mask[piece]
    return result
