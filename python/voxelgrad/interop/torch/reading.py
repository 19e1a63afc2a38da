"""``voxelgrad.interop.torch.read``: the arrays of a file of weights, without PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.files import one_line
from voxelgrad.interop.torch.archive import read_archive

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
# Where training programs keep the weights beside optimizer, epoch and settings.
_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "network_weights", "net", "weights")
_DEEPEST = 4


def read(path: str | os.PathLike[str], key: str | None = None) -> dict[str, NDArray[Any]]:
    """Read the weights in a file that PyTorch or safetensors wrote. Nothing in it is executed.

    Args:
        path: A file of ``torch.save`` (PyTorch 1.6 or newer, usually ``*.pt`` or ``*.pth``) that
            holds a state dict, or a dictionary with one in it; or a ``*.safetensors`` file.
        key: Which entry of the dictionary holds the state dict; left out, it is found where there
            is only one, or one has a usual name such as ``"state_dict"``.

    Returns:
        Name -> array in PyTorch's layout and the file's dtype, in the file's order. Tensors that
        share memory in the file share it here.

    Raises:
        ValueError: If the file is missing, damaged, of another kind, or holds anything but tensors
            and plain data; the message names the file, what was found and the rule.
    """
    try:
        with open(path, "rb") as file:
            beginning = file.read(9)
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror or error}; check the path"
        ) from error
    try:
        if beginning.startswith(b"PK"):
            return _find_tensors(read_archive(Path(path)), key)
        if beginning.endswith(b"{"):
            return _read_safetensors(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    raise ValueError(
        f"cannot read {path}: it is neither a zip file of torch.save nor safetensors; files that "
        f"PyTorch wrote before 1.6 must be saved again with a newer one"
    )


def _read_safetensors(content: bytes) -> dict[str, NDArray[Any]]:
    try:
        entries = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise ValueError(
            f"the safetensors file is truncated or damaged ({one_line(error)})"
        ) from error
    if b'"voxelgrad-' in content[: int.from_bytes(content[:8], "little")]:
        raise ValueError("voxelgrad wrote it, in its own layout; use voxelgrad.load")
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            raise ValueError(
                f"{name!r} has the dtype {entry['dtype']}; known are {', '.join(_DTYPES)}"
            )
        flat = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"])
    return arrays


def _find_tensors(content: Any, key: str | None) -> dict[str, NDArray[Any]]:
    """Return the state dict in what was saved.

    Raises:
        ValueError: If there is none, or there are several and none has a usual name.
    """
    if not isinstance(content, dict):
        raise ValueError(
            f"it holds a {type(content).__name__}, not a dictionary of tensors; save "
            f"model.state_dict() with torch.save"
        )
    if key is not None:
        if not isinstance(content.get(key), dict):
            names = ", ".join(repr(name) for name in list(content)[:20])
            raise ValueError(f"it has no dictionary under key={key!r}; there are {names}")
        content = content[key]
    found: dict[str, dict[str, NDArray[Any]]] = {}
    _collect(content, "", found, set())
    if len(found) > 1:
        usual = [name for name in _USUAL_KEYS if name in found]
        found = {name: found[name] for name in usual[:1]} or found
    if len(found) != 1:
        places = ", ".join(repr(name) for name in list(found)[:20])
        raise ValueError(
            f"it holds several dictionaries of tensors, {places}; choose one with key="
            if found
            else "it holds no dictionary of tensors"
        )
    return next(iter(found.values()))


def _collect(
    content: dict[Any, Any], place: str, found: dict[str, dict[str, NDArray[Any]]], seen: set[int]
) -> None:
    """Add the uppermost dictionaries that hold tensors under names, by where they are."""
    if id(content) in seen or place.count("/") > _DEEPEST:
        return
    seen.add(id(content))
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, np.ndarray)
    }
    if tensors:
        found[place.removeprefix("/")] = tensors
        return
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, dict):
            _collect(value, f"{place}/{name}", found, seen)
