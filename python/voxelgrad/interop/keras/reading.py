"""Files of Keras: the network's description and its weights, layer by layer.

Three formats: ``.keras``, a zip; ``.weights.h5``, in which a layer's arrays are numbered; and the
older ``.h5``, in which they have names and beside which the description may stand.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import h5py
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.files import one_line
from voxelgrad.interop.keras.archive import read_archive
from voxelgrad.interop.keras.description import described_layers
from voxelgrad.interop.keras.hdf5 import SIGNATURE, Hdf5, natural, open_hdf5

# Where the numbered format keeps layers; Keras 2.12 to 2.15 had the other name.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


@dataclass
class StoredLayer:
    """The arrays of one layer.

    Attributes:
        name: Its name, after those of the networks that it lies in: ``"inner/conv2d_1"``.
        group: The same as the numbered format has it: by class and number.
        arrays: What an array is (or its number) -> the array in Keras's layout.
    """

    name: str
    group: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass
class Content:
    """What a file holds.

    Attributes:
        config: The network's description, if the file has it.
        layers: The layers that have arrays.
        numbered: Whether arrays are numbered, rather than named.
        ignored: Names of arrays that are no weights, such as the state of a random generator.
    """

    config: dict[str, Any] | None
    layers: list[StoredLayer]
    numbered: bool
    ignored: list[str]


def read(path: str | os.PathLike[str]) -> Content:
    """Read a file that Keras wrote. Nothing in it is executed.

    Raises:
        ValueError: If the file is missing, damaged, of another kind, or holds what is not read;
            the message names the file, what was found and the rule.
    """
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(SIGNATURE))
            if beginning == SIGNATURE:
                return _read_hdf5(file, os.fstat(file.fileno()).st_size, None)
        if beginning.startswith(b"PK"):
            config, weights = read_archive(Path(path))
            return _read_hdf5(io.BytesIO(weights), len(weights), _parse(config.decode("utf-8")))
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror or error}; check the path"
        ) from error
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    raise ValueError(
        f"cannot read {path}: it is neither an HDF5 file (.h5, .weights.h5) nor a zip file (.keras)"
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the network's description is no JSON ({one_line(error)})") from error
    if not isinstance(config, dict):
        raise ValueError("the network's description is no JSON object")
    return config


def _read_hdf5(stream: BinaryIO, length: int, config: dict[str, Any] | None) -> Content:
    with open_hdf5(stream, length) as file:
        root = file.root
        members = file.children(root)
        described = file.text(root, "model_config")
        if described is not None and config is None:
            config = _parse(described)
        if any(name in members for name in _CONTAINERS):
            content = Content(config, [], True, [])
            _add_numbered(file, members, "", "", content)
        elif isinstance(members.get("model_weights"), h5py.Group):
            content = _read_named(file, members["model_weights"], config)
        elif "layer_names" in root.attrs or "layer_names0" in root.attrs:
            content = _read_named(file, root, config, members)
        else:
            raise ValueError(
                "the HDF5 file holds no weights as Keras writes them; save the network with "
                "model.save or model.save_weights"
            )
    if not content.layers:
        raise ValueError("it holds no weights")
    names = [layer.name for layer in content.layers]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two layers are called {twice!r}")
    return content


def _add_numbered(
    file: Hdf5, members: dict[str, Any], name: str, group: str, content: Content
) -> None:
    """Add the layers below a group of the numbered format."""
    if isinstance(members.get("vars"), h5py.Group):
        layer = StoredLayer(name or "model", group)
        for number, dataset in file.children(members["vars"]).items():
            _add_array(file, layer, number, dataset, content)
        if layer.arrays:
            content.layers.append(layer)
    for place, container in members.items():
        if place == "vars" or not isinstance(container, h5py.Group):
            continue
        if place in _CONTAINERS:
            for entry, below in _groups(file, container):
                called = _called(file, below) or entry
                _add_numbered(file, below, _join(name, called), _join(group, entry), content)
        elif name:
            below = file.children(container)
            _add_numbered(file, below, _join(name, place), _join(group, place), content)


def _groups(file: Hdf5, container: h5py.Group) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry, item in file.children(container).items():
        if isinstance(item, h5py.Group):
            yield entry, file.children(item)


def _called(file: Hdf5, members: dict[str, Any]) -> str | None:
    """Return the layer's own name, which newer files keep beside its arrays."""
    beside = members.get("vars")
    return file.text(beside, "name") if isinstance(beside, h5py.Group) else None


def _read_named(
    file: Hdf5,
    holder: h5py.Group,
    config: dict[str, Any] | None,
    members: dict[str, Any] | None = None,
) -> Content:
    """Return the layers of the older format: a group for each, with named arrays below it."""
    content = Content(config, [], False, [])
    groups = file.children(holder) if members is None else members
    for group in _ordered(file, holder, config, list(groups)):
        if not isinstance(groups[group], h5py.Group) or group == "optimizer_weights":
            continue
        layers: dict[str, StoredLayer] = {}
        for place, dataset in _datasets(file, groups[group]):
            *scopes, last = place.split("/")
            owner = scopes[-1] if scopes else group
            name = group if owner == group else f"{group}/{owner}"
            layer = layers.setdefault(name, StoredLayer(name, name))
            _add_array(file, layer, last.partition(":")[0], dataset, content)
        content.layers += [layer for layer in layers.values() if layer.arrays]
    return content


def _datasets(file: Hdf5, group: h5py.Group, place: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    for name, item in file.children(group).items():
        if isinstance(item, h5py.Group):
            yield from _datasets(file, item, f"{place}{name}/")
        else:
            yield f"{place}{name}", item


def _add_array(file: Hdf5, layer: StoredLayer, role: str, dataset: Any, content: Content) -> None:
    if not isinstance(dataset, h5py.Dataset) or role in layer.arrays:
        raise ValueError(f"{layer.name!r} has something else where its arrays must be")
    array = file.array(dataset)
    if array.dtype.kind == "f" or array.dtype == BFLOAT16:
        layer.arrays[role] = array
    else:
        content.ignored.append(f"{layer.name}/{role}")


def _ordered(
    file: Hdf5, holder: h5py.Group, config: dict[str, Any] | None, groups: list[str]
) -> list[str]:
    """Return the groups in the order of the network as far as the file tells, the rest behind."""
    listed = file.texts(holder, "layer_names")
    part = 0
    while f"layer_names{part}" in holder.attrs:
        listed += file.texts(holder, f"layer_names{part}")
        part += 1
    listed += [layer.name.partition("/")[0] for layer in described_layers(config or {})]
    places = {name: place for place, name in reversed(list(enumerate(listed)))}
    return sorted(groups, key=lambda name: (places.get(name, len(listed)), natural(name)))


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
