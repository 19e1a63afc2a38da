"""Ways to damage a file: at random on its bytes, or inside its containers with the sums put right.

A checksum or a length that does not fit is found at once; to test what lies behind, a container is
opened, its content damaged, and the container closed again around it.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from voxelgrad.serialization import read_arrays, write_arrays

Rng = np.random.Generator
Change = Callable[[bytes], bytes]

NUMBERS = (0, -1, 1, 2, 3, 7, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63, 10**30)
TEXTS = (b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"0.5", b"1" * 5000, b"[" * 5000, b"null")
JSON_VALUES = (*NUMBERS, 0.5, float("nan"), float("inf"), None, True, "", "x", [], {}, [[]], [1e9])


def damaged(whole: bytes, other: bytes, rng: Rng) -> bytes:
    """Return a copy with one to four pieces of damage; ``other`` is a file to take parts from."""
    data = whole
    for _ in range(int(rng.integers(1, 5))):
        if data:
            data = _pick(_WAYS, rng)(data, other, rng)
    return data


def _pick(choices: Any, rng: Rng) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _place(data: bytes, rng: Rng) -> int:
    """Return a place, every other time near the beginning, where headers are."""
    most = min(len(data), 400) if rng.random() < 0.5 else len(data)
    return int(rng.integers(most))


def _flip(data: bytes, _: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def _overwrite(data: bytes, _: bytes, rng: Rng) -> bytes:
    at, length = _place(data, rng), int(rng.integers(1, 9))
    return data[:at] + rng.bytes(length) + data[at + length :]


def _remove(data: bytes, _: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 33)) :]


def _repeat(data: bytes, _: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at : at + int(rng.integers(1, 33))] * 2 + data[at:]


def _truncate(data: bytes, _: bytes, rng: Rng) -> bytes:
    return data[: _place(data, rng)]


def _splice(data: bytes, other: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + other[at if rng.random() < 0.5 else int(rng.integers(len(other) + 1)) :]


def _inflate(data: bytes, _: bytes, rng: Rng) -> bytes:
    """Write another number over 2, 4 or 8 bytes, as a length or size."""
    at, size = _place(data, rng), int(_pick((2, 4, 8), rng))
    number = _pick(NUMBERS, rng) % 2 ** (8 * size)
    return data[:at] + number.to_bytes(size, _pick(("little", "big"), rng)) + data[at + size :]


def _renumber(data: bytes, _: bytes, rng: Rng) -> bytes:
    """Replace a number that is written as text."""
    found = list(re.finditer(rb"\d+(?:\.\d+)?", data[:100_000]))
    if not found:
        return data
    match = _pick(found, rng)
    new = _pick(TEXTS, rng) if rng.random() < 0.5 else str(_pick(NUMBERS, rng)).encode()
    return data[: match.start()] + new + data[match.end() :]


_WAYS = (_flip, _overwrite, _remove, _repeat, _truncate, _splice, _inflate, _inflate, _renumber)


def in_gzip(data: bytes, rng: Rng, change: Change) -> bytes:
    """Change what a gzip file holds; its checksum and length fit again."""
    return gzip.compress(change(gzip.decompress(data)), int(rng.integers(0, 10)), mtime=0)


def in_zipped_json(data: bytes, rng: Rng, _: Change) -> bytes:
    """Change a value of a JSON member of a zip file; it is JSON again."""
    return in_zip(data, rng, lambda content: in_json(content, rng, _), ".json")


def in_zip(data: bytes, rng: Rng, change: Change, ending: str = "") -> bytes:
    """Change the content of one member of a zip file; its checksum and lengths fit again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    targets = [at for at, (entry, _) in enumerate(members) if entry.filename.endswith(ending)]
    target = int(_pick(targets, rng))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index, (entry, content) in enumerate(members):
            content = change(content) if index == target else content
            # A new entry has the year 1980 in place of the time of day.
            archive.writestr(zipfile.ZipInfo(entry.filename), content, entry.compress_type)
    return file.getvalue()


