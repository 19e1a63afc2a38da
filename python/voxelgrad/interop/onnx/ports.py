"""Which inputs of a graph are images, to be taken with the channels last."""

from __future__ import annotations

from dataclasses import replace

from voxelgrad.interop.onnx.graph import Node
from voxelgrad.interop.onnx.layout import LAST
from voxelgrad.interop.port import Port

_ON_IMAGES = {
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNormalization",
    "InstanceNormalization",
    "MaxPool",
    "Resize",
    "SpaceToDepth",
    "Upsample",
}
# What passes an image on as it is, so that the operators after it decide.
_PASSING = {
    "Abs",
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Div",
    "Dropout",
    "Elu",
    "Gelu",
    "Identity",
    "LeakyRelu",
    "Max",
    "Min",
    "Mish",
    "Mul",
    "PRelu",
    "Pad",
    "Pow",
    "Relu",
    "Sigmoid",
    "Slice",
    "Softplus",
    "Split",
    "Sqrt",
    "Sub",
    "Tanh",
}


def find_images(inputs: list[Port], nodes: list[Node]) -> list[Port]:
    """Return the inputs; those of 3 to 5 axes that reach an operator on images are marked."""
    users: dict[str, list[Node]] = {}
    for node in nodes:
        for index, name in enumerate(node.inputs):
            if name and (index == 0 or node.op in _PASSING):
                users.setdefault(name, []).append(node)
    return [
        replace(port, channels_last=True)
        if port.shape is not None
        and 3 <= len(port.shape) <= 5
        and port.dtype.startswith(("float", "bfloat"))
        and _reaches_an_image_operator(port.name, users)
        else port
        for port in inputs
    ]


def _makes_channels_last(node: Node) -> bool:
    """Return whether the node turns (N, C, *spatial) into (N, *spatial, C)."""
    perm = tuple(node.attributes.get("perm", ()))
    return node.op == "Transpose" and len(perm) > 2 and perm == LAST.axes(len(perm))


def _reaches_an_image_operator(name: str, users: dict[str, list[Node]]) -> bool:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for node in users.get(current, []):
            if node.op in _ON_IMAGES or _makes_channels_last(node):
                return True
            if node.op in _PASSING:
                waiting.extend(output for output in node.outputs if output)
    return False
