"""``.keras`` files: a zip of the network's description and of an HDF5 file with its weights."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

from voxelgrad.files import one_line, open_bounded
from voxelgrad.interop.keras.hdf5 import check_unpacked

_CONFIG, _WEIGHTS, _SHARDS = "config.json", "model.weights.h5", "model.weights.json"


def read_archive(path: Path) -> tuple[bytes, bytes]:
    """Return the description (JSON) and the weights (HDF5) of a ``.keras`` file.

    Raises:
        ValueError: If it is damaged, no file of Keras, or claims more than it can hold.
    """
    try:
        with open_bounded(path) as file, zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if _SHARDS in entries:
                raise ValueError("its weights are spread over several files; save them in one")
            lacking = [name for name in (_CONFIG, _WEIGHTS) if name not in entries]
            if lacking:
                raise ValueError(f"the zip archive has no {lacking[0]}: Keras did not write it")
            for name in (_CONFIG, _WEIGHTS):
                size, packed = entries[name].file_size, entries[name].compress_size
                if packed > file.length:
                    raise ValueError(
                        f"{name} claims {packed:,} bytes, the file has {file.length:,}"
                    )
                check_unpacked(f"{name} ", size, packed)
            return archive.read(_CONFIG), archive.read(_WEIGHTS)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, zlib.error) as error:
        raise ValueError(f"the zip archive is truncated or damaged ({one_line(error)})") from error
    except (OSError, struct.error, OverflowError) as error:
        raise ValueError(f"the zip archive cannot be read ({one_line(error)})") from error
