"""``voxelgrad.interop.keras.load_weights``: Keras's weights into a model, with a report."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.interop.keras.description import described_layers
from voxelgrad.interop.keras.reading import Content, StoredLayer, read
from voxelgrad.interop.keras.roles import OURS, roles, snake
from voxelgrad.interop.keras.slots import slots
from voxelgrad.interop.pairing import fill, pair_by_name, pair_by_order
from voxelgrad.interop.report import Report


def load_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    mapping: Mapping[str, str] | None = None,
    by: str | None = None,
    strict: bool = True,
) -> Report:
    """Copy the weights in a file of Keras into a model, turned into voxelgrad's layout.

    Nothing is changed unless everything fits, or ``strict`` is False: then what fits is copied and
    the report tells the rest. Names in the source are ``"layer/array"``, such as
    ``"conv2d_1/kernel"``, after the names of networks that the layer lies in.

    Args:
        model: The model, built with the same layers.
        path: A ``.keras``, ``.weights.h5`` or ``.h5`` file.
        mapping: Name in the source -> name in the model, of a layer or an array; what it does not
            mention keeps its name, with ``weight`` for kernel, gamma and alpha, ``bias`` for beta,
            ``running_mean`` and ``running_var`` for the moving statistics.
        by: ``"name"``; or ``"order"``: layers with the same arrays and shapes are paired in the
            order in which they come, where both have equally many. None takes names if there is a
            mapping or all names agree, else the order.
        strict: Whether what is missing, unexpected or does not fit is an error.

    Returns:
        What fitted and what did not; print it.

    Raises:
        ValueError: If the file cannot be read, an argument is wrong, or something does not fit.
    """
    if by not in (None, "name", "order"):
        raise ValueError(f'load_weights: by is {by!r}; choose "name", "order" or None')
    if by == "order" and mapping:
        raise ValueError('load_weights: mapping goes by name; leave it or by="order" out')
    content = read(path)
    offered = named_arrays(content)
    places = slots(model)
    ours = {place.name: place.shape for place in places}
    pairs = {}
    if by != "order":
        names = {name: name for name in offered}
        pairs = pair_by_name("load_weights", names, mapping or {}, "/", _translated)
    if by == "order" or (by is None and not mapping and set(pairs.values()) != set(ours)):
        full = {_translated(name): name for name in offered}
        theirs = {name: offered[whole].shape for name, whole in full.items()}
        pairs = {full[source]: target for source, target in pair_by_order(theirs, ours).items()}
    refusal = (
        f"load_weights: {os.fspath(path)} does not fit this {type(model).__name__}, so nothing was "
        f"changed; give mapping= where names and order differ, strict=False to take what fits"
    )
    return fill(places, pairs, offered, content.ignored, refusal if strict else None)


def named_arrays(content: Content) -> dict[str, NDArray[Any]]:
    """Return ``"layer/array"`` -> array for all layers of a file."""
    known: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for described in described_layers(content.config or {}):
        place = described.group if content.numbered else described.name
        known[place] = snake(described.kind), described.settings
    arrays = {}
    for layer in content.layers:
        guessed = re.sub(r"_[0-9]+$", "", layer.group.rpartition("/")[2])
        kind, settings = known.get(layer.group, (guessed, None))
        for role, array in with_roles(layer, content.numbered, kind, settings).items():
            arrays[f"{layer.name}/{role}"] = array
    return arrays


def with_roles(
    layer: StoredLayer, numbered: bool, kind: str, settings: Mapping[str, Any] | None
) -> dict[str, NDArray[Any]]:
    """Return what each array of a layer is -> the array."""
    names = list(layer.arrays)
    if numbered:
        names = roles(kind, len(names), settings)
    elif "pointwise_kernel" not in names:
        names = ["kernel" if name == "depthwise_kernel" else name for name in names]
    arrays = dict(zip(names, layer.arrays.values(), strict=True))
    slope = arrays.get("alpha")
    if slope is not None and slope.ndim and slope.size == slope.shape[-1]:
        arrays["alpha"] = slope.reshape(-1)  # shared over space: (1, 1, C)
    return arrays


def _translated(name: str) -> str:
    """Return a name of the source, or the end of one, as voxelgrad would call it."""
    *layers, role = name.split("/")
    return ".".join([*layers, OURS.get(role, role)])
