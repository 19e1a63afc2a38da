"""Malicious, damaged and foreign files of Keras: one ValueError that says why."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn

pytest.importorskip("h5py", reason="writes HDF5 files")

import h5py

from keras_files import hdf5, layer, named, numbered, sequential, zipped

load_weights = vg.interop.keras.load_weights
KERNEL = np.ones((3, 2), np.float32)
PLACE = "layers/dense/vars"
GOOD = numbered({"layers/dense": [KERNEL]})
CONFIG = sequential(layer("Dense", "dense", units=2))


def dense(write: Callable[[Any], Any]) -> bytes:
    """A file whose only layer has what ``write`` puts into its group."""
    return hdf5(lambda file: write(file.create_group(PLACE)))


def virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
    group.create_virtual_dataset("0", layout)


def outside(group: Any) -> None:
    group.create_dataset("0", (3, 2), np.float32, external=[("/etc/passwd", 0, 24)])


def soft(group: Any) -> None:
    group["0"] = h5py.SoftLink("/elsewhere")


def external(group: Any) -> None:
    group["0"] = h5py.ExternalLink("other.h5", "/x")


def twice(group: Any) -> None:
    group["0"] = KERNEL
    group["1"] = group["0"]


def loop(group: Any) -> None:
    group["again"] = group
    group["0"] = KERNEL


def deep(group: Any) -> None:
    group.file.create_group("layers/a/" + "layers/a/" * 40)


def crowded(file: Any) -> None:
    """An external link makes the group a newer one, and many members a dense one."""
    file["layers/x"] = h5py.ExternalLink("other.h5", "/x")
    for number in range(20):
        file.create_group(f"layers/{number}")


def bomb(group: Any) -> None:
    group.create_dataset("0", (1 << 24,), np.float32, compression="gzip", chunks=(1 << 20,))
    group["0"][:] = 0


def zeros(shape: Any, **settings: Any) -> Callable[[Any], None]:
    return lambda group: group.create_dataset("0", shape, np.float32, **settings)


# name: (bytes of a .weights.h5 file, what the error says)
REFUSED: dict[str, tuple[bytes, str]] = {
    "external link": (
        dense(external),
        r"'/layers/dense/vars/0' is a link to the file 'other\.h5'; only what lies in the file",
    ),
    "soft link": (dense(soft), "'/layers/dense/vars/0' is a link to another place"),
    "virtual": (dense(virtual), "'/layers/dense/vars/0' is a virtual array over other files"),
    "external storage": (dense(outside), r"'/layers/dense/vars/0' lies in the file '/etc/passwd'"),
    "two names": (dense(twice), "'/layers/dense/vars/1' is reached by more than one name"),
    "loop": (dense(loop), "reached by more than one name"),
    "deep": (dense(deep), "more than 64 deep"),
    "never written": (dense(zeros((1 << 40,))), "claims 4,398,046,511,104 bytes, there are 0"),
    "bomb": (dense(bomb), r"claims 67,108,864 bytes unpacked from \d+,?\d+ packed ones"),
    "lzf": (
        dense(lambda g: g.create_dataset("0", data=KERNEL, compression="lzf")),
        "packed with the filter lzf; read are gzip and shuffle",
    ),
    "checksum": (
        dense(lambda g: g.create_dataset("0", data=KERNEL, fletcher32=True)),
        "packed with the filter fletcher32",
    ),
    "texts": (
        dense(lambda g: g.create_dataset("0", data=np.array([b"a"]))),
        "holds something else than numbers, which weights are",
    ),
    "objects": (
        dense(lambda g: g.create_dataset("0", data=["a"], dtype=h5py.string_dtype())),
        "something else than numbers",
    ),
    "pairs": (
        dense(lambda g: g.create_dataset("0", data=np.zeros(2, [("a", "f4")]))),
        "something else than numbers",
    ),
    "null": (dense(lambda g: g.create_dataset("0", data=h5py.Empty("f4"))), "has no shape"),
    "group": (dense(lambda g: g.create_group("0")), "something else where its arrays must be"),
    "datatype": (
        dense(lambda g: g.file.__setitem__("layers/t", np.dtype("f4"))),
        "neither a group nor an array",
    ),
    "name of a number": (
        hdf5(lambda f: f.create_group(PLACE).attrs.__setitem__("name", 7)),
        "attribute 'name' of '/layers/dense/vars' is no single text",
    ),
    "same name": (
        numbered(
            {"layers/dense": [KERNEL], "layers/dense_1": [KERNEL]},
            {"layers/dense": "a", "layers/dense_1": "a"},
        ),
        "two layers are called 'a'",
    ),
    "no weights": (numbered({"layers/dense": []}), "it holds no weights"),
    "another program's": (hdf5(lambda f: f.create_dataset("x", data=KERNEL)), "as Keras writes"),
    "no JSON": (
        hdf5(lambda f: f.attrs.__setitem__("model_config", "{")),
        "the network's description is no JSON ",
    ),
    "deep JSON": (
        hdf5(lambda f: f.attrs.__setitem__("model_config", "[" * 60_000)),
        "description is no JSON",
    ),
    "a list": (hdf5(lambda f: f.attrs.__setitem__("model_config", "[1]")), "no JSON object"),
    "truncated": (GOOD[: len(GOOD) * 2 // 3], r"it is truncated: it has [\d,]+ of [\d,]+ bytes"),
    "signature": (GOOD[:8] + bytes(500), "has addresses that do not take 8 bytes"),
    "newer format": (
        hdf5(lambda f: f.create_dataset("layers/dense/vars/0", data=KERNEL), libver="latest"),
        "superblock of version 3; files as Keras writes them have 0 or 1: save it with Keras",
    ),
    "newer group": (
        hdf5(crowded),
        "the group '/layers' is of a newer format than Keras writes",
    ),
    "newer object": (
        hdf5(lambda f: f.create_group("layers", track_order=True)),
        "the object at byte 800 is of a newer format than Keras writes, or damaged",
    ),
    "long name": (hdf5(lambda f: f.create_group("n" * 2000)), "longer than 1,024 bytes"),
    "long text": (
        hdf5(lambda f: f.create_group(PLACE).attrs.__setitem__("name", "n" * 2000)),
        "a text in it has 2,000 bytes; it may have 1,024",
    ),
    "half the addresses": (GOOD[:13] + b"\x04" + GOOD[14:], "addresses that do not take 8 bytes"),
    "empty": (b"", r"neither an HDF5 file \(\.h5, \.weights\.h5\) nor a zip file \(\.keras\)"),
    "foreign": (b"GIF89a", "neither an HDF5 file"),
    "zip": (b"PK\x03\x04" + bytes(99), r"the zip archive is truncated or damaged \("),
}


def zip_of(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


REFUSED |= {
    "packed bomb": (
        zipped(CONFIG, bytes(1 << 26), packed=True),
        r"model\.weights\.h5 claims 67,108,864 bytes unpacked from",
    ),
    "no config": (zip_of({"model.weights.h5": GOOD}), r"has no config\.json: Keras did not"),
    "torch's": (zip_of({"x/data.pkl": b""}), r"has no config\.json"),
    "shards": (
        zip_of({"config.json": b"{}", "model.weights.json": b"{}"}),
        "spread over several files",
    ),
    "zip in zip": (zipped(CONFIG, zipped(CONFIG, GOOD)), "no beginning of an HDF5 file at byte 0"),
    "broken config": (zipped('{"a": ', GOOD), "no JSON"),
    "not text": (
        zip_of({"config.json": b"\xff\xfe", "model.weights.h5": GOOD}),
        "cannot read .*x: .*utf-8",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(nn.Sequential(nn.Linear(3, 2, bias=False)), path)
    assert str(caught.value).startswith(f"cannot read {path}: ")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.keras: No such file.*check the path"):
        load_weights(nn.Linear(3, 2), tmp_path / "nowhere.keras")


def test_packed_arrays_of_honest_size_are_read(tmp_path: Path) -> None:
    model, kernel = nn.Sequential(nn.Linear(300, 20, bias=False)), np.arange(6000.0)
    kernel = np.random.default_rng(0).permutation(kernel).reshape(300, 20)
    file = dense(lambda g: g.create_dataset("0", data=kernel, compression="gzip", shuffle=True))
    (tmp_path / "x").write_bytes(zipped(CONFIG, file, packed=True))
    load_weights(model, tmp_path / "x")
    np.testing.assert_array_equal(model.state_dict()["0.weight"], kernel.T)


def test_layers_come_in_the_order_that_a_list_of_texts_says(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        file.attrs["layer_names"] = ["b", "a"]
        for factor, name in enumerate("ab"):
            file[f"{name}/{name}/kernel:0"] = factor * KERNEL

    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False))
    (tmp_path / "x").write_bytes(hdf5(write))
    load_weights(model, tmp_path / "x")
    np.testing.assert_array_equal(model.state_dict()["0.weight"], KERNEL.T)
    np.testing.assert_array_equal(model.state_dict()["1.weight"], 0 * KERNEL.T)


@pytest.mark.parametrize("kind", [".keras", ".h5", ".weights.h5"])
def test_a_cut_file_gives_an_error_or_arrays_and_takes_no_memory(kind: str, tmp_path: Path) -> None:
    whole = {
        ".keras": zipped(CONFIG, GOOD),
        ".h5": named({"dense": {"dense/kernel:0": KERNEL}}, CONFIG),
        ".weights.h5": GOOD,
    }[kind]
    path, model = tmp_path / "x", nn.Sequential(nn.Linear(3, 2, bias=False))
    tracemalloc.start()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"^cannot read "):
            load_weights(model, path)
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()
