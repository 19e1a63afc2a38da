"""``voxelgrad.interop.torch.load_state_dict``: PyTorch's weights into a model, with a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.arrays import as_array
from voxelgrad.interop.pairing import fill, pair_by_name, pair_by_order
from voxelgrad.interop.report import Report
from voxelgrad.interop.torch.layout import slots
from voxelgrad.interop.torch.reading import read

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
    if by == "order":
        shapes = {slot.name: slot.to_torch().shape for slot in places}
        pairs = pair_by_order({name: array.shape for name, array in offered.items()}, shapes)
    else:
        pairs = pair_by_name("load_state_dict", names, mapping or {})
    refusal = (
        f"load_state_dict: {_named(source)} does not fit this {type(model).__name__}, so "
        f'nothing was changed; give mapping= or by="order" if only names differ, strict=False '
        f"to take what fits"
    )
    ignored = [name for name in arrays if name not in offered]
    return fill(places, pairs, offered, ignored, refusal if strict else None)


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
