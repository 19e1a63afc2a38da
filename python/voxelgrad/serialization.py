"""Saving and loading: safetensors with a JSON description in the header, never pickle.

A file holds named arrays and, in its header, what they are: the kind of file, format version,
library version, a description, and a SHA-256 of the arrays, so that damage does not pass unnoticed.
Other programs can read the arrays with any safetensors library.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

import voxelgrad
from voxelgrad import random
from voxelgrad.files import MALFORMED, one_line, write_atomically
from voxelgrad.models import model as registry
from voxelgrad.nn import init
from voxelgrad.nn.module import Module

FORMAT_VERSION = 1
_HOMES = {
    "KerasModel": "voxelgrad.interop.keras.model",
    "OnnxModel": "voxelgrad.interop.onnx.model",
}
Arrays = Mapping[str, NDArray[Any]]


def save(
    path: str | os.PathLike[str], model: Module, metadata: dict[str, Any] | None = None
) -> None:
    """Save a model: its class, constructor arguments, parameters and buffers.

    The file is written under a temporary name and renamed, so an earlier one survives a failure.

    Args:
        path: The file, usually ``*.safetensors``; an existing one is replaced.
        model: A model from ``voxelgrad.models`` or of a class decorated with ``models.register``.
        metadata: Whatever JSON can hold; None keeps ``model.metadata``.

    Raises:
        ValueError: If the model's class is unknown, ``metadata`` does not fit into JSON, or the
            file cannot be written.
        TypeError: If ``model`` is no module.
    """
    if not isinstance(model, Module):
        raise TypeError(f"save: model is {type(model).__name__}; give a model")
    if not isinstance(model, registry.Model) or not registry.is_known(type(model)):
        raise ValueError(
            f"save: load could not rebuild a {type(model).__name__}; derive it from "
            "voxelgrad.models.Model and decorate the class with voxelgrad.models.register, or save "
            "model.state_dict() with voxelgrad.serialization.write_arrays"
        )
    description = {
        "architecture": type(model).__name__,
        "arguments": model.config,
        "metadata": model.metadata if metadata is None else metadata,
    }
    write_arrays(path, "model", model.state_dict(), description)


def load(path: str | os.PathLike[str]) -> registry.Model:
    """Build the model that ``save`` wrote, in evaluation mode; its metadata is ``model.metadata``.

    Call ``train()`` to go on training it. The random state stays as it was.

    Args:
        path: The file.

    Raises:
        ValueError: If the file is missing, no voxelgrad model, truncated or damaged, of an unknown
            architecture or a newer format; the message names the file and the way out.
    """
    arrays, description = read_arrays(path, "model")
    metadata = description.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise _damaged(path, "its metadata is no dictionary")
    # A class of the user may make more layers than it keeps, to share their weights.
    most = 2 * sum(array.size for array in arrays.values())
    state = random.get_state()
    try:
        cls = _find(str(description.get("architecture")))
        with init.limited_elements(most):
            model = cls(**description["arguments"])
        dtypes = {array.dtype for array in arrays.values() if array.dtype.kind == "f"}
        if dtypes == {np.dtype(np.float64)}:
            model.astype(np.float64)
        model.load_state_dict(arrays)
    except MALFORMED as error:
        raise ValueError(f"cannot load {path}: {one_line(error)}") from error
    finally:
        random.set_state(state)
    model.metadata = metadata
    return model.eval()


def _find(name: str) -> type[registry.Model]:
    """Return the model class of this name; rooms above the models are entered when needed."""
    if name in _HOMES:
        import_module(_HOMES[name])
    return registry.find(name)


def write_arrays(
    path: str | os.PathLike[str], kind: str, arrays: Arrays, description: dict[str, Any]
) -> None:
    """Write named arrays and a description to one file, atomically.

    Args:
        path: The file; an existing one is replaced.
        kind: What the file is, such as "model" or "checkpoint"; ``read_arrays`` asks for it.
        arrays: Name -> array of a dtype that safetensors knows.
        description: Whatever JSON can hold.

    Raises:
        ValueError: If the description does not fit into JSON or the file cannot be written.
        OSError: If writing fails for another reason, such as a full disk.
    """
    try:
        text = json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cannot write {path}: metadata does not fit into JSON ({error}); use strings, finite "
            "numbers, lists and dictionaries"
        ) from error
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {
        "format": f"voxelgrad-{kind}",
        "format_version": str(FORMAT_VERSION),
        "voxelgrad_version": voxelgrad.__version__,
        "description": text,
        "sha256": _digest(contiguous, text),
    }
    write_atomically(path, safetensors.numpy.save(contiguous, metadata=header))


def read_arrays(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a file that ``write_arrays`` wrote.

    Args:
        path: The file.
        kind: What the file must be, such as "model".

    Returns:
        The arrays by name, and the description.

    Raises:
        ValueError: If the file is missing, of another kind, truncated, damaged or too new.
    """
    content = _read(path)
    header = _header(path, content)
    _check_format(path, header, kind)
    try:
        arrays = safetensors.numpy.load(content)
    except Exception as error:
        raise _damaged(path, one_line(error)) from error
    text = header.get("description", "")
    if header.get("sha256") != _digest(arrays, text):
        raise _damaged(path, "its content does not match its checksum")
    try:
        description = json.loads(text)
    except MALFORMED as error:
        raise _damaged(path, f"its description is no JSON: {one_line(error)}") from error
    if not isinstance(description, dict):
        raise _damaged(path, "its description is no dictionary")
    return arrays, description


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"cannot load {path}: {error.strerror or error}; check the path"
        ) from error


def _header(path: str | os.PathLike[str], content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file: 8 bytes of length, then that much JSON."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 10 or content[8:9] != b"{":
        raise _foreign(path)
    if 8 + length > len(content):
        raise _damaged(path, f"its header needs {8 + length:,} bytes, there are {len(content):,}")
    try:
        entries = json.loads(content[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in entries.pop("__metadata__", {}).items()}
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
    except MALFORMED as error:
        raise _damaged(path, "its header cannot be read") from error
    expected = 8 + length + max(ends, default=0)
    if expected != len(content):
        raise _damaged(path, f"it should have {expected:,} bytes, there are {len(content):,}")
    return metadata


def _check_format(path: str | os.PathLike[str], header: dict[str, str], kind: str) -> None:
    found = header.get("format", "")
    if not found.startswith("voxelgrad-"):
        raise _foreign(path)
    if found != f"voxelgrad-{kind}":
        actual = found.removeprefix("voxelgrad-")
        raise ValueError(f"cannot load {path}: it is a voxelgrad {actual[:40]}, not a {kind}")
    version = header.get("format_version", "")
    if not version.isdecimal():
        raise _damaged(path, f"its format version is {version[:20]!r}")
    written = header.get("voxelgrad_version", "")
    if len(version) > 9 or int(version) > FORMAT_VERSION:
        raise ValueError(
            f"cannot load {path}: it was written by voxelgrad {written[:20]} in "
            f"format {version[:20]}, this is voxelgrad {voxelgrad.__version__} with format "
            f"{FORMAT_VERSION}; upgrade voxelgrad"
        )


def _digest(arrays: Arrays, text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _foreign(path: str | os.PathLike[str]) -> ValueError:
    return ValueError(
        f"cannot load {path}: it is not a voxelgrad file; give one that voxelgrad.save wrote"
    )


def _damaged(path: str | os.PathLike[str], what: str) -> ValueError:
    return ValueError(
        f"cannot load {path}: the file is truncated or damaged ({what}); copy it again from its "
        "source or use an earlier one"
    )
