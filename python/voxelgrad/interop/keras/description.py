"""Keras's description of a network, as far as reading weights needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from voxelgrad.interop.keras.roles import snake

NETWORKS = ("Sequential", "Functional", "Model")
"""Classes whose configuration lists layers."""

_DEEPEST = 16


class Described(NamedTuple):
    """A layer as the description has it.

    Attributes:
        name: Its name, after those of the networks that it lies in.
        group: Where the numbered format keeps its arrays: by class and number.
        kind: Its class.
        settings: Its settings.
    """

    name: str
    group: str
    kind: str
    settings: dict[str, Any]


def described_layers(
    config: Mapping[str, Any], name: str = "", group: str = "", depth: int = 0
) -> Iterator[Described]:
    """Yield the layers of a network in its order, those of networks inside it in their place.

    Entries that are no layers are left out: whoever builds the network finds them.
    """
    settings = config.get("config")
    # Keras 2.0 wrote a Sequential as the bare list of its layers.
    entries = settings.get("layers") if isinstance(settings, dict) else settings
    if not isinstance(entries, list) or depth > _DEEPEST:
        return
    counts: Counter[str] = Counter()
    for entry in entries:
        below = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(below, (dict, list)):
            continue
        own = below.get("name") if isinstance(below, dict) else None
        kind = str(entry.get("class_name"))
        number = counts[snake(kind)]
        counts[snake(kind)] += 1
        path = f"{name}{own or entry.get('name')}"
        place = f"{group}{snake(kind)}{f'_{number}' if number else ''}"
        if kind in NETWORKS:
            yield from described_layers(entry, f"{path}/", f"{place}/", depth + 1)
        elif isinstance(below, dict):
            yield Described(path, place, kind, below)
