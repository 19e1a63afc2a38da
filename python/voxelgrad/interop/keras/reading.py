"""Files of Keras: the network's description and its weights, layer by layer.

Three formats: ``.keras``, a zip; ``.weights.h5``, in which a layer's arrays are numbered; and the
older ``.h5``, in which they have names and beside which the description may stand.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.files import MALFORMED, one_line
from voxelgrad.interop.keras.archive import read_archive
from voxelgrad.interop.keras.description import described_layers
from voxelgrad.interop.keras.hdf5 import SIGNATURE, Array, File, Group, Refused, natural

Members = Mapping[str, Group | Array]

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
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    return _read_hdf5(content, None)
        if beginning.startswith(b"PK"):
            config, weights = read_archive(Path(path))
            return _read_hdf5(weights, _parse(config.decode("utf-8")))
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror or error}; check the path"
        ) from error
    except MALFORMED as error:
        raise ValueError(f"cannot read {path}: {one_line(error)}") from error
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


def _read_hdf5(content: bytes | mmap.mmap, config: dict[str, Any] | None) -> Content:
    root = File(content).root
    members = root.members()
    described = root.text("model_config", len(content))
    if described is not None and config is None:
        config = _parse(described)
    found = Content(config, [], any(name in members for name in _CONTAINERS), [])
    holder = members.get("model_weights")
    if found.numbered:
        _add_numbered(members, "", "", found)
    elif isinstance(holder, Group):
        _add_named(holder, holder.members(), found)
    elif _listed(root) is not None:
        _add_named(root, members, found)
    else:
        raise Refused(
            "the HDF5 file holds no weights as Keras writes them; save the network with "
            "model.save or model.save_weights"
        )
    if not found.layers:
        raise Refused("it holds no weights")
    names = [layer.name for layer in found.layers]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"two layers are called {twice!r}")
    return found


def _add_numbered(members: Members, name: str, group: str, content: Content) -> None:
    """Add the layers below a group of the numbered format."""
    numbered = members.get("vars")
    if isinstance(numbered, Group):
        layer = StoredLayer(name or "model", group)
        for number, array in numbered.members().items():
            _add_array(layer, number, array, content)
        if layer.arrays:
            content.layers.append(layer)
    for place, container in members.items():
        if place == "vars" or not isinstance(container, Group):
            continue
        if place in _CONTAINERS:
            for entry, below in _groups(container.members()).items():
                inside = below.members()
                beside = inside.get("vars")
                called = beside.text("name") if beside else None
                path = _join(name, called or entry)
                _add_numbered(inside, path, _join(group, entry), content)
        elif name:
            _add_numbered(container.members(), _join(name, place), _join(group, place), content)


def _groups(members: Members) -> dict[str, Group]:
    return {name: item for name, item in members.items() if isinstance(item, Group)}


def _add_named(holder: Group, members: Members, content: Content) -> None:
    """Add the layers of the older format: a group for each, with named arrays below it."""
    groups = _groups(members)
    for group in _ordered(holder, content.config, list(groups)):
        if group == "optimizer_weights":
            continue
        layers: dict[str, StoredLayer] = {}
        for place, array in _arrays(groups[group]):
            *scopes, last = place.split("/")
            owner = scopes[-1] if scopes else group
            name = group if owner == group else f"{group}/{owner}"
            layer = layers.setdefault(name, StoredLayer(name, name))
            _add_array(layer, last.partition(":")[0], array, content)
        content.layers += [layer for layer in layers.values() if layer.arrays]


def _arrays(group: Group, place: str = "") -> Iterator[tuple[str, Array]]:
    for name, item in group.members().items():
        if isinstance(item, Group):
            yield from _arrays(item, f"{place}{name}/")
        else:
            yield f"{place}{name}", item


def _add_array(layer: StoredLayer, role: str, stored: Group | Array, content: Content) -> None:
    if not isinstance(stored, Array) or role in layer.arrays:
        raise Refused(f"{layer.name!r} has something else where its arrays must be")
    array = stored.read()
    if array.dtype.kind == "f" or array.dtype == BFLOAT16:
        layer.arrays[role] = array
    else:
        content.ignored.append(f"{layer.name}/{role}")


def _listed(holder: Group) -> list[str] | None:
    """Return the names of the layers that the older format lists; None if it lists none.

    Long lists are cut into several attributes.
    """
    listed, part = holder.texts("layer_names"), 0
    while (more := holder.texts(f"layer_names{part}")) is not None:
        listed = [*(listed or []), *more]
        part += 1
    return listed


def _ordered(holder: Group, config: dict[str, Any] | None, groups: list[str]) -> list[str]:
    """Return the groups in the order of the network as far as the file tells, the rest behind."""
    listed = _listed(holder) or []
    listed += [layer.name.partition("/")[0] for layer in described_layers(config or {})]
    places = {name: place for place, name in reversed(list(enumerate(listed)))}
    return sorted(groups, key=lambda name: (places.get(name, len(listed)), natural(name)))


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
