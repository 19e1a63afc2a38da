"""Files as Keras writes them, by hand: the three formats, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Arrays = dict[str, np.ndarray]


def hdf5(write: Callable[[h5py.File], Any], **settings: Any) -> bytes:
    """The bytes of an HDF5 file that ``write`` fills."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", **settings) as file:
        write(file)
    return stream.getvalue()


def numbered(layers: dict[str, list[np.ndarray]], names: dict[str, str] | None = None) -> bytes:
    """``.weights.h5``: group, such as ``"layers/conv2d_1"``, -> arrays, and its own name."""

    def write(file: h5py.File) -> None:
        for group, arrays in layers.items():
            place = file.create_group(f"{group}/vars")
            if names and group in names:
                place.attrs["name"] = names[group]
            for number, array in enumerate(arrays):
                place[str(number)] = array

    return hdf5(write)


def named(layers: dict[str, Arrays], config: Any = None, whole: bool = False) -> bytes:
    """Older ``.h5``: layer -> name of an array, such as ``"conv/kernel:0"`` -> array."""

    def write(file: h5py.File) -> None:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        place = file.create_group("model_weights") if whole or config is not None else file
        place.attrs["layer_names"] = [name.encode() for name in layers]
        place.attrs["keras_version"] = b"2.15.0"
        for layer, arrays in layers.items():
            group = place.create_group(layer)
            group.attrs["weight_names"] = np.array([name.encode() for name in arrays], "S")
            for name, array in arrays.items():
                group[name] = array

    return hdf5(write)


def zipped(config: Any, weights: bytes, packed: bool = False) -> bytes:
    """``.keras``: description and weights in a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if packed else 0) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        text = config if isinstance(config, str) else json.dumps(config)
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", weights)
    return stream.getvalue()


def layer(kind: str, name: str, **settings: Any) -> dict[str, Any]:
    """A layer's entry in a description, as Keras 3 has it."""
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **settings},
        "registered_name": None,
    }


def sequential(*layers: dict[str, Any], name: str = "sequential") -> dict[str, Any]:
    """The description of a Sequential."""
    entry = layer("Sequential", name, layers=list(layers))
    return {**entry, "module": "keras"}


def entry(*shape: int | None, name: str = "in") -> dict[str, Any]:
    """An input's entry."""
    return layer("InputLayer", name, batch_shape=[None, *shape])


DENSE = layer("Dense", "dense", units=3, use_bias=False)


def tensor(ref: str) -> dict[str, Any]:
    """A reference to a layer's output, as Keras 3 has it."""
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [ref, 0, 0]}}


def node(*refs: str, **kwargs: Any) -> list[Any]:
    """The connections of a layer that is applied once."""
    given: Any = tensor(refs[0]) if len(refs) == 1 else [tensor(ref) for ref in refs]
    return [{"args": [given], "kwargs": kwargs}]


def functional(layers: list[Any], inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    """The description of a Functional."""
    settings = {"layers": layers, "input_layers": inputs, "output_layers": outputs}
    return layer("Functional", "network", **settings)


def small(*more: dict[str, Any], output: str = "dense") -> dict[str, Any]:
    """A network of a dense layer, and what a test adds."""
    dense = {**DENSE, "inbound_nodes": node("in")}
    return functional([entry(3), dense, *more], [["in", 0, 0]], [[output, 0, 0]])


def small_network() -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """A Functional from images (8, 8, 1) on, and its arrays in the numbered format."""
    rng = np.random.default_rng(3)

    def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
        return [rng.uniform(0.1, 1, shape).astype(np.float32) for shape in shapes]

    def joined(kind: str, name: str, *refs: str, **settings: Any) -> dict[str, Any]:
        return {**layer(kind, name, **settings), "inbound_nodes": node(*refs)}

    head = sequential(
        entry(None, None, 3, name="pixels"),
        layer("GlobalAveragePooling2D", "mean"),
        layer("Dense", "classes", units=2, activation="softmax"),
        name="head",
    )
    window = {"kernel_size": [3, 3], "strides": [2, 2], "padding": "same"}
    layers = [
        entry(8, 8, 1),
        joined("Conv2D", "conv", "in", filters=2, activation="relu", **window),
        joined("BatchNormalization", "norm", "conv", axis=-1, epsilon=0.001),
        joined("LeakyReLU", "leaky", "norm", negative_slope=0.1),
        joined("Conv2DTranspose", "up", "leaky", filters=2, use_bias=False, **window),
        joined("Concatenate", "both", "in", "up", axis=-1),
        {**head, "inbound_nodes": node("both")},
    ]
    groups = {
        "layers/conv2d": arrays((3, 3, 1, 2), (2,)),
        "layers/batch_normalization": arrays((2,), (2,), (2,), (2,)),
        "layers/conv2d_transpose": arrays((3, 3, 2, 2)),
        "layers/sequential/layers/dense": arrays((3, 2), (2,)),
    }
    return functional(layers, [["in", 0, 0]], [["head", 0, 0]]), groups


def small_named() -> bytes:
    """The same network in the older format, some of it packed in chunks."""
    config, groups = small_network()
    names = {
        "conv": ("kernel", "bias"),
        "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
        "up": ("kernel",),
        "head": ("classes/kernel", "classes/bias"),
    }

    def write(file: h5py.File) -> None:
        file.attrs["model_config"] = json.dumps(config)
        place = file.create_group("model_weights")
        place.attrs["layer_names"] = list(names)
        for (layer_name, listed), arrays in zip(names.items(), groups.values(), strict=True):
            for name, array in zip(listed, arrays, strict=True):
                packed = {"compression": "gzip", "shuffle": True} if array.ndim == 4 else {}
                target = f"{layer_name}/{layer_name}/{name}:0"
                place.create_dataset(target, data=array, **packed)

    return hdf5(write)
