"""MaxPool with positions as onnxruntime gives them, for every way to lay the windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="writes ONNX files, and onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="compares with onnxruntime")

import voxelgrad as vg  # noqa: E402 - needs onnx
from onnx_files import first, last  # noqa: E402
from voxelgrad.interop.onnx.backend import VoxelgradBackend  # noqa: E402

SETTINGS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((9, 8), {"kernel_shape": [3, 2]}),
    "dilation": ((11, 9), {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [2, 1]}),
    "ceil mode": ((10, 9), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "uneven pads": ((7, 6), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 0]}),
    "all of them": (
        (12, 9),
        {
            "kernel_shape": [3, 2],
            "strides": [2, 3],
            "dilations": [2, 2],
            "pads": [1, 0, 2, 1],
            "ceil_mode": 1,
        },
    ),
    "same, lower": (
        (7, 9),
        {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "columns first": ((7, 6), {"kernel_shape": [2, 2], "storage_order": 1, "pads": [1, 0, 0, 1]}),
    "1D": ((13,), {"kernel_shape": [3], "dilations": [3], "pads": [2, 0], "ceil_mode": 1}),
    "3D": (
        (6, 5, 7),
        {"kernel_shape": [2, 3, 2], "strides": [2, 1, 3], "pads": [1, 0, 0, 0, 1, 1]},
    ),
}


def pooling(shape: tuple[int, ...], settings: dict[str, Any], kind: int) -> Any:
    """Return a model of one MaxPool that gives out maxima and positions."""
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MaxPool", ["x"], ["y", "places"], **settings)],
        "g",
        [make("x", kind, shape)],
        [
            make("y", kind, [None] * len(shape)),
            make("places", onnx.TensorProto.INT64, [None] * len(shape)),
        ],
    )
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


@pytest.mark.parametrize("name", SETTINGS)
def test_maxima_and_positions_are_those_of_onnxruntime(name: str) -> None:
    """On small whole numbers, so that windows hold the same maximum more than once."""
    size, settings = SETTINGS[name]
    x = np.random.default_rng(0).integers(-4, 4, (2, 3, *size)).astype(np.float32)
    model = pooling(x.shape, settings, onnx.TensorProto.FLOAT)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected, places = session.run(None, {"x": x})
    found, positions = VoxelgradBackend.prepare(model).run([x])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(positions, places)


@pytest.mark.parametrize("dtype", ("uint8", "int8"))
def test_small_integers_are_pooled_exactly(dtype: str) -> None:
    limits = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(limits.min, limits.max, (1, 2, 6, 6)).astype(dtype)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    found, _ = VoxelgradBackend.prepare(pooling(x.shape, {"kernel_shape": [2, 2]}, kind)).run([x])
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, windows.max(axis=(4, 5)))


def test_maxima_with_positions_have_a_gradient(tmp_path: Path) -> None:
    path = tmp_path / "pool.onnx"
    settings = {"kernel_shape": [2, 2], "dilations": [2, 2], "ceil_mode": 1}
    path.write_bytes(pooling((1, 1, 5, 5), settings, onnx.TensorProto.FLOAT).SerializeToString())
    x = np.random.default_rng(1).permutation(25).reshape(1, 1, 5, 5).astype(np.float32)
    image = vg.Tensor(last(x), requires_grad=True)
    maxima, places = vg.interop.onnx.load(path)(image)
    maxima.sum().backward()
    counts = np.bincount(places.ravel(), minlength=25).reshape(x.shape)
    assert image.grad is not None
    np.testing.assert_array_equal(first(image.grad.numpy()), counts)
