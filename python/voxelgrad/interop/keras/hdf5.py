"""Groups, arrays and texts of an HDF5 file that is not trusted.

Only what lies in the file itself, once, as plain numbers is read: no links but hard ones, no
virtual or external storage, no filters but gzip and shuffle, and no sizes that the file's bytes do
not justify. Nothing here knows Keras.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.files import one_line

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FILTERS = {h5py.h5z.FILTER_DEFLATE: "gzip", h5py.h5z.FILTER_SHUFFLE: "shuffle"}
_DEEPEST, _MOST_OBJECTS = 64, 1 << 18
_MOST_PACKED, _TINY = 64, 1 << 20


class Refused(ValueError):
    """What is wrong with a file; whoever knows the file's name adds it."""


class Hdf5:
    """An open HDF5 file.

    Args:
        file: The file as h5py has it.
        length: Its length in bytes.
    """

    def __init__(self, file: h5py.File, length: int) -> None:
        self.root: h5py.Group = file["/"]
        self._length = length
        self._claimed = 0
        self._seen = {_address(self.root)}

    def children(self, group: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
        """Return what lies in a group, in the natural order of the names; ask once for each group.

        Raises:
            Refused: If a member is a link elsewhere, or was met before.
        """
        if group.name.count("/") > _DEEPEST:
            raise Refused(f"its groups lie in each other more than {_DEEPEST} deep")
        return {name: self._member(group, name) for name in sorted(group, key=natural)}

    def _member(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
        place = f"{group.name}/{name}".replace("//", "/")
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise Refused(f"{place!r} is a link to the file {link.filename[:100]!r}; {_ITSELF}")
        if not isinstance(link, h5py.HardLink):
            raise Refused(f"{place!r} is a link to another place; {_ITSELF}")
        item = group[name]
        if not isinstance(item, (h5py.Group, h5py.Dataset)):
            raise Refused(f"{place!r} is neither a group nor an array")
        address = _address(item)
        if address in self._seen:
            raise Refused(f"{place!r} is reached by more than one name")
        self._seen.add(address)
        if len(self._seen) > _MOST_OBJECTS:
            raise Refused(f"it has more than {_MOST_OBJECTS:,} groups and arrays")
        return item

    def array(self, dataset: h5py.Dataset) -> NDArray[Any]:
        """Return an array of floats or integers; bfloat16 where Keras marked it so.

        Raises:
            Refused: If it holds something else, or not in the file, or is larger than the file.
        """
        marked = self.text(dataset, "dtype") == "bfloat16"
        dtype = BFLOAT16 if marked and dataset.dtype.str[1:] == "V2" else dataset.dtype
        if dtype.kind not in "fiub" and dtype != BFLOAT16:
            raise Refused(f"{dataset.name!r} has the dtype {dataset.dtype}; weights are numbers")
        self._check_storage(dataset)
        stored = np.asarray(dataset[()])
        return np.ascontiguousarray(stored.view(dtype).astype(dtype.newbyteorder("="), copy=False))

    def _check_storage(self, dataset: h5py.Dataset) -> None:
        place = repr(dataset.name)
        if dataset.is_virtual:
            raise Refused(f"{place} is a virtual array over other files; {_ITSELF}")
        if dataset.external:
            raise Refused(f"{place} lies in the file {dataset.external[0][0][:100]!r}; {_ITSELF}")
        if dataset.shape is None:
            raise Refused(f"{place} has no shape")
        settings = dataset.id.get_create_plist()
        filters = [settings.get_filter(index) for index in range(settings.get_nfilters())]
        for code, _, _, name in filters:
            if code not in _FILTERS:
                called = name.decode("ascii", "replace")[:40]
                raise Refused(
                    f"{place} is packed with the filter {called or code!r}; read are "
                    f"{' and '.join(_FILTERS.values())}"
                )
        width, stored = int(dataset.dtype.itemsize), int(dataset.id.get_storage_size())
        size = int(dataset.size) * width
        if not filters and size > stored:
            raise Refused(f"{place} claims {size:,} bytes, there are {stored:,}")
        self._claimed += stored if filters else size
        chunk = int(np.prod(dataset.chunks or (), dtype=object)) * width
        if max(self._claimed, 0 if filters else chunk) > self._length:
            raise Refused(f"its arrays claim more than the {self._length:,} bytes of the file")
        if filters:
            check_unpacked(place, max(size, chunk), stored)

    def text(self, item: h5py.Group | h5py.Dataset, name: str) -> str | None:
        """Return an attribute that is one text, None if there is none of that name.

        Raises:
            Refused: If it is something else.
        """
        found = self._strings(item, name)
        if found is None:
            return None
        if len(found) != 1:
            raise Refused(f"attribute {name!r} of {item.name!r} is no single text")
        return found[0]

    def texts(self, item: h5py.Group | h5py.Dataset, name: str) -> list[str]:
        """Return an attribute that is a list of texts of fixed length; empty if there is none."""
        return self._strings(item, name) or []

    def _strings(self, item: h5py.Group | h5py.Dataset, name: str) -> list[str] | None:
        if name not in item.attrs:
            return None
        attribute = item.attrs.get_id(name)
        info = h5py.check_string_dtype(attribute.dtype)
        if info is None:
            return []
        count = int(np.prod(attribute.shape, dtype=object)) if attribute.shape is not None else 0
        if count * attribute.dtype.itemsize > self._length:
            raise Refused(f"attribute {name!r} of {item.name!r} claims more than the file has")
        # Many texts of free length may all be the same long one: a small file would fill memory.
        if info.length is None and count > 1:
            return []
        values = np.atleast_1d(np.asarray(item.attrs[name], dtype=object)).reshape(-1)
        return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]


_ITSELF = "only what lies in the file itself is read"


@contextmanager
def open_hdf5(stream: BinaryIO, length: int) -> Iterator[Hdf5]:
    """Open an HDF5 file.

    Args:
        stream: It, opened for reading.
        length: Its length in bytes.

    Raises:
        Refused: If it is damaged; also for what h5py says while the file is open.
    """
    try:
        with mapped(stream) as content:
            check_heaps(content)
        with h5py.File(stream, "r") as file:
            yield Hdf5(file, length)
    except ValueError as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"the HDF5 file is damaged ({one_line(error)})") from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # h5py raises what fits: OSError, KeyError, RuntimeError, ...
        raise Refused(f"the HDF5 file is truncated or damaged ({one_line(error)})") from error


