"""Every op can be recorded: a plan run on other numbers gives what an eager call makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from op_case import OpCase
from op_cases import CASES
from op_runs import SEED, apply, evaluate
from voxelgrad import backends
from voxelgrad.backends import cpu
from voxelgrad.backends.recording import Recorder

# One of each op and setting: what is recorded does not depend on the extents.
_of_kind = {(c.op, str(c.params), tuple(a and a.kind for a in c.args)): c for c in CASES}
RECORDED = sorted(_of_kind.values(), key=lambda case: case.name)


def other_numbers(case: OpCase, arrays: list[Any]) -> list[Any]:
    """Return other arrays of the same kinds; weights of classes are settings and stay."""
    other = replace(case, params={**case.params, "other": True}).arrays(np.float32)
    kinds = [arg and arg.kind for arg in case.args]
    return [a if k == "class_weight" else b for k, a, b in zip(kinds, arrays, other, strict=True)]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_a_recorded_op_equals_the_eager_one(case: OpCase) -> None:
    arrays = case.arrays(np.float32)
    with vg.no_grad():
        shape = apply(case, arrays).shape
    rng = np.random.default_rng(0)
    grad = rng.standard_normal(shape, np.float32)
    recorder = Recorder()
    own = [None if array is None else array.copy() for array in arrays]
    start = grad.copy()
    for array in (*own, start):
        if array is not None:
            recorder.declare(array)
    values = [
        array if array is None or arg.is_constant else vg.Tensor(array, True)
        for arg, array in zip(case.args, own, strict=True)
    ]
    with backends.record(recorder):
        output = apply(case, values)
        output.backward(start)
    results = [output, *(v.grad for v in values if isinstance(v, vg.Tensor))]

    arrays = other_numbers(case, arrays)
    grad = rng.standard_normal(shape, np.float32)
    for mine, array in zip((*own, start), (*arrays, grad), strict=True):
        if mine is not None:
            mine[...] = array
    vg.manual_seed(SEED)
    for calls in recorder.seeds.values():
        seed = vg.random.next_seed()
        for call in calls:
            recorder.plan.set(call, 3, seed)
    recorder.plan.run()
    expected = evaluate(case, "cpu", arrays, grad)
    assert [r.numpy().tobytes() for r in results] == [e.tobytes() for e in expected]


def test_what_nobody_wrote_is_refused() -> None:
    recorder, array = Recorder(), np.ones(4, np.float32)
    with pytest.raises(ValueError, match="activation_forward reads an array that no recorded"):
        recorder.activation_forward("relu", array, recorder.empty((4,)), 0.0)
    with pytest.raises(ValueError, match="activation_forward reads an array that no recorded"):
        recorder.activation_forward("relu", recorder.empty((4,)), recorder.empty((4,)), 0.0)
    recorder.declare(array)
    with pytest.raises(ValueError, match="writes an array that is neither"):
        recorder.activation_forward("relu", array, np.empty(4, np.float32), 0.0)
    assert len(recorder.plan) == 0


def test_memory_that_was_let_go_counts_as_unwritten() -> None:
    recorder = Recorder()
    first = recorder.zeros((1000,))
    address = first.ctypes.data
    del first
    second = recorder.empty((1000,))
    assert second.ctypes.data == address
    with pytest.raises(ValueError, match="no recorded call has written"):
        recorder.broadcast_to(second, recorder.empty((1000,)), 1.0)


def test_results_are_refused() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="'squared_norm' gives its result to Python"):
        recorder.squared_norm([recorder.zeros((3,))])


def test_arguments_that_do_not_fit_are_refused() -> None:
    recorder = Recorder()
    with pytest.raises(TypeError, match="arguments of fill do not fit"):
        recorder.fill(recorder.empty((3,), np.float64), 0.0)
    number = recorder.call("fill", recorder.empty((3,)), 0.0)
    with pytest.raises(ValueError, match="has no argument 1"):
        recorder.plan.set(number, 1, "seven")


def test_arrays_outlive_the_plan_and_memory_returns_with_the_last() -> None:
    before = cpu.memory_statistics()["in_use"]
    recorder = Recorder()
    array = recorder.zeros((1 << 16,))
    recorder.fill(array, 3.0)
    del recorder
    assert (array == 3.0).all()
    assert cpu.memory_statistics()["in_use"] >= before + array.nbytes
    del array
    assert cpu.memory_statistics()["in_use"] == before
