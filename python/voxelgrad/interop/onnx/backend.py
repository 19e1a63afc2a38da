"""The interface of ONNX's standard test runner: ``onnx.backend.test.BackendTest(backend, ...)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.backend.base import Backend, BackendRep

from voxelgrad import grad_mode
from voxelgrad.interop.onnx import training
from voxelgrad.interop.onnx.layout import Value
from voxelgrad.interop.onnx.model import OnnxModel
from voxelgrad.interop.onnx.reader import read_model
from voxelgrad.tensor import Tensor


class _Prepared(BackendRep):
    """A graph that takes and returns numpy arrays in ONNX's order."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    @grad_mode.no_grad()
    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the outputs."""
        arrays = [np.asarray(item) for item in inputs]
        values = [Value(Tensor(a) if a.dtype.kind == "f" else a) for a in arrays]
        return tuple(value.array() for value in self.model.run(values))


class VoxelgradBackend(Backend):
    """Runs ONNX models on voxelgrad's kernels, on the CPU."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """Return the model ready to run."""
        super().prepare(model, device, **kwargs)
        if training.is_training(model):
            return training.PreparedStep(model)
        graph, arrays = read_model(model)
        imported = OnnxModel(graph.as_json())
        imported.set_arrays(arrays)
        imported.eval()
        return _Prepared(imported)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether there is such a device: "CPU" is."""
        return device == "CPU"


prepare = VoxelgradBackend.prepare
run_model = VoxelgradBackend.run_model
supports_device = VoxelgradBackend.supports_device
