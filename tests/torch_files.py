"""Files as torch.save writes them, made by hand from the opcodes of a pickle."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np

ONES = np.ones(6, "<f4").tobytes()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(number(value) for value in values) + b"t"


def storage(count: int = 6, kind: bytes = b"torch\nFloatStorage\n", key: str = "0") -> bytes:
    return b"(" + text("storage") + b"c" + kind + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
    offset: int = 0,
    stored: bytes = b"",
) -> bytes:
    """The pickle of one tensor, as torch.save writes it."""
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    view = number(offset) + numbers(*shape) + numbers(*strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + (stored or storage()) + view + hooks + b"tR"


def state(value: bytes) -> bytes:
    return b"\x80\x02}" + text("w") + value + b"s."


def call(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n".encode() + text(argument) + b"\x85R"


def archive(program: bytes, entries: dict[str, bytes] | None = None, packed: bool = False) -> bytes:
    content = {"x/data.pkl": program, "x/data/0": ONES, **(entries or {})}
    file = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as target:
        for name, data in content.items():
            target.writestr(name, data)
    return file.getvalue()


GOOD = state(tensor())
