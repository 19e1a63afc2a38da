"""The CUDA backend of the tests: on a real device if VOXELGRAD_TEST_CUDA=1, else emulated."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from op_case import OpCase
from op_runs import apply
from voxelgrad import backends
from voxelgrad.backends.cuda import CudaBackend, connect

IS_REAL = os.environ.get("VOXELGRAD_TEST_CUDA") == "1"

if IS_REAL:
    _backend = connect()
else:
    pytest.importorskip(
        "cuda_emulation._cuda_emulation",
        reason="the emulated module is not built: configure with -DVOXELGRAD_CUDA_EMULATION=ON",
    )
    from cuda_emulation import _cuda_emulation, fake_cupy

    _backend = CudaBackend(_cuda_emulation, fake_cupy)


def backend() -> CudaBackend:
    """Return the backend, and make it the one that arrays of the device run on."""
    backends._loaded["cuda"] = _backend
    return _backend


def evaluate_on_device(
    case: OpCase, arrays: list[np.ndarray | None], grad: np.ndarray
) -> list[np.ndarray]:
    """Return the output of ``case`` and the gradients of its differentiable arguments."""
    cuda = backend()
    values: list[Any] = []
    for arg, array in zip(case.args, arrays, strict=True):
        moved = None if array is None else cuda.from_host(array)
        values.append(moved if arg is None or arg.is_constant else vg.Tensor(moved, True))
    output = apply(case, values)
    output.backward(cuda.from_host(grad))
    grads = [v.grad.numpy() for v in values if isinstance(v, vg.Tensor)]
    return [output.numpy(), *grads]
