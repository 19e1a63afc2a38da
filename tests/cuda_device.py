"""The CUDA backend of the tests: on a real device if VOXELGRAD_TEST_CUDA=1, else emulated.

VOXELGRAD_TEST_CUDA_POOL=0 does without cupy's pool: every array is an allocation of its own, and
compute-sanitizer sees what is read or written beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
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
    if os.environ.get("VOXELGRAD_TEST_CUDA_POOL") == "0":
        import_module("cupy").cuda.set_allocator(None)
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


@contextmanager
def products_by(name: str) -> Iterator[None]:
    """Multiply bfloat16 on tensor cores by the kernel of this name, where the device has it.

    The emulated device becomes one of compute capability 9.0 for "wgmma".
    """
    cuda = backend()
    if not IS_REAL:
        _cuda_emulation.become_hopper(name == "wgmma")
    elif name == "wgmma" and cuda._cupy.cuda.Device().compute_capability != "90":
        pytest.skip("the device has no warpgroups")
    cuda.force_products(name)
    try:
        yield
    finally:
        cuda.force_products("")
        if not IS_REAL:
            _cuda_emulation.become_hopper(False)


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


def channels_in_eights(case: OpCase) -> bool:
    """Return whether a convolution's channels come in eights on both sides, in every group."""
    weight = case.args[1]
    assert weight is not None
    outputs, *_, inputs = weight.shape
    return outputs // case.params.get("groups", 1) % 8 == 0 and inputs % 8 == 0
