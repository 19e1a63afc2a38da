"""How the elements of an ONNX tensor lie in memory here, and values that know it.

ONNX has the channels first, voxelgrad last. While an imported graph runs, every value carries its
layout: an operator on images asks for channels last and gives channels last, an elementwise one
takes what it gets. So an image is turned at most once on its way in and never between two layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.dtypes import BFLOAT16
from voxelgrad.tensor import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """An order of axes.

    Attributes:
        kind: ``"plain"``, as in ONNX; ``"last"``: axis 1 comes last, for images (N, C, *spatial)
            and weights of convolutions (O, I, *kernel); ``"swapped"``: the two axes of a matrix
            change places; ``"transposed"``: weights of transposed convolutions, from
            (I, O // groups, *kernel) to (O, *kernel, I // groups).
        groups: Groups of the transposed convolution.
    """

    kind: str
    groups: int = 1

    def store(self, array: Any) -> Any:
        """Return a tensor or numpy array that has ONNX's order in this order."""
        if self.kind == "plain":
            return array
        if self.kind != "transposed":
            return moved(array, self.axes(array.ndim))
        inputs, outputs, *kernel = array.shape
        blocks = array.reshape(self.groups, inputs // self.groups, outputs, *kernel)
        turned = moved(blocks, (0, 2, *range(3, blocks.ndim), 1))
        return turned.reshape(self.groups * outputs, *kernel, inputs // self.groups)

    def restore(self, array: Any) -> Any:
        """Return a tensor or numpy array that has this order in ONNX's."""
        if self.kind == "plain":
            return array
        if self.kind != "transposed":
            axes = self.axes(array.ndim)
            return moved(array, tuple(axes.index(i) for i in range(len(axes))))
        outputs, *kernel, inputs = array.shape
        blocks = array.reshape(self.groups, outputs // self.groups, *kernel, inputs)
        turned = moved(blocks, (0, blocks.ndim - 1, *range(1, blocks.ndim - 1)))
        return turned.reshape(self.groups * inputs, outputs // self.groups, *kernel)

    def axes(self, ndim: int) -> Shape:
        """Return for each axis here which axis of the ONNX tensor it is."""
        if self.kind == "last":
            return (0, *range(2, ndim), 1)
        return (1, 0) if self.kind == "swapped" else tuple(range(ndim))


PLAIN = Layout("plain")
LAST = Layout("last")
SWAPPED = Layout("swapped")


class Value:
    """What flows along an edge of the graph.

    Args:
        data: A tensor; or a numpy array, for integers and truth values, which are always plain.
        layout: How ``data`` lies.
    """

    def __init__(self, data: Tensor | NDArray[Any], layout: Layout = PLAIN) -> None:
        self.data = data
        self.layout = layout
        self._converted: dict[Layout, Tensor] = {}

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def shape(self) -> Shape:
        """The extents in ONNX's order."""
        stored = self.data.shape
        if self.layout.kind == "transposed":
            raise ValueError("the weight of a transposed convolution is used as something else")
        axes = self.layout.axes(len(stored))
        return tuple(stored[axes.index(i)] for i in range(len(stored)))

    @property
    def is_float(self) -> bool:
        """Whether this is a tensor to compute on, rather than integers or truth values."""
        return isinstance(self.data, Tensor)

    def tensor(self, layout: Layout = PLAIN) -> Tensor:
        """Return the tensor in ``layout``; what has been turned once is kept.

        Raises:
            TypeError: If it holds integers or truth values.
        """
        if not isinstance(self.data, Tensor):
            raise TypeError(
                f"an input of dtype {self.data.dtype} stands where a float tensor must; voxelgrad "
                f"computes on float32 and float64"
            )
        if layout == self.layout:
            return self.data
        if layout not in self._converted:
            self._converted[layout] = layout.store(self.layout.restore(self.data))
        return self._converted[layout]

    def array(self) -> NDArray[Any]:
        """Return the values as a numpy array in ONNX's order."""
        if isinstance(self.data, Tensor):
            return self.layout.restore(self.data).numpy()  # type: ignore[no-any-return]
        return self.data


def same_format(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors in one number format: bfloat16 if one of them is, as in ``autocast``."""
    if not any(tensor.dtype == BFLOAT16 for tensor in tensors):
        return list(tensors)
    return [ops.cast(tensor, BFLOAT16) for tensor in tensors]


def moved(array: Any, axes: Shape) -> Any:
    """Return ``array`` with its axes in the order ``axes``; a view where only axes of 1 move."""
    lengths = [array.shape[i] for i in axes]
    long = [i for i in axes if array.shape[i] != 1]
    if long == sorted(long):
        return array.reshape(*lengths)
    if isinstance(array, np.ndarray):
        return np.ascontiguousarray(array.transpose(axes))
    return ops.transpose(array, axes)
