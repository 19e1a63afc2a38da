"""Pooling windows whose padding is uneven, that are dilated, or that may reach beyond the end.

The kernels know dense windows and even padding; the rest is made of padding beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.ops._arguments import IntOrTuple, Shape, as_ints, check_minimum
from voxelgrad.ops._padding import Padding, as_pairs, pad_spatial
from voxelgrad.ops._taps import Taps, dense_taps
from voxelgrad.tensor import Tensor


class Window:
    """The settings of a pooling, resolved for every spatial axis.

    Attributes:
        is_plain: Whether the kernels take it as it is, with padding ``before`` at both ends.
        is_dilated: Whether elements of a window lie apart.
    """

    def __init__(
        self,
        op: str,
        rank: int,
        kernel_size: IntOrTuple,
        stride: IntOrTuple | None,
        padding: Padding,
        dilation: IntOrTuple,
        ceil_mode: bool,
    ) -> None:
        self.op = op
        self.rank = rank
        self.kernel_size = as_ints(op, "kernel_size", kernel_size, rank)
        self.stride = self.kernel_size if stride is None else as_ints(op, "stride", stride, rank)
        self.dilation = as_ints(op, "dilation", dilation, rank)
        self.padding = as_pairs(op, padding, rank)
        self.ceil_mode = bool(ceil_mode)
        for name in ("kernel_size", "stride", "dilation"):
            check_minimum(op, name, getattr(self, name), 1)
        self.before = tuple(before for before, _ in self.padding)
        self.is_dilated = max(self.dilation) > 1
        even = all(b == a for b, a in self.padding)
        half = all(2 * b <= k for b, k in zip(self.before, self.kernel_size, strict=True))
        self.is_plain = even and half and not self.is_dilated and not self.ceil_mode

    def outputs(self, size: Shape) -> list[int]:
        """Return how many windows there are along each axis of an input of spatial ``size``.

        Raises:
            ValueError: If a window is longer than the padded input.
        """
        lengths = []
        for axis, n in enumerate(size):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            step, room = self.stride[axis], n + sum(self.padding[axis]) - reach
            if room < 0:
                raise ValueError(
                    f"{self.op}: a window of kernel_size {self.kernel_size} and dilation "
                    f"{self.dilation} is longer than the input of spatial size {size} with padding "
                    f"{self.padding}; use a smaller kernel or a larger input"
                )
            count = (-(-room // step) if self.ceil_mode else room // step) + 1
            if self.ceil_mode and (count - 1) * step >= n + self.before[axis]:
                count -= 1
            lengths.append(count)
        return lengths

    def padded(self, input: Any, value: float) -> Tensor:
        """Return the input with all its padding, and with what the last windows reach beyond."""
        size, pairs = input.shape[1:-1], []
        for axis, count in enumerate(self.outputs(size)):
            before, after = self.padding[axis]
            step = self.stride[axis]
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            needed = (count - 1) * step + reach - size[axis] - before
            # Less than the padding, where that would make room for another window.
            pairs.append((before, max(needed, min(after, needed + step - 1))))
        return pad_spatial(self.op, input, tuple(pairs), value)

    def averaging_taps(self, size: Shape, include_padding: bool) -> list[Taps]:
        """Return for each axis the table of the means over windows, for ``ops.resample``.

        What counts in a window is a box, so the mean over it is the mean of means along its axes.
        """
        tables = []
        for axis, outputs in enumerate(self.outputs(size)):
            before, after = self.padding[axis]
            first = np.arange(outputs)[:, None] * self.stride[axis] - before
            places = first + np.arange(self.kernel_size[axis]) * self.dilation[axis]
            inside = (places >= 0) & (places < size[axis])
            counted = inside
            if include_padding:
                counted = (places >= -before) & (places < size[axis] + after)
            counts = np.maximum(counted.sum(1, keepdims=True), 1)
            weights = np.where(inside, 1.0 / counts, 0.0)
            tables.append(dense_taps(np.clip(places, 0, size[axis] - 1), weights))
        return tables
