"""An ONNX graph as plain data that JSON can hold: nodes, inputs, outputs, and what is stored."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict, dataclass, field
from typing import Any

from voxelgrad.interop.onnx.layout import Layout
from voxelgrad.interop.port import Port


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes:
        op: Operator, such as "Conv".
        name: The node's name, or one made from its first output.
        inputs: Names of values; "" for an optional input that is missing.
        outputs: Names of values; "" for an output that nobody wants.
        attributes: Settings; numbers, strings and lists of them.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return what errors call it."""
        return f"node {self.name!r} ({self.op})"


@dataclass(frozen=True)
class Stored:
    """An array that belongs to the graph.

    Attributes:
        shape: Its extents as they lie here.
        dtype: numpy's name of the dtype.
        layout: How it lies, against ONNX.
        trainable: Whether it is a parameter; else it is a constant or a running statistic.
    """

    shape: list[int]
    dtype: str
    layout: Layout
    trainable: bool


@dataclass(frozen=True)
class Graph:
    """Operators in an order in which they can run.

    Attributes:
        opset: Version of the operator set.
        nodes: The operators.
        inputs: What is given, without the stored arrays.
        outputs: What is returned.
        stored: Weights and constants by name.
    """

    opset: int
    nodes: list[Node]
    inputs: list[Port]
    outputs: list[Port]
    stored: dict[str, Stored]

    def as_json(self) -> dict[str, Any]:
        """Return dictionaries and lists that ``from_json`` takes."""
        return asdict(self)

    def check(self, operators: Container[str]) -> None:
        """Raise unless every value comes from somewhere, in the order of the nodes.

        Args:
            operators: The operators that are understood.

        Raises:
            ValueError: If one does not, an operator is not understood, or a part is of another
                type than it must be.
        """
        known = {port.name for port in self.inputs} | set(self.stored) | {""}
        for node in self.nodes:
            if node.op not in operators:
                raise ValueError(f"{node} is not understood")
            if not isinstance(node.attributes, dict):
                raise ValueError(f"{node} has no attributes; the description is damaged")
            _check_known(node.inputs, known, str(node))
            known.update(node.outputs)
        _check_known([port.name for port in self.outputs], known - {""}, "an output")
        for port in self.inputs:
            if port.shape is not None and len(port.shape) < (3 if port.channels_last else 0):
                raise ValueError(f"input {port.name!r} has shape {port.shape}; it is no image")

    @staticmethod
    def from_json(data: dict[str, Any]) -> Graph:
        """Return the graph that ``as_json`` described.

        Raises:
            KeyError, TypeError: If it did not.
        """
        stored = {
            name: Stored(**{**entry, "layout": Layout(**entry["layout"])})
            for name, entry in data["stored"].items()
        }
        return Graph(
            int(data["opset"]),
            [Node(**node) for node in data["nodes"]],
            [Port(**port) for port in data["inputs"]],
            [Port(**port) for port in data["outputs"]],
            stored,
        )


def _check_known(names: list[str], known: set[str], owner: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{owner} needs {name!r}, which nothing gives")
