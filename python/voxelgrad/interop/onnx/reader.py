"""Reading an ONNX file into a graph and arrays, without trusting it."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import external_data_helper, numpy_helper

from voxelgrad.files import one_line
from voxelgrad.interop.onnx.fusion import fuse_activations
from voxelgrad.interop.onnx.graph import Graph, Node
from voxelgrad.interop.onnx.operators import OPERATORS
from voxelgrad.interop.onnx.ports import find_images
from voxelgrad.interop.onnx.weights import describe
from voxelgrad.interop.port import Port

OLDEST, NEWEST = 6, 26
"""Versions of the operator set that are understood."""

Arrays = dict[str, NDArray[Any]]


class Refused(ValueError):
    """What is wrong with a file; ``read_file`` adds the file's name."""


def read_file(path: str | os.PathLike[str]) -> tuple[Graph, Arrays]:
    """Read an ONNX file.

    Args:
        path: The file. Weights that it keeps in other files must lie in its folder.

    Returns:
        The graph, and its arrays by name in the layouts that the graph says.

    Raises:
        ValueError: If the file is missing, damaged, no ONNX, or uses what is not understood.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"cannot import {path}: {error.strerror or error}; check the path"
        ) from error
    try:
        return read_model(_parse(content, Path(path)))
    except Refused as error:
        raise ValueError(f"cannot import {path}: {error}") from error


def _parse(content: bytes, path: Path) -> Any:
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        raise Refused(
            f"it is no ONNX file, or it is truncated or damaged ({one_line(error)})"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise Refused("it is no ONNX file, or it is damaged: it holds no graph")
    try:
        onnx.checker.check_model(str(path))
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise Refused(f"it breaks a rule of ONNX: {one_line(error)}") from error
    return model


def read_model(model: Any) -> tuple[Graph, Arrays]:
    """Turn an ``onnx.ModelProto`` into a graph and arrays.

    Raises:
        Refused: If it uses what is not understood.
    """
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    opset = _opset(model)
    arrays = _initializers(model.graph)
    nodes = [node for node in model.graph.node if not _is_copy_of_weight(node, arrays)]
    weights = set(arrays)
    nodes = [node for node in nodes if not _is_constant(node, arrays)]
    _refuse_unknown(nodes)
    outputs = {port.name for port in model.graph.output}
    graph_nodes = fuse_activations(_nodes(nodes, outputs), outputs)
    inputs = [_port(port) for port in model.graph.input if port.name not in arrays]
    stored = describe(arrays, graph_nodes, fixed=set(arrays) - weights)
    used = {name for node in graph_nodes for name in node.inputs}
    used |= outputs
    stored = {name: entry for name, entry in stored.items() if name in used}
    graph = Graph(
        opset,
        graph_nodes,
        find_images(inputs, graph_nodes),
        [_port(port) for port in model.graph.output],
        stored,
    )
    return graph, {name: entry.layout.store(arrays[name]) for name, entry in stored.items()}


def _opset(model: Any) -> int:
    versions = {entry.domain: int(entry.version) for entry in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 0))
    if not OLDEST <= version <= NEWEST:
        raise Refused(
            f"it uses operator set {version}; {OLDEST} to {NEWEST} are understood: export it again "
            f"with opset_version=17"
        )
    return version


def _initializers(graph: Any) -> Arrays:
    if graph.sparse_initializer:
        raise Refused("it holds sparse weights, which are not understood; store them dense")
    return {tensor.name: _array(tensor, f"weight {tensor.name!r}") for tensor in graph.initializer}


def _array(tensor: Any, owner: str) -> NDArray[Any]:
    """Return a stored tensor; half precision becomes float32."""
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise Refused(f"{owner} cannot be read ({one_line(error)})") from error
    if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)) or array.dtype.kind in "iub":
        return np.ascontiguousarray(array).reshape(array.shape)
    try:
        return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise Refused(f"{owner} has dtype {array.dtype}, which voxelgrad does not have") from error


def _is_copy_of_weight(node: Any, arrays: Arrays) -> bool:
    """Take in a weight that an exporter has replaced by an Identity of another of equal values."""
    if node.op_type != "Identity" or node.input[0] not in arrays:
        return False
    arrays[node.output[0]] = arrays[node.input[0]]
    return True


def _is_constant(node: Any, arrays: Arrays) -> bool:
    """Take the value of a Constant node into ``arrays``; return whether the node was one."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return False
    entries = {entry.name: entry for entry in node.attribute}
    owner = f"node {node.name or node.output[0]!r} (Constant)"
    if "value" in entries:
        arrays[node.output[0]] = _array(entries["value"].t, owner)
        return True
    for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        for plural in ("", "s"):
            if name + plural in entries:
                value = onnx.helper.get_attribute_value(entries[name + plural])
                arrays[node.output[0]] = np.asarray(value, dtype)
                return True
    raise Refused(f"{owner}: {', '.join(entries)} is not understood; numbers are")


def _refuse_unknown(nodes: list[Any]) -> None:
    unknown = sorted(
        {
            f"{node.domain + '.' if node.domain else ''}{node.op_type}"
            for node in nodes
            if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx")
        }
    )
    if unknown:
        first = next(n for n in nodes if n.op_type in unknown or n.domain not in ("", "ai.onnx"))
        raise Refused(
            f"it uses operators that are not understood: {', '.join(unknown)} (first at node "
            f"{first.name or first.output[0]!r})"
        )


def _nodes(nodes: list[Any], graph_outputs: set[str]) -> list[Node]:
    used = graph_outputs | {name for node in nodes for name in node.input}
    return [
        Node(
            op=node.op_type,
            name=node.name or (node.output[0] if node.output else ""),
            inputs=list(node.input),
            outputs=[name if name in used else "" for name in node.output],
            attributes={entry.name: _attribute(node, entry) for entry in node.attribute},
        )
        for node in nodes
    ]


def _attribute(node: Any, entry: Any) -> Any:
    """Return an attribute as JSON holds it; a small tensor as its dtype and numbers."""
    value = onnx.helper.get_attribute_value(entry)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (int, float)):
        # JSON has no infinities, but float() understands their names.
        return value if math.isfinite(value) else str(value)
    owner = f"node {node.name or node.output[0]!r} ({node.op_type}): attribute {entry.name}"
    if entry.type == onnx.AttributeProto.TENSOR:
        array = _array(value, owner)
        if array.size != 1:
            raise Refused(f"{owner} has {array.size} elements; one is understood")
        return {"dtype": array.dtype.name, "values": [array.item()]}
    listed = (
        list(value)
        if entry.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS)
        else None
    )
    if listed is None:
        raise Refused(f"{owner} is not understood; numbers and lists of them are")
    return listed


def _port(port: Any) -> Port:
    tensor = port.type.tensor_type
    if not port.type.HasField("tensor_type"):
        raise Refused(f"{port.name!r} is a sequence or map; tensors are understood")
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"{port.name!r} has a dtype that is not understood") from error
    if not tensor.HasField("shape"):
        return Port(port.name, dtype, None)
    shape: list[int | str | None] = [
        int(n.dim_value) if n.HasField("dim_value") else (n.dim_param or None)
        for n in tensor.shape.dim
    ]
    return Port(port.name, dtype, shape)
