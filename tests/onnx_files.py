"""Small ONNX files for tests: built node by node, and run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def first(array: np.ndarray) -> np.ndarray:
    """Channels last to channels first, from three axes on."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if array.ndim > 2 else array


def last(array: np.ndarray) -> np.ndarray:
    """Channels first to channels last, from three axes on."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if array.ndim > 2 else array


def make_model(
    nodes: list[Any],
    shape: list[Any],
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
    output_rank: int = 2,
) -> onnx.ModelProto:
    """Return a model from "x" of ``shape`` (channels first) to "y"."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * output_rank)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write_model(path: Path, *args: Any, **kwargs: Any) -> Path:
    """Write a model of ``make_model`` and return its path."""
    path.write_bytes(make_model(*args, **kwargs).SerializeToString())
    return path


def run_onnxruntime(path: Path, image: np.ndarray) -> np.ndarray:
    """Return what onnxruntime makes of a channels-last image, channels last."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return last(session.run(None, {name: first(image)})[0])
