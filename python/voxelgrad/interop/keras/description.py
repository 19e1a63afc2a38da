"""Keras's description of a network, as far as reading weights needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NETWORKS = ("Sequential", "Functional", "Model")
"""Classes whose configuration lists layers."""

_DEEPEST = 16


def described_layers(
    config: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the layers of a network in its order, those of networks inside it in their place.

    Entries that are no layers are left out: whoever builds the network finds them.

    Yields:
        Name, after those of the networks that the layer lies in; class; settings.
    """
    settings = config.get("config")
    # Keras 2.0 wrote a Sequential as the bare list of its layers.
    entries = settings.get("layers") if isinstance(settings, dict) else settings
    if not isinstance(entries, list) or depth > _DEEPEST:
        return
    for entry in entries:
        below = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(below, (dict, list)):
            continue
        name = below.get("name") if isinstance(below, dict) else None
        path = f"{prefix}{name or entry.get('name')}"
        kind = str(entry.get("class_name"))
        if kind in NETWORKS:
            yield from described_layers(entry, f"{path}/", depth + 1)
        elif isinstance(below, dict):
            yield path, kind, below