def in_png(data: bytes, rng: Rng, change: Change) -> bytes:
    """Change one chunk of a PNG file, pixels before they were compressed; checksums fit again."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    target = int(rng.integers(len(chunks)))
    kind, content = chunks[target]
    packed = kind == b"IDAT"
    content = zlib.compress(change(zlib.decompress(content))) if packed else change(content)
    chunks[target] = (kind, content)
    return data[:8] + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def in_safetensors(data: bytes, _: Rng, change: Change) -> bytes:
    """Change the JSON at the beginning of a safetensors file; its length fits again."""
    (length,) = struct.unpack("<Q", data[:8])
    header = change(data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def in_tensor_list(data: bytes, rng: Rng, _: Change) -> bytes:
    """Change a name, dtype, shape or place in the list of a safetensors file; it is JSON again."""
    return in_safetensors(data, rng, lambda header: in_json(header, rng, _))


def in_json(data: bytes, rng: Rng, _: Change) -> bytes:
    """Change a value of a JSON file; it is JSON again."""
    return json.dumps(_changed_tree(json.loads(data), rng)).encode()


def in_description(data: bytes, rng: Rng, _: Change) -> bytes:
    """Change the description or an array of a file of voxelgrad; its checksum fits again."""
    kind = "model" if b"voxelgrad-model" in data else "checkpoint"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        arrays, description = read_arrays(path, kind)
        if rng.random() < 0.8:
            description = _changed_tree(description, rng)
        else:
            arrays = _changed_arrays(arrays, rng)
        with contextlib.suppress(ValueError):  # no description holds NaN or infinity
            write_arrays(path, kind, arrays, description)
        return path.read_bytes()


def in_protobuf(data: bytes, rng: Rng, _: Change) -> bytes:
    """Change one field of a protobuf message, at any depth; all lengths around it fit again."""
    fields = _fields(data)
    if not fields:
        return bytes(rng.bytes(4))
    index = int(rng.integers(len(fields)))
    key, value = fields[index]
    if isinstance(value, bytes):
        inner = _fields(value) if rng.random() < 0.9 else None
        value = in_protobuf(value, rng, _) if inner else _overwrite(value or b"0", b"", rng)
    else:
        value = _pick(NUMBERS, rng) % 2 ** (8 * _FIXED[key & 7] if key & 7 in _FIXED else 64)
    match int(rng.integers(8)):
        case 0:
            del fields[index]
        case 1:
            fields.insert(index, _pick(fields, rng))
        case _:
            fields[index] = (key, value)
    return b"".join(_field(key, value) for key, value in fields)


_FIXED = {1: 8, 5: 4}  # wire types of fixed size, in bytes; 0 is a varint, 2 has a length


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return key and value of each field; nothing if the bytes are no message."""
    fields: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            fields.append((key, value))
            continue
        length = _FIXED.get(key & 7)
        if key & 7 == 2:
            length, at = _varint(data, at)
        if length is None or not key >> 3 or at + length > len(data):
            return []
        part = data[at : at + length]
        fields.append((key, part if key & 7 == 2 else int.from_bytes(part, "little")))
        at += length
    return fields


def _field(key: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return _as_varint(key) + _as_varint(len(value)) + value
    if key & 7 in _FIXED:
        return _as_varint(key) + value.to_bytes(_FIXED[key & 7], "little")
    return _as_varint(key) + _as_varint(value)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            break
    return value, at


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _changed_tree(tree: Any, rng: Rng) -> Any:
    """Return a copy of a JSON tree with one value replaced, removed, renamed or put elsewhere."""
    tree = json.loads(json.dumps(tree))
    places = list(_places(tree))
    if not places:
        return _pick(JSON_VALUES, rng)
    parent, key = _pick(places, rng)
    match int(rng.integers(8)):
        case 0:
            del parent[key]
        case 1:
            other, name = _pick(places, rng)
            parent[key] = json.loads(json.dumps(other[name]))
        case 2 if isinstance(parent, dict):
            parent[str(_pick(JSON_VALUES, rng))] = parent.pop(key)
        case 3:
            parent[key] = [parent[key]] * int(rng.integers(0, 40))
        case _:
            parent[key] = _pick(JSON_VALUES, rng)
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _changed_arrays(arrays: dict[str, Any], rng: Rng) -> dict[str, Any]:
    """Return the arrays with one left out, renamed, or of another shape, dtype or value."""
    arrays = dict(arrays)
    name = _pick(sorted(arrays), rng)
    array = arrays.pop(name)
    match int(rng.integers(6)):
        case 0:
            arrays[name + "x"] = array
        case 1:
            arrays[name] = array[None]
        case 2:
            arrays[name] = array.reshape(-1)[: int(rng.integers(array.size + 1))]
        case 3:
            arrays[name] = array.astype(_pick(("f8", "f2", "i8", "?"), rng))
        case 4:
            arrays[name] = np.full(array.shape, np.nan, np.float32)
    return arrays
