"""Every op with CUDA kernels can be captured: its graph gives what an eager call gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from cuda_device import backend, evaluate_on_device
from op_case import OpCase
from op_runs import SEED, apply
from test_cuda_emulation import OPS
from test_recording import RECORDED, other_numbers
from voxelgrad import backends
from voxelgrad.backends.graph import GraphRecorder

CAPTURED = [case for case in RECORDED if case.op in OPS]
# The first case of each op; the others take minutes in the emulation.
FIRST = {case.op: case for case in reversed(CAPTURED)}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case is FIRST[case.op] else pytest.mark.long, id=case.name)
        for case in CAPTURED
    ],
)
def test_a_captured_op_equals_the_eager_one(case: OpCase) -> None:
    cuda, rng = backend(), np.random.default_rng(0)
    arrays = case.arrays(np.float32)
    with vg.no_grad():
        shape = apply(case, arrays).shape
    # Weights of classes come from the host.
    stays = [arg is None or arg.kind == "class_weight" for arg in case.args]
    own: list[Any] = [
        array if here else cuda.from_host(array) for array, here in zip(arrays, stays, strict=True)
    ]
    start = cuda.from_host(rng.standard_normal(shape, np.float32))
    recorder = GraphRecorder(cuda)
    for array, here in zip([*own, start], [*stays, False], strict=True):
        if not here:
            recorder.declare(array)

    def run() -> list[vg.Tensor]:
        values = [
            array if arg is None or arg.is_constant else vg.Tensor(array, True)
            for arg, array in zip(case.args, own, strict=True)
        ]
        with backends.record(recorder):
            output = apply(case, values)
            output.backward(start)
        return [output, *(v.grad for v in values if isinstance(v, vg.Tensor))]

    run()
    with recorder.capture():
        results = run()
    arrays, grad = other_numbers(case, arrays), rng.standard_normal(shape, np.float32)
    for mine, array, here in zip([*own, start], [*arrays, grad], [*stays, False], strict=True):
        if not here:
            mine.set(np.asarray(array, order="C"))
    vg.manual_seed(SEED)
    recorder.run(vg.random.next_seed)
    expected = evaluate_on_device(case, arrays, grad)
    assert [r.numpy().tobytes() for r in results] == [e.tobytes() for e in expected]
