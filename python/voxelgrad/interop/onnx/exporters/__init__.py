"""From ops that have run to ONNX nodes; one table a family, by the class of the op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voxelgrad.autograd import Function
from voxelgrad.interop.onnx.exporters import conv, elementwise, linear, norm, pool, resize, shape
from voxelgrad.interop.onnx.exporters.writer import Item, Writer

Exporter = Callable[[Writer, Any, "list[Item | None]"], "Item"]

EXPORTERS: dict[type[Function], Exporter] = {
    kind: exporter
    for family in (conv, elementwise, linear, norm, pool, resize, shape)
    for kind, exporter in family.EXPORTERS.items()
}
"""Class of the op -> the function that writes its nodes."""


def write_graph(
    name: str,
    inputs: list[Any],
    steps: list[Any],
    outputs: list[Any],
    names: dict[int, str],
    opset: int,
    dynamic: bool,
) -> bytes:
    """Return an ONNX file.

    Args:
        name: Name of the graph.
        inputs: The input arrays.
        steps: ``(function, input arrays, output array)`` of every op in the order of their run.
        outputs: The output arrays.
        names: Names of parameters and buffers by the identity of their arrays.
        opset: Version of the operator set.
        dynamic: Whether batch and image size may vary.

    Raises:
        ValueError: If an op has no ONNX form.
    """
    writer = Writer(opset, names)
    for index, array in enumerate(inputs):
        writer.add_input("input" if len(inputs) == 1 else f"input_{index}", array)
    for function, arrays, output in steps:
        exporter = EXPORTERS.get(type(function))
        if exporter is None:
            raise ValueError(f"export: the op {function.op} has no ONNX form; leave it out")
        items = [None if array is None else writer.item(array) for array in arrays]
        writer.keep(output, exporter(writer, function, items))
    for index, array in enumerate(outputs):
        writer.add_output("output" if len(outputs) == 1 else f"output_{index}", array)
    return writer.finish(name, dynamic)
