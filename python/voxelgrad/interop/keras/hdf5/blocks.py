"""The pieces that an HDF5 file is made of: numbers, object headers, heaps, trees.

Everything is little-endian; sizes and addresses take 8 bytes. An address counts from the beginning
of the file. Each read is held against the end of the file, each walk against what was met before,
so a damaged file ends in an error. Source: HDF5 File Format Specification, version 3.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

UNDEFINED = 2**64 - 1
"""The address of what is not there."""

LONGEST_NAME = 1024
"""Bytes that a name may have."""

_MOST_MESSAGES = 1 << 16
_MOST_NODES = 1 << 18
Content = bytes | mmap


class Refused(ValueError):
    """What is wrong with a file; whoever knows the file's name adds it."""


class Cursor:
    """Reads one thing after the other from a part of the file.

    Args:
        content: The file.
        place: Where to begin.
        length: How many bytes belong to the part; None goes on to the end of the file.
    """

    def __init__(self, content: Content, place: int = 0, length: int | None = None) -> None:
        end = len(content) if length is None else place + length
        if not 0 <= place <= end <= len(content):
            raise Refused(
                f"a part at byte {place:,} lies beyond its end; it is truncated or damaged"
            )
        self.content, self.place, self.end = content, place, end

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        start = self.place
        self.skip(count)
        return self.content[start : self.place]

    def skip(self, count: int) -> None:
        """Leave bytes out."""
        if count > self.end - self.place:
            raise Refused(
                f"it is truncated or damaged (the part before byte {self.end:,} is short)"
            )
        self.place += count

    def number(self, size: int) -> int:
        """Return the next bytes as a number from 0 on."""
        return int.from_bytes(self.take(size), "little")

    def expect(self, signature: bytes, what: str) -> None:
        """Read a signature.

        Raises:
            Refused: If it is another.
        """
        if self.take(len(signature)) != signature:
            raise Refused(
                f"there is no {what} at byte {self.place - len(signature):,}; it is damaged"
            )

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self.end - self.place


class Message(NamedTuple):
    """A part of an object's header: what it is, whether it only refers to one elsewhere, where."""

    kind: int
    shared: bool
    place: int
    length: int


def root_header(content: Content) -> int:
    """Return the address of the root group's header, from the file's first block.

    Raises:
        Refused: If it was not written in the oldest format, which h5py writes unless told not to.
    """
    start = Cursor(content)
    start.expect(b"\x89HDF\r\n\x1a\n", "beginning of an HDF5 file")
    version = start.number(1)
    if version > 1:
        raise Refused(
            f"the HDF5 file has a superblock of version {version}; files as Keras writes them have "
            f"0 or 1: save it with Keras again"
        )
    start.skip(4)
    if start.take(2) != b"\x08\x08":
        raise Refused("the HDF5 file has addresses that do not take 8 bytes")
    start.skip(9 + 4 * version)
    base = start.number(8)
    start.skip(8)
    end = start.number(8)
    start.skip(8 + 8)
    if end > len(content):
        raise Refused(f"it is truncated: it has {len(content):,} of {end:,} bytes")
    if base:
        raise Refused("the HDF5 file begins inside another one")
    return start.number(8)


def messages(content: Content, address: int) -> list[Message]:
    """Return the messages of an object's header.

    Raises:
        Refused: If it is of another format or damaged.
    """
    header = Cursor(content, address)
    if header.take(1) != b"\x01":
        raise Refused(
            f"the object at byte {address:,} is of a newer format than Keras writes, or damaged"
        )
    header.skip(7)
    length = header.number(4)
    header.skip(4)
    parts, found = [(header.place, length)], []
    for place, size in parts:  # grows while it is walked
        part = Cursor(content, place, size)
        while part.left >= 8:
            kind, count, flags = part.number(2), part.number(2), part.number(1)
            part.skip(3)
            found.append(Message(kind, bool(flags & 2), part.place, count))
            part.skip(count)
            if kind == 0x10:
                below = Cursor(content, found[-1].place, count)
                parts.append((below.number(8), below.number(8)))
            if len(found) > _MOST_MESSAGES or len(parts) > _MOST_MESSAGES:
                raise Refused(f"the object at byte {address:,} has a header without an end")
    return found


class TreeEntry(NamedTuple):
    """What a leaf of a tree holds: the place of its key, and an address."""

    key: int
    child: int


def tree(content: Content, address: int, kind: int, key_size: int) -> Iterator[TreeEntry]:
    """Yield the entries of all leaves of a tree (version 1), in order.

    Args:
        content: The file.
        address: The root's.
        kind: 0 for a group's, 1 for the chunks of an array.
        key_size: Bytes of a key.

    Raises:
        Refused: If it is damaged: levels must fall by one towards the leaves.
    """
    waiting: list[tuple[int, int | None]] = [(address, None)]
    count = 0
    while waiting:
        place, wanted = waiting.pop()
        count += 1
        node = Cursor(content, place)
        node.expect(b"TREE" + bytes([kind]), "node of a tree")
        level, entries = node.number(1), node.number(2)
        node.skip(16)
        if count > _MOST_NODES or (wanted is not None and level != wanted):
            raise Refused(f"the tree at byte {address:,} has no end or wrong levels; it is damaged")
        below = []
        for _ in range(entries):
            key = node.place
            node.skip(key_size)
            below.append(TreeEntry(key, node.number(8)))
        if level == 0:
            yield from below
        else:
            waiting += [(entry.child, level - 1) for entry in reversed(below)]


def heap_name(content: Content, heap: int, offset: int) -> str:
    """Return a name from a group's heap.

    Raises:
        Refused: If it does not lie there.
    """
    head = Cursor(content, heap)
    head.expect(b"HEAP", "heap of names")
    head.skip(4)
    size = head.number(8)
    head.skip(8)
    part = Cursor(content, head.number(8), size)
    part.skip(offset)
    end = content.find(b"\0", part.place, min(part.end, part.place + LONGEST_NAME))
    if end < 0:
        raise Refused(f"a name at byte {part.place:,} is longer than {LONGEST_NAME:,} bytes")
    return text(part.take(end - part.place))


def heap_object(content: Content, address: int, index: int) -> bytes:
    """Return an object of a global heap, in which texts of free length lie.

    Raises:
        Refused: If it is not there.
    """
    head = Cursor(content, address)
    head.expect(b"GCOL\x01", "heap of texts")
    head.skip(3)
    size = head.number(8)
    part = Cursor(content, address, size)
    part.skip(16)
    while part.left >= 16:
        number = part.number(2)
        part.skip(6)
        length = part.number(8)
        if number == index:
            return part.take(length)
        if number == 0:
            break
        part.skip(-(-length // 8) * 8)
    raise Refused(f"the heap of texts at byte {address:,} has no object {index}; it is damaged")


def text(raw: bytes) -> str:
    """Return bytes as text.

    Raises:
        Refused: If they are not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"a name or text in it is not UTF-8 ({error})") from error
