"""What the header of an image file claims, held against what the file can hold.

Parsers make an array of the claimed size before they read its first byte; a few damaged bytes would
take all memory.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.files import DEFLATE_MOST, BoundedFile, open_bounded

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@contextmanager
def open_png(path: str | os.PathLike[str]) -> Iterator[BoundedFile]:
    """Open a PNG file whose pixels could be compressed into its length.

    Source: PNG specification (third edition), sections 5.2 and 11.2.1.

    Raises:
        ValueError: If they could not, or the file does not begin as a PNG file does.
    """
    with open_bounded(path) as file:
        beginning = file.read(26)
        if len(beginning) < 26 or not beginning.startswith(_PNG_SIGNATURE):
            raise ValueError("it does not begin as a PNG file does")
        width, height, depth, colour = struct.unpack(">IIBB", beginning[16:])
        if colour not in _PNG_CHANNELS:
            raise ValueError(f"colour type {colour} does not exist")
        row = -(-width * depth * _PNG_CHANNELS[colour] // 8)
        _check(f"{width} x {height} pixels", row * height, DEFLATE_MOST * file.length)
        file.seek(0)
        yield file


@contextmanager
def open_nifti(path: str | os.PathLike[str], nibabel: Any) -> Iterator[Any]:
    """Open a NIfTI file and give nibabel's image, whose header is read and whose data is not yet.

    Args:
        path: The file, gzipped if it ends in ``.gz``.
        nibabel: The imported package.

    Raises:
        ValueError: If the header claims more data than the file can hold.
    """
    packed = os.fspath(path).lower().endswith(".gz")
    with _unpacked(path) if packed else open_bounded(path) as file:
        size = struct.pack("<i", 540), struct.pack(">i", 540)
        kind = nibabel.Nifti2Image if file.peek(4)[:4] in size else nibabel.Nifti1Image
        holder = nibabel.FileHolder(fileobj=file)
        # The file number of a gzipped file is that of the compressed bytes: they cannot be mapped.
        image = kind.from_file_map({"image": holder}, mmap=not packed)
        data = image.dataobj
        needed = data.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
        _check(f"shape {image.shape}", needed, file.length)
        yield image


def read_numpy(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return the array of a ``.npy`` file under the name "", or those of a ``.npz`` file.

    Raises:
        ValueError: If it claims more data than the file can hold.
    """
    with open_bounded(path) as file:
        if not file.peek(2).startswith(b"PK"):
            return {"": _read_npy(file, file.length)}
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            most = DEFLATE_MOST * file.length
            _check("the archive", sum(entry.file_size for entry in entries), most)
            return {entry.filename: _read_entry(archive, entry) for entry in entries}


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as file:
        return _read_npy(file, entry.file_size)


def _read_npy(file: Any, length: int) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    read_header = _NPY_HEADERS.get(version)
    if read_header is None:
        raise ValueError(f"its format version {version} is not read; 1.0 and 2.0 are")
    shape, _, dtype = read_header(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} has a negative length")
    _check(f"shape {shape}", file.tell() + math.prod(shape) * dtype.itemsize, length)
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


@contextmanager
def _unpacked(path: str | os.PathLike[str]) -> Iterator[BoundedFile]:
    most = DEFLATE_MOST * os.path.getsize(path)
    with gzip.open(path, "rb") as plain, BoundedFile(plain, most) as file:
        yield file


def _check(what: str, needed: int, most: int) -> None:
    if needed > most:
        raise ValueError(f"{what} needs {needed:,} bytes, the file can hold {most:,}")
