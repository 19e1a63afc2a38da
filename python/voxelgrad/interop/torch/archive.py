"""Files of ``torch.save``: a zip archive of one pickle and the bytes of each storage.

Since PyTorch 1.6 the archive holds ``<name>/data.pkl``, in which a tensor is a view (offset,
shape, strides) of a storage, and ``<name>/data/<key>``, a storage's bytes, uncompressed. Every size
that the pickle claims is held against the bytes that are there before an array is made.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.files import one_line, open_bounded
from voxelgrad.interop.torch.unpickling import Global, Machine

_STORAGES = {
    "Double": np.dtype("<f8"),
    "Float": np.dtype("<f4"),
    "Half": np.dtype("<f2"),
    "BFloat16": BFLOAT16,
    "Long": np.dtype("<i8"),
    "Int": np.dtype("<i4"),
    "Short": np.dtype("<i2"),
    "Char": np.dtype("i1"),
    "Byte": np.dtype("u1"),
    "Bool": np.dtype("?"),
}
_DTYPES = {
    **{dtype.name: dtype for dtype in _STORAGES.values()},
    **{f"uint{bits}": np.dtype(f"<u{bits // 8}") for bits in (16, 32, 64)},
}
_MOST_AXES = 32


class Storage(NamedTuple):
    """The bytes that tensors are views of, and the dtype unless each tensor names its own."""

    content: bytearray
    dtype: np.dtype[Any] | None


class Archive:
    """One open file of ``torch.save``.

    Args:
        archive: The file, opened.
        length: Its length in bytes.

    Raises:
        ValueError: If it is no such file, or its entries claim more than the file can hold.
    """

    def __init__(self, archive: zipfile.ZipFile, length: int) -> None:
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        self._contents: dict[str, bytearray] = {}
        self._check_sizes(length)
        roots = [name for name in self._entries if name.count("/") == 1]
        roots = [name.removesuffix("data.pkl") for name in roots if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError("the zip archive has no data.pkl: torch.save did not write it")
        self._root = roots[0]
        order = f"{self._root}byteorder"
        if order in self._entries and archive.read(order) != b"little":
            raise ValueError("a big-endian machine wrote it; save it again on another one")

    def read(self) -> Any:
        """Return what was saved: plain data, with arrays for tensors.

        Raises:
            ValueError: If it is damaged or asks for anything but tensors and plain data.
        """
        known: dict[str, Any] = {
            "collections.OrderedDict": _empty_dict,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_of_dtype,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.storage.UntypedStorage": None,
        }
        known |= {f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()}
        known |= {f"torch.{name}": dtype for name, dtype in _DTYPES.items()}
        program = self._archive.read(f"{self._root}data.pkl")
        return Machine(program, known, self._storage).run()

    def _check_sizes(self, available: int) -> None:
        claimed = sum(entry.file_size for entry in self._entries.values())
        if claimed > available:
            raise ValueError(f"its entries claim {claimed:,} bytes, the file has {available:,}")
        packed = [e.filename for e in self._entries.values() if e.compress_type]
        if packed:
            raise ValueError(f"its entry {packed[0]!r} is compressed; torch.save stores entries")

    def _storage(self, identity: Any) -> Storage:
        match identity:
            case ("storage", Global(meaning=dtype), str(key), str(), int(count)):
                name = f"{self._root}data/{key}"
            case _:
                raise ValueError("its pickle refers to something that is no storage of a tensor")
        if name not in self._entries:
            raise ValueError(f"the bytes of storage {key[:50]!r} are missing")
        if dtype is not None and not isinstance(dtype, np.dtype):
            raise ValueError("its pickle names a storage that has no dtype")
        size, needed = self._entries[name].file_size, count * (dtype.itemsize if dtype else 1)
        if size != needed:
            raise ValueError(f"storage {key[:50]!r} claims {needed:,} bytes, there are {size:,}")
        if name not in self._contents:
            self._contents[name] = bytearray(self._archive.read(name))
        return Storage(self._contents[name], dtype)

    def _tensor(self, arguments: tuple[Any, ...]) -> NDArray[Any]:
        match arguments:
            case (Storage(dtype=np.dtype() as dtype) as storage, offset, shape, strides, *_):
                return _view(storage.content, dtype, offset, shape, strides)
        raise ValueError("its pickle describes a tensor by arguments that are unknown")

    def _tensor_of_dtype(self, arguments: tuple[Any, ...]) -> NDArray[Any]:
        match arguments:
            case (
                Storage() as s,
                offset,
                shape,
                strides,
                _,
                _,
                Global(meaning=np.dtype() as d),
                *_,
            ):
                return _view(s.content, d, offset, shape, strides)
        raise ValueError("its pickle describes a tensor by arguments that are unknown")


def read_archive(path: Path) -> Any:
    """Return what ``torch.save`` put into a file: plain data, with arrays for tensors.

    Raises:
        ValueError: If the file is damaged or holds more than tensors and plain data.
    """
    try:
        with open_bounded(path) as file, zipfile.ZipFile(file) as archive:
            return Archive(archive, file.length).read()
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, LookupError) as error:
        raise ValueError(f"the zip archive is truncated or damaged ({one_line(error)})") from error
    except (OSError, struct.error, OverflowError) as error:
        raise ValueError(f"the zip archive cannot be read ({one_line(error)})") from error


def _view(
    content: bytearray, dtype: np.dtype[Any], offset: Any, shape: Any, strides: Any
) -> NDArray[Any]:
    """Return a tensor as a view of its storage, after every number has been checked."""
    numbers = [offset, *_integers(shape), *_integers(strides)]
    if len(shape) != len(strides) or len(shape) > _MOST_AXES or not _are_counts(numbers):
        raise ValueError("a tensor has an offset, shape or strides that cannot be")
    available = len(content) // dtype.itemsize
    elements, last = 1, offset
    for length, stride in zip(shape, strides, strict=True):
        elements *= length
        last += (length - 1) * stride
    if elements == 0:
        return np.empty(shape, dtype)
    # More elements than the storage has would repeat some: a small file could claim a huge array.
    if last >= available or elements > available:
        raise ValueError(
            f"a tensor of shape {shape} and strides {strides} from element {offset} on does not "
            f"fit into its storage of {available:,} elements"
        )
    flat = np.frombuffer(content, dtype, count=available)
    steps = tuple(stride * dtype.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps)


def _integers(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise ValueError("a tensor has a shape or strides that are no tuple")
    return value


def _are_counts(numbers: list[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**62 for number in numbers)


def _empty_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise ValueError("its pickle makes an OrderedDict from arguments, as torch.save does not")
    return {}


def _parameter(arguments: tuple[Any, ...]) -> NDArray[Any]:
    if not arguments or not isinstance(arguments[0], np.ndarray):
        raise ValueError("its pickle makes a parameter of something that is no tensor")
    return arguments[0]
