"""An ONNX graph being written: names, layouts, nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from voxelgrad.interop.onnx.layout import LAST, PLAIN, Layout

Array = NDArray[Any]
Shape = tuple[int, ...]

_FILE_VERSION = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}
"""Operator set -> version of the file format that came with it."""


@dataclass(frozen=True)
class Item:
    """An array of the run: a value of the graph, or a weight or constant.

    Attributes:
        shape: Its extents here, channels last.
        name: Name of the value in the graph; "" for a constant that is not written yet.
        layout: LAST if the graph's value has the channels first where they are last here; PLAIN if
            it has this order.
        array: The numbers, for constants.
    """

    shape: Shape
    name: str = ""
    layout: Layout = PLAIN
    array: Array | None = None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def axis(self, axis: int) -> int:
        """Return where axis ``axis`` is in the graph's value."""
        return self.layout.axes(self.ndim)[axis % self.ndim]


class Writer:
    """Collects nodes and weights.

    Args:
        opset: Version of the operator set.
        names: Names of parameters and buffers by the identity of their arrays.
    """

    def __init__(self, opset: int, names: dict[int, str]) -> None:
        self.opset = opset
        self._weight_names = names
        self._items: dict[int, tuple[Array, Item]] = {}
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._inputs: list[tuple[str, Item, Any]] = []
        self._outputs: list[tuple[str, Item, Any]] = []
        self._converted: dict[tuple[str, Layout], Item] = {}
        self._count = 0
        self.batch_is_fixed = False
        self.size_is_fixed = False

    def add_input(self, name: str, array: Array) -> None:
        """Declare an input; from three axes on it is an image and gets its channels first."""
        item = Item(array.shape, name, LAST if array.ndim > 2 else PLAIN)
        self._inputs.append((name, item, array.dtype))
        self.keep(array, item)

    def add_output(self, name: str, array: Array) -> None:
        """Declare an output; images keep the channels first."""
        item = self.item(array)
        item = self.plain(item) if item.array is not None else item
        self._nodes.append(helper.make_node("Identity", [item.name], [name], name=name))
        self._outputs.append((name, item, array.dtype))

    def item(self, array: Array) -> Item:
        """Return what is known of an array of the run; an unknown one is a constant."""
        known = self._items.get(id(array))
        return known[1] if known is not None else Item(array.shape, array=array)

    def keep(self, array: Array, item: Item) -> None:
        """Remember that ``item`` is what the graph has for ``array``."""
        self._items[id(array)] = (array, item)

    def node(
        self, op: str, inputs: list[str], shape: Shape, layout: Layout = PLAIN, **attributes: Any
    ) -> Item:
        """Add a node with one output and return that."""
        self._count += 1
        name = f"{op.lower()}_{self._count}"
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return Item(shape, name, layout)

    def constant(self, array: Any, like: Array | None = None) -> str:
        """Add an array and return its name.

        What is ``like`` a parameter or buffer of the module becomes a weight of the file under that
        name, all else a Constant node, so that an import knows what to train.
        """
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        base = self._weight_names.get(id(like)) if like is not None else None
        if base is None:
            tensor = numpy_helper.from_array(array)
            return self.node("Constant", [], array.shape, value=tensor).name
        name, number = base, 1
        while name in self._initializers and not _same(self._initializers[name], array):
            number += 1
            name = f"{base}_{number}"
        self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def integers(self, values: Any) -> str:
        """Add a constant list of integers and return its name."""
        return self.constant(np.asarray(values, np.int64))

    def weight(self, item: Item, layout: Layout = PLAIN) -> str:
        """Add a weight that lies in ``layout`` here in ONNX's order, and return its name.

        Raises:
            ValueError: If it is not constant: it was computed from the input.
        """
        if item.array is None:
            raise ValueError("export: a weight is computed from the input; ONNX needs constants")
        return self.constant(layout.restore(item.array), item.array)

    def plain(self, item: Item) -> Item:
        """Return a value with the same order of axes as here."""
        return self._in_layout(item, PLAIN)

    def first(self, item: Item) -> Item:
        """Return an image with its channels first."""
        return self._in_layout(item, LAST)

    def _in_layout(self, item: Item, layout: Layout) -> Item:
        if item.array is not None:
            return Item(item.shape, self.weight(item, layout), layout)
        if item.layout == layout:
            return item
        key = (item.name, layout)
        if key not in self._converted:
            axes = LAST.axes(item.ndim)
            perm = axes if layout == PLAIN else tuple(axes.index(i) for i in range(item.ndim))
            self._converted[key] = self.node(
                "Transpose", [item.name], item.shape, layout, perm=list(perm)
            )
        return self._converted[key]

    def finish(self, name: str, dynamic: bool) -> bytes:
        """Return the file."""
        inputs = [self._info(port, dynamic, "") for port in self._inputs]
        outputs = [self._info(port, dynamic, "output_") for port in self._outputs]
        graph = helper.make_graph(
            self._nodes, name, inputs, outputs, list(self._initializers.values())
        )
        model = helper.make_model(
            graph,
            producer_name="voxelgrad",
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=_FILE_VERSION[self.opset],
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _info(self, port: tuple[str, Item, Any], dynamic: bool, prefix: str) -> Any:
        """Return the description of an input or output, variable axes by name."""
        name, item, dtype = port
        spatial = {3: ("length",), 4: ("height", "width"), 5: ("depth", "height", "width")}
        lengths: list[Any] = list(item.shape)
        if dynamic and not self.batch_is_fixed:
            lengths[0] = "batch"
        if dynamic and not self.size_is_fixed and item.layout == LAST and item.ndim in spatial:
            lengths[1:-1] = [f"{prefix}{axis}" for axis in spatial[item.ndim]]
        axes = item.layout.axes(item.ndim)
        lengths = [lengths[axes.index(i)] for i in range(item.ndim)]
        kind = TensorProto.DOUBLE if np.dtype(dtype) == np.float64 else TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, lengths)


def _same(tensor: Any, array: Array) -> bool:
    stored = numpy_helper.to_array(tensor)
    return stored.dtype == array.dtype and np.array_equal(stored, array)
