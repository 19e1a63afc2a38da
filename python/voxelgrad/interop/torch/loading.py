"""``voxelgrad.interop.torch.load_state_dict``: PyTorch's weights into a model, with a report."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.arrays import as_array
from voxelgrad.interop.torch.layout import Slot, slots
from voxelgrad.interop.torch.reading import read
from voxelgrad.interop.torch.report import Report

Arrays = Mapping[str, Any]
Source = str | os.PathLike[str] | Arrays
_COUNTER = "num_batches_tracked"


def load_state_dict(
    model: nn.Module,
    source: Source,
    mapping: Mapping[str, str] | None = None,
    by: str = "name",
    strict: bool = True,
    prefix: str | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
) -> Report:
    """Copy PyTorch's weights into a model, turned into voxelgrad's layout.

    Nothing is changed unless everything fits, or ``strict`` is False: then what fits is copied and
    the report tells the rest. Counters of batch norms (``num_batches_tracked``) are left out.

    Args:
        model: The model, built with the same layers.
        source: A file that ``read`` takes, or a state dict: name -> array or CPU tensor.
        mapping: Name in the source -> name in the model, of an array or of a layer with all below
            it (the longest name wins); what it does not mention keeps its name.
        by: ``"name"``, or ``"order"``: layers with the same arrays and shapes are paired in the
            order in which they come, whatever they are called, where both have equally many.
        strict: Whether what is missing, unexpected or does not fit is an error.
        prefix: What the names in the source begin with, such as ``"module."``; others are left
            aside. None drops what all names share and the model's names do not.
        flattened: Name of a linear weight of the model -> shape (C, *spatial) of the image that is
            flattened before it: PyTorch flattens it channels first, voxelgrad channels last.

    Returns:
        What fitted and what did not; print it.

    Raises:
        ValueError: If the file cannot be read, an argument is wrong, or something does not fit.
        TypeError: If a value of the state dict is no array that the processor reads.
    """
    if by not in ("name", "order"):
        raise ValueError(f'load_state_dict: by is {by!r}; choose "name" or "order"')
    if by == "order" and mapping:
        raise ValueError('load_state_dict: mapping goes by name; leave it or by="order" out')
    arrays = read(source) if isinstance(source, (str, os.PathLike)) else dict(source)
    places = slots(model, flattened or {})
    known = {name.partition(".")[0] for name in (*(slot.name for slot in places), *(mapping or ()))}
    names = _without_prefix([n for n in arrays if not n.endswith(_COUNTER)], prefix, known)
    offered = {name: _as_array(arrays[name]) for name in names.values()}
    pairs = (
        _pair_by_order(places, offered) if by == "order" else _pair_by_name(names, mapping or {})
    )
    report = _compare(places, pairs, offered)
    report.ignored = [name for name in arrays if name not in offered]
    if strict and not report.complete:
        raise ValueError(
            f"load_state_dict: {_named(source)} does not fit this {type(model).__name__}, so "
            f'nothing was changed; give mapping= or by="order" if only names differ, strict=False '
            f"to take what fits\n{report}"
        )
    for slot in places:
        if slot.name in report.fitted:
            turned = slot.from_torch(offered[report.fitted[slot.name]])
            np.copyto(slot.array, turned, casting="same_kind")
    return report


def _named(source: Source) -> str:
    return "the state dict" if isinstance(source, Mapping) else os.fspath(source)


def _as_array(value: Any) -> NDArray[Any]:
    """Return an array of what a state dict holds; a tensor of PyTorch may require gradients."""
    return as_array("load_state_dict", value.detach() if hasattr(value, "detach") else value)


def _without_prefix(full: list[str], prefix: str | None, known: set[str]) -> dict[str, str]:
    """Return short name -> name in the source, without first parts that all share, unless known."""
    if prefix is not None:
        return {name.removeprefix(prefix): name for name in full if name.startswith(prefix)}
    names = {name: name for name in full}
    while True:
        first = {name.partition(".")[0] for name in names}
        if len(first) != 1 or first <= known or any("." not in name for name in names):
            return names
        names = {name.partition(".")[2]: whole for name, whole in names.items()}


def _pair_by_name(names: dict[str, str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return name in the source -> name in the model."""
    pairs: dict[str, str] = {}
    used: set[str | None] = set()
    for short, full in names.items():
        parts = short.split(".")
        begins = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        known = next((begin for begin in begins if begin in mapping), None)
        used.add(known)
        pairs[full] = short if known is None else mapping[known] + short[len(known) :]
    unused = [name for name in mapping if name not in used]
    if unused:
        raise ValueError(
            f"load_state_dict: mapping names {', '.join(map(repr, unused))}, which the source does "
            f"not have; it has {', '.join(map(repr, list(names)[:10]))}, ..."
        )
    twice = {name for name in pairs.values() if list(pairs.values()).count(name) > 1}
    if twice:
        raise ValueError(f"load_state_dict: mapping leads to {sorted(twice)} more than once")
    return pairs


def _pair_by_order(places: list[Slot], offered: Arrays) -> dict[str, str]:
    """Return name in the source -> name in the model, for layers of equal arrays, in order."""
    theirs = _layers({name: array.shape for name, array in offered.items()})
    ours = _layers({slot.name: slot.to_torch().shape for slot in places})
    pairs: dict[str, str] = {}
    # Where the numbers differ, nobody can tell which of them belong together.
    for kind in [kind for kind in theirs if len(theirs[kind]) == len(ours.get(kind, ()))]:
        for source, target in zip(theirs[kind], ours[kind], strict=True):
            pairs.update(zip(source, target, strict=True))
    return pairs


def _layers(shapes: dict[str, tuple[int, ...]]) -> dict[tuple[Any, ...], list[list[str]]]:
    """Return the layers of each kind (what their arrays are called and their shapes) in order."""
    layers: dict[str, list[str]] = defaultdict(list)
    for name in shapes:
        layers[name.rpartition(".")[0]].append(name)
    kinds: dict[tuple[Any, ...], list[list[str]]] = defaultdict(list)
    for names in layers.values():
        names.sort()
        kind = tuple((name.rpartition(".")[2], shapes[name]) for name in names)
        kinds[kind].append(names)
    return kinds


def _compare(places: list[Slot], pairs: dict[str, str], offered: Arrays) -> Report:
    """Return what would fit where."""
    report = Report()
    sources = {target: source for source, target in pairs.items()}
    for slot in places:
        source = sources.get(slot.name)
        if source is None:
            report.missing.append(slot.name)
        elif problem := _problem(slot, offered[source]):
            report.unfit[slot.name] = f"{source} {problem}"
        else:
            report.fitted[slot.name] = source
    used = {sources[name] for name in (*report.fitted, *report.unfit)}
    report.unexpected = [name for name in offered if name not in used]
    return report


def _problem(slot: Slot, array: NDArray[Any]) -> str:
    """Return why an array cannot go there; nothing if it can."""
    wanted = slot.to_torch().shape
    if array.shape != wanted:
        return f"has shape {array.shape}, the model needs {wanted} (in PyTorch's order)"
    if not np.can_cast(array.dtype, slot.array.dtype, "same_kind"):
        return f"has dtype {array.dtype}, the model needs {slot.array.dtype}"
    if slot.needs_image:
        return (
            f"follows a Flatten, which orders pixels otherwise in PyTorch; say what is flattened "
            f"with flattened={{{slot.name!r}: (C, H, W)}}"
        )
    return ""
