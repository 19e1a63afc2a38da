"""Types, shapes, arrays and attributes of an HDF5 file."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.interop.keras.hdf5.blocks import (
    UNDEFINED,
    Cursor,
    Refused,
    heap_object,
    text,
    tree,
)

ITSELF = "only what lies in the file itself is read"

_MOST_AXES = 32
_DEFLATE, _SHUFFLE = 1, 2
_FILTERS = {3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
_MOST_PACKED, _TINY = 64, 1 << 20

# Exponent's place and size, mantissa's place and size, exponent's bias.
_FLOATS = {
    (2, 10, 5, 0, 10, 15): np.dtype("<f2"),
    (2, 7, 8, 0, 7, 127): BFLOAT16,
    (4, 23, 8, 0, 23, 127): np.dtype("<f4"),
    (8, 52, 11, 0, 52, 1023): np.dtype("<f8"),
}


@dataclass(frozen=True)
class Type:
    """What one element is.

    Attributes:
        size: Bytes that it takes.
        dtype: For numbers.
        is_text: Whether it is a text, of fixed or free length.
        is_free: Whether it is a text of free length, which lies elsewhere.
        is_opaque: Whether it is bytes without a meaning.
    """

    size: int
    dtype: np.dtype[Any] | None = None
    is_text: bool = False
    is_free: bool = False
    is_opaque: bool = False


def read_type(part: Cursor) -> Type:
    """Return the type that a message describes."""
    first = part.number(1)
    bits, size = part.number(3), part.number(4)
    kind = first & 15
    if kind == 0 and size in (1, 2, 4, 8):
        dtype = np.dtype(f"{'i' if bits & 8 else 'u'}{size}")
        return Type(size, dtype.newbyteorder(">" if bits & 1 else "<"))
    if kind == 1:
        part.skip(4)
        shape = [size, *(part.number(1) for _ in range(4)), part.number(4)]
        found = next((dtype for known, dtype in _FLOATS.items() if list(known) == shape), None)
        if found is not None and not bits & 64 and not (bits & 1 and found == BFLOAT16):
            return Type(size, found.newbyteorder(">") if bits & 1 else found)
    if kind == 9 and bits & 15 == 1 and size == 16:
        return Type(size, is_text=True, is_free=True)
    return Type(size, is_text=kind == 3, is_opaque=kind == 5)


def read_shape(part: Cursor) -> tuple[int, ...] | None:
    """Return the shape that a message describes; None if it holds nothing at all."""
    version, rank, _ = part.number(1), part.number(1), part.number(1)
    if version not in (1, 2) or rank > _MOST_AXES:
        raise Refused("an array in it has a shape that cannot be")
    if version == 2 and part.number(1) == 2:
        return None
    if version == 1:
        part.skip(5)
    return tuple(part.number(8) for _ in range(rank))


def read_attribute(part: Cursor, wanted: str, most: int) -> list[str] | None:
    """Return the texts of an attribute, none if it holds something else; None if it is another one.

    Args:
        part: The message.
        wanted: Name of the attribute that is asked for.
        most: Bytes that a text may take; several may all be the same one.

    Raises:
        Refused: If a text takes more, or the message is damaged.
    """
    version, flags = part.number(1), part.number(1)
    sizes = [part.number(2) for _ in range(3)]
    if version not in (1, 2, 3):
        raise Refused("an attribute in it has an unknown format")
    part.skip(1 if version == 3 else 0)
    pieces = []
    for size in sizes:
        pieces.append(Cursor(part.content, part.place, size))
        part.skip(-(-size // 8) * 8 if version == 1 else size)
    if pieces[0].take(sizes[0]).partition(b"\0")[0] != wanted.encode():
        return None
    if version > 1 and flags & 3:
        return []
    element, extents = read_type(pieces[1]), read_shape(pieces[2])
    count = math.prod(extents) if extents is not None else 0
    if not element.is_text or count * element.size > part.left:
        return []
    return [_text(part, element, most) for _ in range(count)]


def _text(part: Cursor, element: Type, most: int) -> str:
    if not element.is_free:
        return text(part.take(element.size).partition(b"\0")[0])
    length, address, index = part.number(4), part.number(8), part.number(4)
    if length > most:
        raise Refused(f"a text in it has {length:,} bytes; it may have {most:,}")
    return text(heap_object(part.content, address, index)[:length]) if length else ""


@dataclass(frozen=True)
class Storage:
    """Where an array's bytes are.

    Attributes:
        element: What one element is.
        shape: Its extents.
        layout: The message that says where.
        filters: What each chunk is packed with, in the order of packing.
    """

    element: Type
    shape: tuple[int, ...]
    layout: Cursor
    filters: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the whole array."""
        return math.prod(self.shape) * self.element.size


