"""A module that runs a network which Keras described, on voxelgrad's ops."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import is_floating
from voxelgrad.interop.keras.graph import Graph
from voxelgrad.interop.keras.layers import LAYERS, Layer, Settings
from voxelgrad.interop.keras.layout import Shape, to_ours
from voxelgrad.interop.keras.roles import OURS
from voxelgrad.interop.port import Port
from voxelgrad.models.model import Model, register
from voxelgrad.nn.module import Module
from voxelgrad.tensor import Tensor


class _Layers(Module):
    """The layers, under names that Python allows."""


@register
class KerasModel(Model):
    """An imported network. Images go in and come out with the channels last.

    All weights are trainable parameters. In training mode (``train()``) batch norms use the batch's
    statistics and move the running ones, and dropout drops. ``voxelgrad.save`` and
    ``voxelgrad.load`` work.

    Args:
        graph: What ``Graph.as_json`` gave.
        shapes: Layer -> what an array is -> its shape in Keras's layout.
        source: Name of the file, for errors.

    Attributes:
        inputs: The inputs with their shapes.
        outputs: The outputs.

    Raises:
        ValueError: If a layer's settings or shapes are not understood; the message names it.
    """

    def __init__(
        self,
        graph: dict[str, Any],
        shapes: dict[str, dict[str, Any]],
        source: str = "Keras network",
    ) -> None:
        super().__init__(graph=graph, shapes=shapes, source=source)
        self._graph = Graph.from_json(graph)
        self._source = source
        self._last_uses = _last_uses(self._graph)
        self.layers = _Layers()
        self._names: dict[str, str] = {}
        for name, (kind, settings) in self._graph.layers.items():
            self._names[name] = _attribute_name(name, self.layers)
            layer = self._built(name, kind, settings, shapes.get(name, {}))
            setattr(self.layers, self._names[name], layer)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The inputs with their shapes."""
        return tuple(self._graph.inputs)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs, by the layers that give them."""
        return tuple(Port(name, "float32", None) for name in self._graph.output_names)

    def layer(self, name: str) -> Layer:
        """Return the layer that has this name in Keras.

        Raises:
            KeyError: If there is none.
        """
        found: Layer = getattr(self.layers, self._names[name])
        return found

    def set_arrays(self, name: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Set the arrays of a layer, given by what they are in Keras's layout.

        Raises:
            ValueError: If their values do not fit into a parameter.
        """
        layer = self.layer(name)
        for role, array in arrays.items():
            attribute = OURS.get(role, role)
            place = getattr(layer, attribute)
            target = place.data if isinstance(place, Tensor) else place
            np.copyto(target, to_ours(layer.layouts[attribute][0], array), casting="same_kind")

    def forward(self, *inputs: Any) -> Any:
        """Run the network.

        Args:
            inputs: Tensors or arrays in the order of ``inputs``; images ``(N, *spatial, C)``.

        Returns:
            The output, or a tuple if there are several.

        Raises:
            ValueError: If the inputs do not fit; the message names the layer and the rule.
        """
        if len(inputs) != len(self._graph.inputs):
            names = ", ".join(str(port) for port in self._graph.inputs)
            raise ValueError(f"{self._source}: {len(inputs)} inputs were given; it takes {names}")
        values = {number: _tensor(item) for number, item in enumerate(inputs)}
        for number, step in enumerate(self._graph.steps, len(inputs)):
            given = [values[value] for value in step.inputs]
            values[number] = self._run(step.layer, given, step.training)
            for value in self._last_uses[number - len(inputs)]:
                del values[value]
        results = tuple(values[value] for value in self._graph.outputs)
        return results[0] if len(results) == 1 else results

    def extra_repr(self) -> str:
        """Return the inputs."""
        return f"{self._source}, {', '.join(str(port) for port in self._graph.inputs)}"

    def _built(
        self, name: str, kind: str, settings: dict[str, Any], shapes: dict[str, Any]
    ) -> Layer:
        known: dict[str, Shape] = {role: tuple(shape) for role, shape in shapes.items()}
        try:
            return LAYERS[kind](Settings(settings), known)
        except ValueError as error:
            raise ValueError(f"layer {name!r} ({kind}): {error}") from error

    def _run(self, name: str, inputs: list[Tensor], training: bool | None) -> Tensor:
        layer = self.layer(name)
        before = layer.training
        layer.training = before if training is None else training
        try:
            return layer(*inputs)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            kind = type(layer).__name__
            raise ValueError(f"{self._source}: layer {name!r} ({kind}): {error}") from error
        finally:
            layer.training = before


def _tensor(item: Any) -> Tensor:
    """Return an input as a tensor of floats."""
    if isinstance(item, Tensor):
        return item
    array = np.asarray(item)
    fits = is_floating(array.dtype) and array.dtype != np.float16
    return Tensor(array if fits else array.astype(np.float32))


def _attribute_name(name: str, holder: Module) -> str:
    """Return a name for a layer that is a free attribute of ``holder``."""
    base = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    base = f"_{base}" if base[0].isdigit() else base
    candidate, count = base, 1
    while hasattr(holder, candidate):
        count += 1
        candidate = f"{base}_{count}"
    return candidate


def _last_uses(graph: Graph) -> list[list[int]]:
    """Return for each step the values that nobody needs after it."""
    kept = set(graph.outputs)
    finished: list[list[int]] = []
    for number, step in reversed(list(enumerate(graph.steps, len(graph.inputs)))):
        done = {*step.inputs, number} - kept
        finished.append(sorted(done))
        kept |= done
    return finished[::-1]
