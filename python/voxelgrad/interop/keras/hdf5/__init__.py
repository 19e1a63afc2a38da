"""HDF5 files as h5py writes them, read without a library and without trusting them.

It is the oldest format of HDF5, which Keras's files have: groups by trees and heaps, arrays in one
piece or in chunks. Only what lies in the file itself, once, as plain numbers is read: no links but
hard ones, no virtual or external storage, no filters but gzip and shuffle, and no sizes that the
file's bytes do not justify. Nothing here knows Keras.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.dtypes import BFLOAT16
from voxelgrad.interop.keras.hdf5.blocks import (
    LONGEST_NAME,
    UNDEFINED,
    Content,
    Cursor,
    Message,
    Refused,
    heap_name,
    messages,
    root_header,
    text,
    tree,
)
from voxelgrad.interop.keras.hdf5.values import (
    ITSELF,
    Storage,
    check_unpacked,
    read_array,
    read_attribute,
    read_filters,
    read_shape,
    read_type,
)

__all__ = ["SIGNATURE", "Array", "File", "Group", "Refused", "check_unpacked", "natural"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DEEPEST, _MOST_OBJECTS, _MOST_MESSAGES = 64, 1 << 18, 1 << 20
_SHAPE, _TYPE, _LINK, _OUTSIDE, _LAYOUT, _FILTERS, _ATTRIBUTE, _TABLE = (
    0x01, 0x03, 0x06, 0x07, 0x08, 0x0B, 0x0C, 0x11,
)  # fmt: skip
_LINKS_ELSEWHERE = 0x02


class Node:
    """A group or an array: its place in the file, and its attributes.

    Args:
        file: The file.
        name: Its name from the root on.
        address: Where its header is.
        header: The messages of its header.
    """

    def __init__(self, file: File, name: str, address: int, header: list[Message]) -> None:
        self.file, self.name, self.address, self.header = file, name, address, header

    def parts(self, kind: int) -> list[Cursor]:
        """Return the messages of a kind.

        Raises:
            Refused: If one lies elsewhere.
        """
        found = [message for message in self.header if message.kind == kind]
        if any(message.shared for message in found):
            raise Refused(f"{self.name!r} shares a part with others, as Keras's files do not")
        return [Cursor(self.file.content, message.place, message.length) for message in found]

    def text(self, name: str, most: int = LONGEST_NAME) -> str | None:
        """Return an attribute that is one text, None if there is none of that name.

        Args:
            name: The attribute's.
            most: Bytes that the text may have.

        Raises:
            Refused: If it is something else.
        """
        found = self._attribute(name, most)
        if found is not None and len(found) != 1:
            raise Refused(f"attribute {name!r} of {self.name!r} is no single text")
        return found[0] if found else None

    def texts(self, name: str) -> list[str] | None:
        """Return an attribute that is a list of texts, None if there is none of that name.

        It is empty if they are no texts.
        """
        return self._attribute(name, LONGEST_NAME)

    def _attribute(self, name: str, most: int) -> list[str] | None:
        for part in self.parts(_ATTRIBUTE):
            found = read_attribute(part, name, most)
            if found is not None:
                return found
        return None


class Group(Node):
    """A group; ask for its members once."""

    def members(self) -> dict[str, Group | Array]:
        """Return what lies in it, in the natural order of the names.

        Raises:
            Refused: If a member is a link elsewhere, or was met before.
        """
        if self.name.count("/") > _DEEPEST:
            raise Refused(f"its groups lie in each other more than {_DEEPEST} deep")
        addresses: dict[str, int] = {}
        for table in self.parts(_TABLE):
            addresses |= self._listed(table.number(8), table.number(8))
        for link in self.parts(_LINK):
            addresses |= self._linked(link)
        for part in self.parts(_LINKS_ELSEWHERE):
            part.skip(1)
            part.skip(8 if part.number(1) & 1 else 0)
            if part.number(8) != UNDEFINED:
                raise Refused(f"the group {self.name!r} is of a newer format than Keras writes")
        names = sorted(addresses, key=natural)
        return {name: self.file.node(self._path(name), addresses[name]) for name in names}

    def _path(self, name: str) -> str:
        return f"{self.name}/{name}".replace("//", "/")

    def _listed(self, root: int, heap: int) -> dict[str, int]:
        """Return the members that a symbol table lists: name -> address."""
        found: dict[str, int] = {}
        for entry in tree(self.file.content, root, 0, 8):
            part = Cursor(self.file.content, entry.child)
            part.expect(b"SNOD\x01", "list of names")
            part.skip(1)
            for _ in range(part.number(2)):
                name = heap_name(self.file.content, heap, part.number(8))
                address, kind = part.number(8), part.number(4)
                part.skip(20)
                if kind == 2:
                    raise Refused(f"{self._path(name)!r} is a link to another place; {ITSELF}")
                if name in found:
                    raise Refused(f"{self._path(name)!r} is listed twice; it is damaged")
                found[name] = address
                if len(found) > _MOST_OBJECTS:
                    raise Refused(f"the group {self.name!r} has no end; it is damaged")
        return found

    def _linked(self, part: Cursor) -> dict[str, int]:
        """Return the member that a link of the newer format names: name -> address."""
        part.skip(1)
        flags = part.number(1)
        kind = part.number(1) if flags & 8 else 0
        part.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
        name = text(part.take(part.number(1 << (flags & 3))))
        if kind == 0:
            return {name: part.number(8)}
        if kind == 64:
            part.skip(3)
            target = text(part.take(part.left).partition(b"\0")[0])
            raise Refused(f"{self._path(name)!r} is a link to the file {target[:100]!r}; {ITSELF}")
        raise Refused(f"{self._path(name)!r} is a link to another place; {ITSELF}")


class Array(Node):
    """An array."""

    def read(self) -> NDArray[Any]:
        """Return its numbers; bfloat16 where Keras marked it so.

        Raises:
            Refused: If it holds something else, or not in the file, or is larger than the file.
        """
        try:
            return self._read()
        except Refused as error:
            raise Refused(f"{self.name!r} {error}") from error

    def _read(self) -> NDArray[Any]:
        shape = read_shape(self._only(_SHAPE))
        element = read_type(self._only(_TYPE))
        dtype = element.dtype
        if element.is_opaque and element.size == 2 and self.text("dtype") == "bfloat16":
            dtype = BFLOAT16
        if dtype is None:
            raise Refused("holds something else than numbers, which weights are")
        if shape is None:
            raise Refused("has no shape")
        for part in self.parts(_OUTSIDE):
            part.skip(8)
            place = heap_name(self.file.content, part.number(8), part.number(8))
            raise Refused(f"lies in the file {place[:100]!r}; {ITSELF}")
        filters = [code for part in self.parts(_FILTERS) for code in read_filters(part)]
        storage = Storage(element, shape, self._only(_LAYOUT), tuple(filters))
        raw, stored = read_array(storage)
        self.file.claim(stored)
        values = raw.reshape(-1).view(dtype).reshape(shape)
        return np.array(values, dtype.newbyteorder("="))

    def _only(self, kind: int) -> Cursor:
        parts = self.parts(kind)
        if len(parts) != 1:
            raise Refused("is described in an unknown way; the file is damaged")
        return parts[0]


class File:
    """An HDF5 file.

    Args:
        content: Its bytes.

    Attributes:
        root: The group that all else lies in.

    Raises:
        Refused: If it is damaged, or of a newer format.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self._claimed = self._messages = 0
        self._seen: set[int] = set()
        root = self.node("/", root_header(content))
        if not isinstance(root, Group):
            raise Refused("the HDF5 file has no root group; it is damaged")
        self.root: Group = root

    def node(self, name: str, address: int) -> Group | Array:
        """Return the object with a header at an address; each is met once.

        Raises:
            Refused: If it was met before, or is neither group nor array.
        """
        if address in self._seen:
            raise Refused(f"{name!r} is reached by more than one name")
        self._seen.add(address)
        if len(self._seen) > _MOST_OBJECTS:
            raise Refused(f"it has more than {_MOST_OBJECTS:,} groups and arrays")
        header = messages(self.content, address)
        self._messages += len(header)
        if self._messages > _MOST_MESSAGES:
            raise Refused(f"its groups and arrays have more than {_MOST_MESSAGES:,} parts")
        kinds = {message.kind for message in header}
        if _LAYOUT in kinds:
            return Array(self, name, address, header)
        if kinds & {_TABLE, _LINKS_ELSEWHERE}:
            return Group(self, name, address, header)
        raise Refused(f"{name!r} is neither a group nor an array")

    def claim(self, stored: int) -> None:
        """Count what arrays take of the file.

        Raises:
            Refused: If it is more than there is: the same bytes stand for several arrays.
        """
        self._claimed += stored
        if self._claimed > len(self.content):
            raise Refused(f"takes what other arrays take; the file has {len(self.content):,} bytes")


def natural(name: str) -> list[Any]:
    """Return a key that sorts ``conv2d``, ``conv2d_1``, ``conv2d_2``, ``conv2d_10`` so."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(p[:18]), "") if at % 2 else (-1, p) for at, p in enumerate(parts)]
