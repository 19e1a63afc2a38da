"""A module that runs an ONNX graph on voxelgrad's ops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import is_floating
from voxelgrad.files import MALFORMED, one_line
from voxelgrad.interop.naming import attribute_name
from voxelgrad.interop.onnx.call import Call
from voxelgrad.interop.onnx.graph import Graph, Node, Stored
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Value
from voxelgrad.interop.onnx.operators import OPERATORS
from voxelgrad.interop.port import Port
from voxelgrad.models.model import Model, register
from voxelgrad.nn.init import filled
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


class _Weights(Module):
    """Weights as parameters and constants as buffers, under names that Python allows."""


@register
class OnnxModel(Model):
    """An imported network. Images go in and come out with the channels last.

    Weights are trainable parameters. In training mode (``train()``) batch norms use the batch's
    statistics and move the running ones, and dropout drops, as in the network before its export.
    ``voxelgrad.save`` and ``voxelgrad.load`` work; neither needs the onnx package.

    Args:
        graph: What ``Graph.as_json`` gave.
        source: Name of the file, for errors.

    Attributes:
        inputs: The inputs with their shapes.
        outputs: The outputs with their shapes.
    """

    def __init__(self, graph: dict[str, Any], source: str = "ONNX graph") -> None:
        super().__init__(graph=graph, source=source)
        self._graph = Graph.from_json(graph)
        self._graph.check(OPERATORS)
        self._source = source
        self._last_uses = _last_uses(self._graph)
        self.weights = _Weights()
        self._names: dict[str, str] = {}
        for name, stored in self._graph.stored.items():
            self._names[name] = attribute_name(name, self.weights)
            _add(self.weights, self._names[name], stored)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The inputs with their shapes."""
        return tuple(self._graph.inputs)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs with their shapes, in ONNX's order of axes."""
        return tuple(self._graph.outputs)

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Set all stored arrays, given under the names of the ONNX file."""
        self.load_state_dict(
            {f"weights.{self._names[name]}": array for name, array in arrays.items()}
        )

    def forward(self, *inputs: Any) -> Any:
        """Run the graph.

        Args:
            inputs: Tensors or arrays in the order of ``inputs``; images ``(N, *spatial, C)``.

        Returns:
            The output, or a tuple if there are several: tensors, images with the channels last;
            numpy arrays where integers come out.

        Raises:
            ValueError: If the inputs do not fit; the message names node, operator and rule.
        """
        if len(inputs) != len(self._graph.inputs):
            names = ", ".join(str(port) for port in self._graph.inputs)
            raise ValueError(f"{self._source}: {len(inputs)} inputs were given; it takes {names}")
        values = [
            Value(_data(item), LAST if port.channels_last else PLAIN)
            for item, port in zip(inputs, self._graph.inputs, strict=True)
        ]
        results = tuple(value.data for value in self.run(values))
        return results[0] if len(results) == 1 else results

    def run(self, inputs: list[Value]) -> list[Value]:
        """Run the graph on values of any layout and return its outputs as values."""
        values: dict[str, Value] = {
            port.name: value for port, value in zip(self._graph.inputs, inputs, strict=True)
        }
        for name, stored in self._graph.stored.items():
            data = getattr(self.weights, self._names[name])
            is_plain_number = isinstance(data, np.ndarray) and data.dtype.kind == "f"
            values[name] = Value(Tensor(data) if is_plain_number else data, stored.layout)
        for node, finished in zip(self._graph.nodes, self._last_uses, strict=True):
            self._run_node(node, values)
            for name in finished:
                del values[name]
        return [values[port.name] for port in self._graph.outputs]

    def _run_node(self, node: Node, values: dict[str, Value]) -> None:
        inputs = [values[name] if name else None for name in node.inputs]
        call = Call(node, inputs, self._graph.opset, self.training)
        try:
            results = OPERATORS[node.op](call)
        except MALFORMED as error:
            raise ValueError(f"{self._source}: {node}: {one_line(error)}") from error
        listed = results if isinstance(results, tuple) else (results,)
        for index, name in enumerate(node.outputs):
            result = listed[index] if index < len(listed) else None
            if name and result is None:
                raise ValueError(f"{self._source}: {node}: output {index} is not computed")
            if name and result is not None:
                values[name] = result

    def extra_repr(self) -> str:
        """Return inputs and outputs."""
        ports = [str(port) for port in self._graph.inputs]
        return f"{self._source}, {len(self._graph.nodes)} nodes, {', '.join(ports)}"


def _add(weights: Module, name: str, stored: Stored) -> None:
    array = filled(tuple(stored.shape), 0, stored.dtype)
    if stored.trainable:
        setattr(weights, name, Parameter(array))
    else:
        weights.register_buffer(name, array)


def _data(item: Any) -> Tensor | NDArray[Any]:
    """Return an input as a tensor if it holds floats, else as a numpy array."""
    if isinstance(item, Tensor):
        return item if is_floating(item.dtype) else item.numpy()
    array = np.asarray(item)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    return Tensor(array) if is_floating(array.dtype) else array


def _last_uses(graph: Graph) -> list[list[str]]:
    """Return for each node the values that nobody needs after it."""
    kept = {port.name for port in graph.outputs}
    finished: list[list[str]] = []
    for node in reversed(graph.nodes):
        names = {name for name in (*node.inputs, *node.outputs) if name} - kept
        finished.append(sorted(names))
        kept |= names
    return finished[::-1]
