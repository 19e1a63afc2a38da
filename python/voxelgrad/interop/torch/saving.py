"""A model's weights as PyTorch has them, in memory or as a safetensors file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.files import write_atomically
from voxelgrad.interop.torch.layout import slots


def to_torch_state_dict(
    model: nn.Module,
    names: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return copies of a model's arrays in PyTorch's layout.

    ``{name: torch.from_numpy(array) for name, array in state.items()}`` is a state dict that
    PyTorch loads; it does without the counters of batch norms.

    Args:
        model: The model.
        names: Name in the model -> name to give it, such as ``fitted`` of the report of
            ``load_state_dict``; what it does not mention keeps its name.
        flattened: As in ``load_state_dict``.

    Raises:
        ValueError: If ``flattened`` is wrong, or lacks a linear weight that follows a Flatten.
    """
    places = slots(model, flattened or {})
    unclear = [slot.name for slot in places if slot.needs_image]
    if unclear:
        raise ValueError(
            f"to_torch_state_dict: {unclear[0]} follows a Flatten, which orders pixels otherwise "
            f"in PyTorch; say what is flattened with flattened={{{unclear[0]!r}: (C, H, W)}}"
        )
    renamed = names or {}
    return {renamed.get(slot.name, slot.name): np.array(slot.to_torch()) for slot in places}


def save(
    path: str | os.PathLike[str],
    model: nn.Module,
    names: Mapping[str, str] | None = None,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Write ``to_torch_state_dict(model, names, flattened)`` as a safetensors file, atomically.

    PyTorch reads it with ``safetensors.torch.load_file``.

    Raises:
        ValueError: If the file cannot be written, or as in ``to_torch_state_dict``.
    """
    arrays = to_torch_state_dict(model, names, flattened)
    write_atomically(path, safetensors.numpy.save(arrays, metadata={"format": "pt"}))
