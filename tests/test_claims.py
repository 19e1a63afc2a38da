"""A file that claims more than it can hold is refused before the memory is taken."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import voxelgrad as vg
from file_kinds import small_learner
from voxelgrad.data import readers
from voxelgrad.nn import init
from voxelgrad.serialization import read_arrays, write_arrays
from voxelgrad.train import read_checkpoint

SIDE = 30_000  # two axes of it are 900 MB of bytes
MOST = 16 << 20  # bytes that refusing may take


def _npy(version: int = 1) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (SIDE, SIDE)}
    write = (np.lib.format.write_array_header_1_0, np.lib.format.write_array_header_2_0)
    write[version - 1](stream, header)
    return stream.getvalue() + bytes(100)


def _npz() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", _npy())
    return stream.getvalue()


def _nifti() -> bytes:
    nibabel = pytest.importorskip("nibabel")
    content = bytearray(nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)).to_bytes())
    content[42:46] = struct.pack("<hh", SIDE, SIDE)
    return bytes(content)


def _png() -> bytes:
    pytest.importorskip("PIL")

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(12_001)))
    return b"\x89PNG\r\n\x1a\n" + size + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.npy", _npy),
        ("b.npy", lambda: _npy(2)),
        ("a.npz", _npz),
        ("a.nii", _nifti),
        ("a.nii.gz", lambda: gzip.compress(_nifti())),
        ("a.png", _png),
    ],
)
def test_an_image_of_impossible_size_takes_no_memory(
    tmp_path: Path, name: str, make: Callable[[], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"{name}: .* needs [0-9,]+ bytes"):
            readers.read_image(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_a_file_full_of_zeros_is_read_though_it_is_packed_a_thousandfold(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    zeros = np.zeros((128, 128, 64), np.uint8)
    nibabel.save(nibabel.Nifti1Image(zeros, np.eye(4)), tmp_path / "zeros.nii.gz")
    np.savez_compressed(tmp_path / "zeros.npz", zeros)
    image_module = pytest.importorskip("PIL.Image")
    image_module.fromarray(zeros.reshape(1024, 1024)).save(tmp_path / "zeros.png")
    for name, size in (("zeros.nii.gz", 1 << 20), ("zeros.npz", 1 << 20), ("zeros.png", 1 << 20)):
        assert readers.read_image(tmp_path / name).data.size == size


@pytest.mark.parametrize(
    "change",
    [{"features": [2, 100_000]}, {"in_channels": 10**9}, {"out_channels": 10**12}],
)
def test_a_model_file_builds_no_larger_network_than_it_holds(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "model.safetensors"
    vg.save(path, vg.models.UNet(1, 2, features=(2, 3)))
    arrays, description = read_arrays(path, "model")
    description["arguments"].update(change)
    write_arrays(path, "model", arrays, description)
    with pytest.raises(ValueError, match=r"model\.safetensors: .* numbers left for it"):
        vg.load(path)


def test_the_limit_counts_all_layers_together_and_ends_with_its_block() -> None:
    with init.limited_elements(40):
        vg.nn.Linear(4, 4)
        with pytest.raises(ValueError, match="20 numbers left"):
            vg.nn.Linear(4, 6)
        vg.nn.BatchNorm(5)
        with pytest.raises(ValueError, match="0 numbers left"):
            vg.nn.PReLU()
    vg.nn.Linear(40, 60)


@pytest.mark.parametrize(
    "wrong", [{"__array__": "nowhere", "shape": [1]}, {"__number__": "many"}, {"__array__": []}]
)
def test_a_checkpoint_whose_description_is_damaged_is_one_error(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    path = tmp_path / "last.ckpt.safetensors"
    write_arrays(path, "checkpoint", {"w": np.ones(3, np.float32)}, {"weights": {"w": wrong}})
    with pytest.raises(ValueError, match=r"last\.ckpt\.safetensors: its description"):
        read_checkpoint(path)


@pytest.mark.parametrize("part", ["optimizer", "schedule", "random", "position", "history"])
def test_a_checkpoint_that_fits_in_part_changes_nothing(tmp_path: Path, part: str) -> None:
    learner = small_learner()
    learner.fit(1)
    path = tmp_path / "last.ckpt.safetensors"
    vg.train.write_checkpoint(path, {**learner.state(), part: 3})
    fresh = small_learner()
    before = json.dumps(fresh.state(), default=str)
    with pytest.raises(ValueError, match=r"last\.ckpt\.safetensors does not fit"):
        fresh.restore(path)
    assert json.dumps(fresh.state(), default=str) == before
