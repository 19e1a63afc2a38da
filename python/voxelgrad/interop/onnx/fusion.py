"""Norms that take the ReLU after them into their own pass over memory, as ours do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from voxelgrad.interop.onnx.graph import Node

_NORMS = {
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
}
_ACTIVATIONS = {"Relu": "relu", "LeakyRelu": "leaky_relu"}

ACTIVATION, SLOPE = "fused_activation", "fused_slope"
"""Attributes of a norm that has taken an activation in; ONNX has no such names."""


def fuse_activations(nodes: list[Node], graph_outputs: set[str]) -> list[Node]:
    """Return the nodes with every norm and the (leaky) ReLU that alone uses it made one."""
    uses = Counter(name for node in nodes for name in node.inputs)
    kept: list[Node] = []
    place_of: dict[str, int] = {}
    for node in nodes:
        place = place_of.get(node.inputs[0]) if node.op in _ACTIVATIONS else None
        if place is not None:
            kept[place] = _with_activation(kept[place], node)
            continue
        if _can_fuse(node, uses, graph_outputs):
            place_of[node.outputs[0]] = len(kept)
        kept.append(node)
    return kept


def _can_fuse(node: Node, uses: Counter[str], graph_outputs: set[str]) -> bool:
    """Return whether the only result of a norm goes to one node and nowhere else."""
    if node.op not in _NORMS or node.attributes.get("training_mode", 0):
        return False
    first, *others = node.outputs
    return uses[first] == 1 and first not in graph_outputs and not any(others)


def _with_activation(norm: Node, activation: Node) -> Node:
    attributes = {**norm.attributes, ACTIVATION: _ACTIVATIONS[activation.op]}
    if activation.op == "LeakyRelu":
        attributes[SLOPE] = activation.attributes.get("alpha", 0.01)
    return replace(norm, outputs=activation.outputs, attributes=attributes)
