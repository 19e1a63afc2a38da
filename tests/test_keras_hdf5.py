"""Our HDF5 reader against h5py: whatever h5py writes by default is read as h5py reads it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="writes HDF5 files")

import h5py

from keras_files import hdf5
from voxelgrad.interop.keras.hdf5 import File, Group, Refused


def arrays_of(group: Group) -> dict[str, np.ndarray]:
    """All arrays below a group, by their whole names."""
    found: dict[str, np.ndarray] = {}
    for item in group.members().values():
        found |= arrays_of(item) if isinstance(item, Group) else {item.name: item.read()}
    return found


def assert_as_h5py(content: bytes, write: Any) -> None:
    """Every array of a file is the one that was written."""
    expected: dict[str, np.ndarray] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            expected[f"/{name}"] = item[()]

    hdf5(lambda file: (write(file), file.visititems(note)))
    found = arrays_of(File(content).root)
    assert sorted(found) == sorted(expected)
    for name, array in found.items():
        assert array.dtype == expected[name].dtype.newbyteorder("=")
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i1", "i8", ">i4", "u2", "u8"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4, 5), (0, 7)])
def test_numbers_of_every_kind_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)

    def write(file: Any) -> None:
        file["a"] = array

    assert_as_h5py(hdf5(write), write)


@pytest.mark.parametrize(
    "packed", [{}, {"compression": "gzip"}, {"shuffle": True}, {"compression": 9, "shuffle": True}]
)
@pytest.mark.parametrize(
    ("shape", "chunks"), [((100,), (7,)), ((20, 31), (6, 31)), ((5, 9, 4, 3), (2, 4, 4, 1))]
)
def test_chunks_with_edges(packed: dict[str, Any], shape: Any, chunks: Any) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def write(file: Any) -> None:
        file.create_dataset("a", data=array, chunks=chunks, **packed)

    assert_as_h5py(hdf5(write), write)


def test_chunks_of_a_deep_tree() -> None:
    array = np.arange(3000.0)

    def write(file: Any) -> None:
        file.create_dataset("a", data=array, chunks=(2,), shuffle=True)

    assert_as_h5py(hdf5(write), write)


def test_a_chunk_that_was_left_unpacked() -> None:
    """A chunk says which of its filters were left out."""

    def write(file: Any) -> None:
        stored = file.create_dataset("a", (8,), np.float32, chunks=(4,), compression="gzip")
        stored.id.write_direct_chunk((0,), np.arange(4, dtype=np.float32).tobytes(), 1)
        stored[4:] = 7

    array = arrays_of(File(hdf5(write)).root)["/a"]
    np.testing.assert_array_equal(array, [0, 1, 2, 3, 7, 7, 7, 7])


def test_many_members_and_deep_groups() -> None:
    def write(file: Any) -> None:
        for number in range(700):
            file[f"many/member {number}"] = np.full(2, number, np.int16)
        file["a/b/c/d/e/f"] = np.ones(3, np.float32)

    assert_as_h5py(hdf5(write), write)


def test_compact_arrays() -> None:
    def write(file: Any) -> None:
        space, settings = h5py.h5s.create_simple((3,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_layout(h5py.h5d.COMPACT)
        stored = h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_FLOAT, space, settings)
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 3], np.float32))

    assert_as_h5py(hdf5(write), write)


@pytest.mark.parametrize("userblock", [0, 512])
def test_a_block_before_the_file_is_refused_like_a_foreign_file(userblock: int) -> None:
    content = hdf5(lambda file: file.create_group("a"), userblock_size=userblock)
    if userblock:
        with pytest.raises(Refused, match="no beginning of an HDF5 file"):
            File(content)
    else:
        assert list(File(content).root.members()) == ["a"]


def test_texts_of_attributes() -> None:
    texts = ["", "a", "Größe", "x" * 1000]

    def write(file: Any) -> None:
        for number, text in enumerate(texts):
            file.attrs[f"free {number}"] = text
            file.attrs[f"fixed {number}"] = np.bytes_(text.encode())
        file.attrs["free"] = texts
        file.attrs["fixed"] = np.array([text.encode() for text in texts], "S")
        file.attrs["number"], file.attrs["none"] = 7, h5py.Empty("f4")
        for number in range(40):
            file.attrs[f"another {number}"] = number

    root = File(hdf5(write)).root
    for number, text in enumerate(texts):
        assert root.text(f"free {number}") == text
        assert root.text(f"fixed {number}") == text
    assert root.texts("free") == root.texts("fixed") == texts
    assert root.text("nowhere") is None and root.texts("nowhere") is None
    assert root.texts("number") == root.texts("none") == []


def test_names_are_sorted_as_people_do() -> None:
    names = ["conv2d", "conv2d_1", "conv2d_2", "conv2d_10", "dense"]
    root = File(hdf5(lambda file: [file.create_group(name) for name in reversed(names)])).root
    assert list(root.members()) == names


def test_the_same_bytes_for_many_arrays_are_refused() -> None:
    """All arrays are laid where the first is, and the file is cut behind it."""
    names = [f"a{number}" for number in range(4)]

    def write(file: Any) -> None:
        for name in names:
            file.create_dataset(name, (4000,), np.float64)
        for name in names:  # headers first, then the numbers
            file[name][:] = 7

    content = bytearray(hdf5(write))
    with h5py.File(io.BytesIO(bytes(content)), "r") as file:
        places = [file[name].id.get_offset() for name in names]
    for place in places[1:]:
        at = content.index(place.to_bytes(8, "little"))
        content[at : at + 8] = places[0].to_bytes(8, "little")
    assert len(arrays_of(File(bytes(content)).root)) == 4
    end = content.index(len(content).to_bytes(8, "little"))
    content[end : end + 8] = places[1].to_bytes(8, "little")
    with pytest.raises(Refused, match=r"'/a1' takes what other arrays take; the file has 3"):
        arrays_of(File(bytes(content[: places[1]])).root)