def read_filters(part: Cursor) -> tuple[int, ...]:
    """Return the numbers of the filters that a message lists.

    Raises:
        Refused: If one is neither gzip nor shuffle.
    """
    version, count = part.number(1), part.number(1)
    if version not in (1, 2):
        raise Refused("an array in it is packed in an unknown way")
    part.skip(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        code = part.number(2)
        named = version == 1 or code >= 256
        length = part.number(2) if named else 0
        part.skip(2)
        values = part.number(2)
        part.skip((-(-length // 8) * 8 if version == 1 else length) + 4 * values)
        part.skip(4 if version == 1 and values % 2 else 0)
        if code not in (_DEFLATE, _SHUFFLE):
            called = _FILTERS.get(code, f"number {code}")
            raise Refused(f"is packed with the filter {called}; read are gzip and shuffle")
        found.append(code)
    return tuple(found)


def read_array(storage: Storage) -> tuple[NDArray[Any], int]:
    """Return an array's bytes, as many rows as elements, and how many the file has for it.

    Raises:
        Refused: If the file does not have them.
    """
    layout = storage.layout
    version, kind = layout.number(1), layout.number(1)
    if version == 4 and kind == 3:
        raise Refused(
            "is a virtual array over other files; only what lies in the file itself is read"
        )
    if version != 3 or kind > 2:
        raise Refused("is stored in a way that Keras does not use")
    if kind == 2:
        return _read_chunks(storage)
    address = layout.place + 2 if kind == 0 else layout.number(8)
    stored = layout.number(2 if kind == 0 else 8)
    stored = 0 if address == UNDEFINED else stored
    if storage.filters or storage.size > stored:
        raise Refused(f"claims {storage.size:,} bytes, there are {stored:,}")
    part = Cursor(layout.content, address if stored else 0, storage.size)
    raw = np.frombuffer(part.take(storage.size), np.uint8)
    return raw.reshape(-1, storage.element.size), storage.size


def _read_chunks(storage: Storage) -> tuple[NDArray[Any], int]:
    """Return an array that is stored in chunks."""
    layout, rank, width = storage.layout, len(storage.shape), storage.element.size
    if layout.number(1) != rank + 1:
        raise Refused("has chunks of another number of axes; it is damaged")
    root = layout.number(8)
    chunk = tuple(layout.number(4) for _ in range(rank))
    if 0 in chunk or layout.number(4) != width:
        raise Refused("has chunks that cannot be; it is damaged")
    key_size = 8 + 8 * (rank + 1)
    entries = [] if root == UNDEFINED else list(tree(layout.content, root, 1, key_size))
    packed = [Cursor(layout.content, entry.key, key_size) for entry in entries]
    sizes = [key.number(4) for key in packed]
    stored, unpacked = sum(sizes), math.prod(chunk) * width
    if not storage.filters and storage.size > stored:
        raise Refused(f"claims {storage.size:,} bytes, there are {stored:,}")
    check_unpacked("", max(storage.size, unpacked * len(entries)), stored)
    output = np.zeros((*storage.shape, width), np.uint8)
    for key, entry, size in zip(packed, entries, sizes, strict=True):
        mask, start = key.number(4), tuple(key.number(8) for _ in range(rank))
        if any(s >= n or s % c for s, n, c in zip(start, storage.shape, chunk, strict=True)):
            raise Refused("has a chunk beyond its end; it is damaged")
        raw = Cursor(layout.content, entry.child, size).take(size)
        values = _unpacked(raw, storage.filters, mask, unpacked, width).reshape(*chunk, width)
        kept = tuple(slice(0, n - s) for s, n in zip(start, storage.shape, strict=True))
        part = values[kept]
        place = tuple(slice(s, s + n) for s, n in zip(start, part.shape, strict=False))
        output[place] = part
    return output.reshape(-1, width), stored


def _unpacked(
    raw: bytes, filters: tuple[int, ...], mask: int, size: int, width: int
) -> NDArray[np.uint8]:
    """Return the bytes of a chunk, unpacked to ``size`` of them."""
    for index, code in reversed(list(enumerate(filters))):
        if mask >> index & 1:
            continue
        if code == _DEFLATE:
            try:
                raw = zlib.decompressobj().decompress(raw, size + 1)
            except zlib.error as error:
                raise Refused(f"has a chunk that cannot be unpacked ({error})") from error
        elif len(raw) % width == 0:
            raw = np.frombuffer(raw, np.uint8).reshape(width, -1).T.tobytes()
    if len(raw) != size:
        raise Refused(f"has a chunk of {len(raw):,} bytes in place of {size:,}; it is damaged")
    return np.frombuffer(raw, np.uint8)


def check_unpacked(what: str, claimed: int, stored: int) -> None:
    """Raise unless compressed data may be taken for what it claims to be once unpacked.

    Weights hardly shrink; a file made to fill the memory shrinks a thousandfold.

    Args:
        what: What is packed, with a space after it, for the error.
        claimed: Bytes that it claims.
        stored: Bytes that are there.

    Raises:
        Refused: If ``claimed`` bytes are more than 64 times the ``stored`` ones and 1 MiB.
    """
    if claimed > _MOST_PACKED * stored + _TINY:
        raise Refused(
            f"{what}claims {claimed:,} bytes unpacked from {stored:,} packed ones; weights do not "
            f"shrink so much"
        )
