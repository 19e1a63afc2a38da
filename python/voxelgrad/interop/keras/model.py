"""A module that runs a network which Keras described, on voxelgrad's ops."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import is_floating
from voxelgrad.interop.keras.graph import Graph, Step
from voxelgrad.interop.keras.layers import LAYERS, Layer, Settings
from voxelgrad.interop.keras.layers.norm import BatchNormalization
from voxelgrad.interop.keras.layout import Shape, to_ours
from voxelgrad.interop.keras.roles import OURS
from voxelgrad.interop.naming import attribute_name
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
            self._names[name] = attribute_name(name, self.layers)
            layer = self._built(name, kind, settings, shapes.get(name, {}))
            setattr(self.layers, self._names[name], layer)
        self._followers = self._activations_of_norms()
        self._taken = set(self._followers.values())

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
            if number not in self._taken:
                after = self._followers.get(number, number)
                follower = self._step(after).layer if after != number else None
                given = [values[value] for value in step.inputs]
                values[after] = self._run(step.layer, follower, given, step.training)
            for value in self._last_uses[number - len(inputs)]:
                values.pop(value, None)
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

    def _step(self, number: int) -> Step:
        """Return the step that computes a value."""
        return self._graph.steps[number - len(self._graph.inputs)]

    def _activations_of_norms(self) -> dict[int, int]:
        """Return norm -> the activation that alone uses it: both run in one pass over memory."""
        first = len(self._graph.inputs)
        uses = Counter(self._graph.outputs)
        uses.update(value for step in self._graph.steps for value in step.inputs)
        return {
            step.inputs[0]: number
            for number, step in enumerate(self._graph.steps, first)
            if self.layer(step.layer).fusion()
            and step.inputs[0] >= first
            and uses[step.inputs[0]] == 1
            and isinstance(self.layer(self._step(step.inputs[0]).layer), BatchNormalization)
        }

    def _run(
        self, name: str, follower: str | None, inputs: list[Tensor], training: bool | None
    ) -> Tensor:
        """Apply a layer, and the activation after it if it is a norm that has one."""
        layer = self.layer(name)
        after = self.layer(follower) if follower is not None else None
        hooked = after is not None and (layer._forward_hooks or after._forward_hooks)
        fused = after.fusion() if after is not None and not hooked else ()
        before = layer.training
        layer.training = before if training is None else training
        try:
            output = layer(*inputs, *fused)
            return output if fused or after is None else after(output)
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


def _last_uses(graph: Graph) -> list[list[int]]:
    """Return for each step the values that nobody needs after it."""
    kept = set(graph.outputs)
    finished: list[list[int]] = []
    for number, step in reversed(list(enumerate(graph.steps, len(graph.inputs)))):
        done = {*step.inputs, number} - kept
        finished.append(sorted(done))
        kept |= done
    return finished[::-1]
