"""Which array of a source goes to which place of a model: by name or by order, with a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.backends import copy_into
from voxelgrad.interop.report import Report

Shapes = Mapping[str, tuple[int, ...]]


class Place(Protocol):
    """A place of a model for an array, as the source has it."""

    @property
    def name(self) -> str:
        """Its dotted name in the model."""

    @property
    def array(self) -> NDArray[Any]:
        """What is there now, in voxelgrad's layout; written to in place."""

    def problem(self, array: NDArray[Any]) -> str:
        """Return why an array of the source cannot go there; nothing if it can."""

    def store(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array of the source in voxelgrad's layout."""


def arrays_of(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, NDArray[Any], Any]]:
    """Yield a model's arrays layer by layer, parameters before buffers, each once.

    Yields:
        Dotted name, module, attribute, array, and what the attribute is.
    """
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        names = [name for name, value in vars(module).items() if isinstance(value, nn.Parameter)]
        for name in (*names, *module._buffer_names):
            owner = getattr(module, name)
            if id(owner) not in seen:
                seen.add(id(owner))
                array = owner.data if isinstance(owner, nn.Parameter) else owner
                yield f"{prefix}.{name}" if prefix else name, module, name, array, owner


def pair_by_name(
    who: str,
    names: Mapping[str, str],
    mapping: Mapping[str, str],
    separator: str = ".",
    translate: Callable[[str], str] = str,
) -> dict[str, str]:
    """Return name in the source -> name in the model.

    Args:
        who: The function, for errors.
        names: Short name -> name in the source.
        mapping: Short name of an array or of a layer -> name in the model; the longest wins.
        separator: What parts a layer's name from those below it in the source.
        translate: From the rest of a short name to what it is called in the model.

    Raises:
        ValueError: If the mapping names what is not there, or leads to a place twice.
    """
    pairs: dict[str, str] = {}
    used: set[str | None] = set()
    for short, full in names.items():
        parts = short.split(separator)
        begins = [separator.join(parts[:count]) for count in range(len(parts), 0, -1)]
        known = next((begin for begin in begins if begin in mapping), None)
        used.add(known)
        rest = translate(short[len(known or "") :])
        pairs[full] = rest if known is None else mapping[known] + rest
    unused = [name for name in mapping if name not in used]
    if unused:
        raise ValueError(
            f"{who}: mapping names {', '.join(map(repr, unused))}, which the source does "
            f"not have; it has {', '.join(map(repr, list(names)[:10]))}, ..."
        )
    twice = {name for name in pairs.values() if list(pairs.values()).count(name) > 1}
    if twice:
        raise ValueError(f"{who}: mapping leads to {sorted(twice)} more than once")
    return pairs


def pair_by_order(theirs: Shapes, ours: Shapes) -> dict[str, str]:
    """Return name in the source -> name in the model, for layers of equal arrays, in order.

    Args:
        theirs: Dotted name -> shape of what the source has.
        ours: Dotted name -> shape of what the model needs, in the source's layout.
    """
    offered, wanted = _layers(theirs), _layers(ours)
    pairs: dict[str, str] = {}
    # Where the numbers differ, nobody can tell which of them belong together.
    for kind in [kind for kind in offered if len(offered[kind]) == len(wanted.get(kind, ()))]:
        for source, target in zip(offered[kind], wanted[kind], strict=True):
            pairs.update(zip(source, target, strict=True))
    return pairs


def _layers(shapes: Shapes) -> dict[tuple[Any, ...], list[list[str]]]:
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


def fill(
    places: Sequence[Place],
    pairs: Mapping[str, str],
    offered: Mapping[str, NDArray[Any]],
    ignored: Sequence[str],
    refusal: str | None,
) -> Report:
    """Copy what fits into a model and report it.

    Args:
        places: The places of the model.
        pairs: Name in the source -> name in the model.
        offered: Name in the source -> array in its layout.
        ignored: Names in the source that are not needed.
        refusal: What is wrong if not everything fits; None to take what fits.

    Raises:
        ValueError: ``refusal`` and the report, and nothing is changed.
    """
    report = _compare(places, pairs, offered)
    report.ignored = list(ignored)
    if refusal is not None and not report.complete:
        raise ValueError(f"{refusal}\n{report}")
    for place in places:
        if place.name in report.fitted:
            turned = place.store(offered[report.fitted[place.name]])
            copy_into(place.array, turned)
    return report


def _compare(
    places: Sequence[Place], pairs: Mapping[str, str], offered: Mapping[str, NDArray[Any]]
) -> Report:
    """Return what would fit where."""
    report = Report()
    sources = {target: source for source, target in pairs.items()}
    for place in places:
        source = sources.get(place.name)
        if source is None:
            report.missing.append(place.name)
        elif problem := place.problem(offered[source]):
            report.unfit[place.name] = f"{source} {problem}"
        else:
            report.fitted[place.name] = source
    used = {sources[name] for name in (*report.fitted, *report.unfit)}
    report.unexpected = [name for name in offered if name not in used]
    return report


def misfit(array: NDArray[Any], shape: tuple[int, ...], place: NDArray[Any], order: str) -> str:
    """Return why an array cannot go to a place by its shape or dtype; nothing if it can.

    Args:
        array: The array in the source's layout.
        shape: The shape that is needed there.
        place: The place.
        order: Whose layout the shapes are in.
    """
    if array.shape != shape:
        return f"has shape {array.shape}, the model needs {shape} (in {order}'s order)"
    if not np.can_cast(array.dtype, place.dtype, "same_kind"):
        return f"has dtype {array.dtype}, the model needs {place.dtype}"
    return ""
