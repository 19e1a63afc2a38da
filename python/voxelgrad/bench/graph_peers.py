"""Inference by ONNX Runtime and OpenVINO, on the ONNX export of PyTorch's twin."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from voxelgrad.bench.networks import Network

# Exporting in a process of its own keeps PyTorch out of the peak memory of the peer.
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_EXPORT = """\
import sys, torch
from voxelgrad.bench.torch_networks import build
name, path, *shape = sys.argv[1:]
example = torch.zeros([int(extent) for extent in shape])
torch.onnx.export(build(name).eval(), (example,), path, dynamo=False)
"""


def prepare_model(
    network: Network, mode: str, settings: Mapping[str, Any]
) -> dict[str, Callable[[], object]]:
    """Return an inference of ``network``.

    Args:
        network: Which one.
        mode: inference.
        settings: ``library``, ``threads`` and ``dtype``.

    Raises:
        ValueError: If ``mode`` is training, the library has not the format, or the export fails.
    """
    dtype = settings.get("dtype", "float32")
    if dtype == "bfloat16" and settings["library"] == "onnxruntime":
        raise ValueError("onnxruntime computes in float32 on CPUs")
    if mode == "training":
        raise ValueError(f"{settings['library']} has no training")
    image = np.ascontiguousarray(np.moveaxis(network.batch()[0], -1, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        arguments = [network.name, path, *map(str, image.shape)]
        done = subprocess.run(
            [sys.executable, "-c", _EXPORT, *arguments], capture_output=True, text=True
        )
        if done.returncode:
            raise ValueError(f"export to ONNX failed: {done.stderr.strip().splitlines()[-1]}")
        if settings["library"] == "onnxruntime":
            return {mode: _onnxruntime(path, image, settings["threads"])}
        return {mode: _openvino(path, image, settings["threads"], _HINTS[dtype])}


def _onnxruntime(path: str, image: Any, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: image}
    return lambda: session.run(None, inputs)


def _openvino(path: str, image: Any, threads: int, precision: str) -> Callable[[], object]:
    import openvino

    # Without the hint it computes in bfloat16 where the processor can.
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    return lambda: request.infer([image])
