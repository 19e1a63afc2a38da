"""Which stored arrays become parameters, and in which layout they are kept."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from voxelgrad.interop.onnx.graph import Node, Stored
from voxelgrad.interop.onnx.layout import LAST, PLAIN, SWAPPED, Layout

_SCALED = {1: PLAIN, 2: PLAIN}
_OPERANDS = {0: PLAIN, 1: PLAIN}

# Operator -> input -> layout. A float array at such an input is trained.
_TRAINED: dict[str, dict[int, Layout]] = {
    "Add": _OPERANDS,
    "BatchNormalization": _SCALED,
    "Conv": {1: LAST, 2: PLAIN},
    "Div": _OPERANDS,
    "Gemm": {1: PLAIN, 2: PLAIN},
    "GroupNormalization": _SCALED,
    "InstanceNormalization": _SCALED,
    "LayerNormalization": _SCALED,
    "MatMul": {0: PLAIN, 1: SWAPPED},
    "Mul": _OPERANDS,
    "PRelu": {1: PLAIN},
    "Sub": _OPERANDS,
}


def describe(
    arrays: dict[str, NDArray[Any]], nodes: list[Node], fixed: set[str]
) -> dict[str, Stored]:
    """Return how each array is kept.

    Float arrays of one axis or more at a weight's place are parameters, in the layout that the
    first operator to use them wants. All else is constant: single numbers, sizes, the running
    statistics of batch norms, and what is in ``fixed`` (the file's own Constant nodes).
    """
    layouts: dict[str, Layout] = {}
    constants = set(fixed)
    for node in nodes:
        wanted = _wanted(node)
        for index, name in enumerate(node.inputs):
            if name not in arrays:
                continue
            if index in wanted:
                layouts.setdefault(name, wanted[index])
            else:
                constants.add(name)
    stored = {}
    for name, array in arrays.items():
        trained = name in layouts and array.dtype.kind == "f" and array.ndim > 0
        trained = trained and name not in constants
        layout = _fitting(layouts[name], array.shape) if trained else PLAIN
        shape = layout.store(array).shape
        stored[name] = Stored(list(shape), array.dtype.name, layout, trained)
    return stored


def _wanted(node: Node) -> dict[int, Layout]:
    if node.op == "ConvTranspose":
        return {1: Layout("transposed", int(node.attributes.get("group", 1))), 2: PLAIN}
    if node.op == "Gemm" and not node.attributes.get("transB", 0):
        return {1: SWAPPED, 2: PLAIN}
    return _TRAINED.get(node.op, {})


def _fitting(layout: Layout, shape: tuple[int, ...]) -> Layout:
    """Return ``layout`` if an array of this shape can lie so, else plain (its operator objects)."""
    if layout.kind == "swapped":
        return layout if len(shape) == 2 else PLAIN
    if layout.kind == "transposed":
        fits = len(shape) > 2 and layout.groups > 0 and shape[0] % layout.groups == 0
        return layout if fits else PLAIN
    return layout if len(shape) > 2 else PLAIN
