"""Write the sound files of the corpus (a script): ``python tests/make_corpus.py``.

The same bytes come out each time with the same versions of the packages. Files ``found-*`` stay.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import onnx
import safetensors.numpy
import torch
from onnx import TensorProto, external_data_helper, helper
from PIL import Image

import keras_files
import voxelgrad as vg
from damage import in_safetensors, in_zip
from file_kinds import KINDS, small_learner
from onnx_files import make_model
from torch_files import GOOD, archive
from voxelgrad.cli.segmentation import Settings
from voxelgrad.train import write_checkpoint

RNG = np.random.default_rng(7)
VOLUME = RNG.integers(0, 900, (4, 3, 5)).astype(np.int16)
MASK = (VOLUME > 450).astype(np.uint8)


def _models() -> Iterator[bytes]:
    vg.manual_seed(0)
    yield _saved(vg.models.UNet(1, 2, features=(2, 3)), {"class_names": ["background", "tumour"]})
    yield _saved(vg.models.UNet(2, 2, spatial_dims=3, features=(1, 2), norm="instance"))
    yield _saved(vg.models.CNN(1, 2, features=(2,), dropout=0.5))
    yield _saved(vg.models.MLP(6, 2, hidden=(3,)))


def _saved(model: Any, metadata: dict[str, Any] | None = None) -> bytes:
    return _written(".safetensors", lambda path: vg.save(path, model, metadata))


def _imported() -> Iterator[bytes]:
    for content in _networks():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.onnx")
            path.write_bytes(content)
            yield _saved(vg.interop.onnx.load(path))


def _checkpoints() -> Iterator[bytes]:
    tree = {"step": 3, "rate": float("inf"), "weights": {"w": np.ones((2, 3), np.float32)}}
    yield _written("", lambda path: write_checkpoint(path, {**tree, "list": [1, np.arange(3)]}))


def _trainings() -> Iterator[bytes]:
    learner = small_learner()
    learner.fit(1)
    learner.history[-1]["seconds"] = 0.5  # the clock's word would differ each time
    yield _written("", lambda path: write_checkpoint(path, learner.state()))


def _npy(*arrays: Any) -> Iterator[bytes]:
    for array in arrays:
        yield _numpy(array)


def _numpy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npz() -> Iterator[bytes]:
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, image=VOLUME)
        # Written again without the time of day.
        yield in_zip(stream.getvalue(), RNG, lambda content: content)


def _nifti(data: Any, packed: bool) -> Iterator[bytes]:
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        image = kind(data, np.diag([1.5, 1.5, 4.0, 1.0]))
        image.header.set_slope_inter(2, 1)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a word"))
        content = image.to_bytes()
        yield gzip.compress(content, mtime=0) if packed else content


def _png(*pictures: Image.Image, **options: Any) -> Iterator[bytes]:
    for picture in pictures:
        stream = io.BytesIO()
        picture.save(stream, "png", **options)
        yield stream.getvalue()


def _pictures() -> Iterator[bytes]:
    grey = np.random.default_rng(1).integers(0, 255, (6, 5), dtype=np.uint8)
    colours = np.random.default_rng(2).integers(0, 255, (4, 4, 4), dtype=np.uint8)
    yield from _png(Image.fromarray(grey), Image.fromarray(colours[..., :3]))
    yield from _png(Image.fromarray(colours), Image.fromarray(grey.astype(np.uint16) * 200))


def _masks() -> Iterator[bytes]:
    mask = (np.arange(30).reshape(5, 6) // 9).astype(np.uint8)
    palette = Image.fromarray(mask).convert("P")
    yield from _png(Image.fromarray(mask), palette, Image.fromarray(mask > 1))


def _json(value: Any) -> Iterator[bytes]:
    yield json.dumps(value, indent=1).encode()


def _cases() -> Iterator[bytes]:
    conv = {"op": "conv", "batch": 1, "channels": 4, "size": [8, 8], "filters": 8, "kernel": 3}
    pool = {"op": "max_pool", "batch": 2, "channels": 4, "size": [8, 8]}
    yield from _json({"about": "two", "cases": [{**conv, "padding": 1}, pool]})


def _torch() -> Iterator[bytes]:
    yield in_zip(archive(GOOD), RNG, lambda content: content)
    weights = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2, np.float16)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.pt")
        torch.save({"state_dict": {k: torch.from_numpy(v) for k, v in weights.items()}}, path)
        yield in_zip(path.read_bytes(), RNG, lambda content: content)


def _tables() -> Iterator[bytes]:
    arrays = {"w": np.ones((2, 3), np.float32), "n": np.arange(4)}
    yield safetensors.numpy.save(arrays, metadata={"format": "pt"})


def _keras_layers() -> dict[str, list[Any]]:
    kernel, bias = np.ones((3, 3, 1, 2), np.float32), np.zeros(2, np.float32)
    return {"layers/conv2d": [kernel, bias], "layers/dense": [np.eye(2, dtype=np.float32)]}


def _keras() -> Iterator[bytes]:
    conv = keras_files.layer("Conv2D", "conv2d", filters=2, kernel_size=[3, 3])
    config = keras_files.sequential(conv, keras_files.layer("Dense", "dense", units=2))
    for packed in (False, True):
        content = keras_files.zipped(config, keras_files.numbered(_keras_layers()), packed)
        yield in_zip(content, RNG, lambda member: member)


def _keras_weights() -> Iterator[bytes]:
    layers = _keras_layers()
    yield keras_files.numbered(layers, {"layers/conv2d": "first"})

    def write(file: Any) -> None:
        settings = {"compression": "gzip", "shuffle": True, "chunks": (2, 2, 1, 2)}
        file.create_dataset("layers/conv2d/vars/0", data=layers["layers/conv2d"][0], **settings)

    yield keras_files.hdf5(write)


def _keras_networks() -> Iterator[bytes]:
    config, groups = keras_files.small_network()
    for packed in (False, True):
        content = keras_files.zipped(config, keras_files.numbered(groups), packed)
        yield in_zip(content, RNG, lambda content: content)


def _keras_models() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.h5")
        path.write_bytes(keras_files.small_named())
        yield _saved(vg.interop.keras.load(path))


def _keras_h5() -> Iterator[bytes]:
    kernel, bias = _keras_layers()["layers/conv2d"]
    arrays = {"conv": {"conv/kernel:0": kernel, "conv/bias:0": bias}}
    yield keras_files.named(arrays, keras_files.sequential(keras_files.layer("Conv2D", "conv")))


def _networks() -> Iterator[bytes]:
    """Networks from images (1, 1, 8, 8) on: one of ours, and one of many operators."""
    vg.manual_seed(2)
    model = vg.models.CNN(1, 2, features=(2, 3))
    yield _written(".onnx", lambda path: vg.interop.onnx.export(model, path, (1, 8, 8, 1)))
    yield _many_operators().SerializeToString()


def _many_operators() -> Any:
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["a", "b", "b", "b", "v"], ["c"]),
        node("LeakyRelu", ["c"], ["d"], alpha=0.1),
        node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("Resize", ["e", "", "s"], ["f"], mode="nearest"),
        node("ConvTranspose", ["f", "t"], ["g"], strides=[2, 2]),
        node("Pad", ["g", "p"], ["h"], mode="reflect"),
        node("Slice", ["h", "i", "j"], ["k"]),
        node("Constant", [], ["q"], value=helper.make_tensor("q", TensorProto.INT64, [2], [1, -1])),
        node("Reshape", ["k", "q"], ["l"]),
        node("ReduceMean", ["l"], ["m"], axes=[1], keepdims=1),
        node("Clip", ["m"], ["y"]),
    ]
    weights = {
        "w": np.linspace(-1, 1, 18, dtype=np.float32).reshape(2, 1, 3, 3),
        "b": np.ones(2, np.float32),
        "v": np.ones(2, np.float32),
        "s": np.array([1, 1, 2, 2], np.float32),
        "t": np.ones((2, 2, 2, 2), np.float32),
        "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "i": np.array([0, 0, 1, 1]),
        "j": np.array([1, 2, 9, 9]),
    }
    return make_model(nodes, [1, 1, 8, 8], weights)


def _external() -> tuple[bytes, bytes]:
    """A network and the file of its weights."""
    with tempfile.TemporaryDirectory() as folder:
        model = _many_operators()
        external_data_helper.convert_model_to_external_data(
            model, location="weights.bin", size_threshold=0
        )
        onnx.save(model, Path(folder, "network.onnx"))
        return Path(folder, "network.onnx").read_bytes(), Path(folder, "weights.bin").read_bytes()


def _written(ending: str, write: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{ending}")
        write(path)
        return path.read_bytes()


def _in_order(header: bytes) -> bytes:
    """Return the header with its metadata in order; the library writes them in any."""
    entries = json.loads(header)
    metadata = dict(sorted(entries.pop("__metadata__").items()))
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":"))
    return text.encode().ljust(len(header))


def main() -> None:
    """Write all of them."""
    network, weights = _external()
    metadata = {"standardise": {"per": "image", "clip": [0.5, 99], "foreground": True}}
    floats = VOLUME.astype(np.float32) / 7
    makers: dict[str, Iterator[bytes]] = {
        "model": _models(),
        "imported-model": _imported(),
        "model-scaling": iter([_saved(vg.models.MLP(2, 1, hidden=()), metadata)]),
        "checkpoint": _checkpoints(),
        "resumed-training": _trainings(),
        "npy": _npy(VOLUME, np.asfortranarray(floats[None])),
        "npy-mask": _npy(MASK, MASK.astype(bool)),
        "npz": _npz(),
        "nifti": _nifti(floats, packed=False),
        "nifti-gz": _nifti(VOLUME, packed=True),
        "nifti-mask": _nifti(MASK[..., :1], packed=True),
        "png": _pictures(),
        "png-mask": _masks(),
        "split": _json({"seed": 0, "train": ["a", "b"], "held_out": ["c"]}),
        "settings": _json({**asdict(Settings()), "held_out": 5}),
        "bench-cases": _cases(),
        "torch": _torch(),
        "torch-safetensors": _tables(),
        "keras": _keras(),
        "keras-weights": _keras_weights(),
        "keras-h5": _keras_h5(),
        "keras-network": _keras_networks(),
        "keras-network-h5": iter([keras_files.small_named()]),
        "imported-keras": _keras_models(),
        "onnx": _networks(),
        "onnx-external": iter([network]),
        "onnx-data": iter([weights]),
    }
    for kind in KINDS:
        if kind.files:
            continue
        folder = kind.folder
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(makers[kind.name], 1):
            if kind.ending == ".safetensors":
                content = in_safetensors(content, RNG, _in_order)
            (folder / f"sound-{number}{kind.ending}").write_bytes(content)


if __name__ == "__main__":
    main()