@contextmanager
def mapped(stream: BinaryIO) -> Iterator[memoryview | mmap.mmap]:
    """Give the bytes of a file or of a stream in memory without a copy."""
    if isinstance(stream, io.BytesIO):
        yield stream.getbuffer()
        return
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def check_heaps(content: bytes | memoryview | mmap.mmap) -> None:
    """Raise if a heap of texts has an entry that takes no room: libhdf5 would not get past it.

    A heap is "GCOL", a version, its size, and entries: number, references, size, content padded to
    8 bytes; number 0 is the free room, whose size counts its own head. Source: HDF5 file format
    specification 3.0, section III.E.

    Raises:
        Refused: If there is one.
    """
    for found in re.finditer(rb"GCOL\x01", content):
        start = found.start()
        if start + 16 > len(content):
            return
        end = start + int.from_bytes(content[start + 8 : start + 16], "little")
        place = start + 16
        while place + 16 <= end <= len(content):
            number = int.from_bytes(content[place : place + 2], "little")
            size = int.from_bytes(content[place + 8 : place + 16], "little")
            step = size if number == 0 else 16 + (-(-size // 8) * 8) % 2**64
            if step == 0 or place + step > end:
                raise Refused("the HDF5 file is damaged (a heap of texts has a wrong size)")
            place += step


def check_unpacked(what: str, claimed: int, stored: int) -> None:
    """Raise unless compressed data may be taken for what it claims to be once unpacked.

    Weights hardly shrink; a file made to fill the memory shrinks a thousandfold.

    Raises:
        ValueError: If ``claimed`` bytes are more than 64 times the ``stored`` ones and 1 MiB.
    """
    if claimed > _MOST_PACKED * stored + _TINY:
        raise ValueError(
            f"{what} claims {claimed:,} bytes unpacked from {stored:,} packed ones; weights do not "
            f"shrink so much"
        )


def natural(name: str) -> list[Any]:
    """Return a key that sorts ``conv2d``, ``conv2d_1``, ``conv2d_2``, ``conv2d_10`` so."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(p[:18]), "") if at % 2 else (-1, p) for at, p in enumerate(parts)]


def _address(item: h5py.Group | h5py.Dataset) -> int:
    return int(h5py.h5o.get_info(item.id).addr)
