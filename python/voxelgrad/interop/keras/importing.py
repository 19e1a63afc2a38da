"""``voxelgrad.interop.keras.load``: from a file of Keras to a module."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from voxelgrad.files import MALFORMED, one_line
from voxelgrad.interop.keras.description import described_layers
from voxelgrad.interop.keras.graph import Graph, parse
from voxelgrad.interop.keras.loading import with_roles
from voxelgrad.interop.keras.model import KerasModel
from voxelgrad.interop.keras.reading import Content, StoredLayer, read
from voxelgrad.interop.keras.roles import snake

Arrays = dict[str, dict[str, NDArray[Any]]]


def load(path: str | os.PathLike[str]) -> KerasModel:
    """Build the network in a file of Keras, with its weights, in evaluation mode.

    Sequential and Functional networks of Keras's own layers are understood; nothing in the file is
    executed. Images are channels last, ``(N, *spatial, C)``. All weights are trainable: call
    ``train()`` and go on training, ``voxelgrad.save`` to keep it.

    Args:
        path: A ``.keras`` file, or an ``.h5`` file of a whole model.

    Raises:
        ValueError: If the file is missing, damaged, holds weights only, or uses what is not
            understood; the message names file, layer and rule.
    """
    content = read(path)
    try:
        if content.config is None:
            raise ValueError(
                "it holds weights only; build the network with voxelgrad's layers and use "
                "load_weights, or save it with model.save"
            )
        graph = parse(content.config)
        arrays = _arrays(graph, content)
        shapes = {
            name: {role: list(array.shape) for role, array in held.items()}
            for name, held in arrays.items()
        }
        model = KerasModel(graph.as_json(), shapes, Path(path).name)
        for name, held in arrays.items():
            model.set_arrays(name, held)
    except MALFORMED as error:
        raise ValueError(f"cannot import {path}: {one_line(error)}") from error
    model.eval()
    return model


def _arrays(graph: Graph, content: Content) -> Arrays:
    """Return layer of the network -> what an array is -> the array.

    Raises:
        ValueError: If the file's layers are not those of the network.
    """
    stored = _by_group(content) if content.numbered else _by_name(graph, content)
    arrays: Arrays = {}
    for name, layer in stored.items():
        kind, settings = graph.layers[name]
        arrays[name] = with_roles(layer, content.numbered, snake(kind), settings)
    return arrays


def _by_name(graph: Graph, content: Content) -> dict[str, StoredLayer]:
    """Return layer -> its arrays in the older format: first network and own name tell."""
    places: dict[str, list[str]] = defaultdict(list)
    for name in graph.layers:
        parts = name.split("/")
        places["/".join(dict.fromkeys((parts[0], parts[-1])))].append(name)
    found = {}
    for layer in content.layers:
        names = places.get(layer.name, [])
        if len(names) != 1:
            raise ValueError(
                f"its weights belong to a layer {layer.name!r}, of which the network has "
                f"{len(names)}"
            )
        found[names[0]] = layer
    return found


def _by_group(content: Content) -> dict[str, StoredLayer]:
    """Return layer -> its arrays in the numbered format: class and number tell."""
    names = {layer.group: layer.name for layer in described_layers(content.config or {})}
    lost = [layer.group for layer in content.layers if layer.group not in names]
    if lost:
        raise ValueError(f"it has weights of {lost[0]!r}, which the network does not have")
    return {names[layer.group]: layer for layer in content.layers}
