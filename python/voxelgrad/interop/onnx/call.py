"""What an operator sees when it runs: its inputs, its attributes, and how to complain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.interop.onnx.graph import Node
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Layout, Value
from voxelgrad.interop.spatial import check_growth
from voxelgrad.tensor import Tensor

Handler = Callable[["Call"], "Value | tuple[Value | None, ...]"]


class Call:
    """One run of one node.

    Args:
        node: The node.
        inputs: Its inputs; None where an optional one is missing.
        opset: Version of the operator set.
        training: Whether the model is in training mode.
    """

    def __init__(
        self, node: Node, inputs: list[Value | None], opset: int, training: bool = False
    ) -> None:
        self.node = node
        self.inputs = inputs
        self.opset = opset
        self.training = training

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or ``default`` if the node does not have it."""
        return self.node.attributes.get(name, default)

    def has(self, index: int) -> bool:
        """Return whether input ``index`` is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def wants(self, index: int) -> bool:
        """Return whether anybody uses output ``index``."""
        return index < len(self.node.outputs) and self.node.outputs[index] != ""

    def value(self, index: int) -> Value:
        """Return input ``index``.

        Raises:
            ValueError: If it is missing.
        """
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    def tensor(self, index: int, layout: Layout = PLAIN) -> Tensor:
        """Return input ``index`` as a tensor in ``layout``."""
        return self.value(index).tensor(layout)

    def optional(self, index: int, layout: Layout = PLAIN) -> Tensor | None:
        """Return input ``index`` as a tensor, None if it is missing."""
        return self.tensor(index, layout) if self.has(index) else None

    def image(self, index: int = 0) -> Tensor:
        """Return input ``index`` with the channels last.

        Raises:
            ValueError: If it is no image: less than three axes.
        """
        value = self.value(index)
        if value.ndim < 3:
            raise ValueError(
                f"input {index} has shape {value.shape}; it must be (N, C, *spatial) with at least "
                f"one spatial axis"
            )
        return value.tensor(LAST)

    def array(self, index: int) -> NDArray[Any] | None:
        """Return input ``index`` as a numpy array in ONNX's order, None if it is missing."""
        return self.value(index).array() if self.has(index) else None

    def ints(self, index: int, name: str = "") -> list[int] | None:
        """Return input ``index``, or else attribute ``name``, as integers; None without both.

        Operators got some settings as attributes in older sets and as inputs in newer ones.
        """
        array = self.array(index)
        listed = self.attribute(name) if array is None else np.atleast_1d(array).tolist()
        return None if listed is None else [int(item) for item in np.atleast_1d(listed)]

    def number(self, index: int, name: str, default: float) -> float:
        """Return input ``index``, or else attribute ``name``, as a number."""
        array = self.array(index)
        if array is None:
            return float(self.attribute(name, default))
        if array.size != 1:
            raise ValueError(f"input {index} has shape {array.shape}; it must be one number")
        return float(array.item())

    def axis(self, value: int, ndim: int) -> int:
        """Return an axis counted from the front.

        Raises:
            ValueError: If there is no such axis.
        """
        if not -ndim <= value < ndim:
            raise ValueError(f"axis is {value}, but there are {ndim} axes")
        return value % ndim

    def check_growth(self, shape: Sequence[int]) -> None:
        """Raise unless a result of ``shape`` stands in some proportion to the inputs.

        A few damaged bytes of a size or a stride must not take all memory.

        Raises:
            ValueError: If it is more than 4096 times as large (where the inputs are not tiny).
        """
        check_growth(sum(value.data.size for value in self.inputs if value is not None), shape)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
    return value
