"""Every op can be recorded: a plan run on other numbers gives what an eager call makes of them."""

from __future__ import annotations

import subprocess
import sys
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


def test_arrays_get_places_in_a_block_as_large_as_what_lives_at_once() -> None:
    recorder, unit = Recorder(), 1 << 20
    small, large = recorder.zeros((unit,)), recorder.zeros((2 * unit,))
    del small  # leaves a hole that the next one, which is larger, does not fill
    other = recorder.zeros((3 * unit // 2,))
    recorder.broadcast_to(other, large[: other.size], 1.0)
    del large, other
    recorder.lay_out([])
    assert recorder.plan.bytes == 4 * (2 * unit + 3 * unit // 2)


def test_results_move_and_what_else_is_held_stays() -> None:
    recorder, number = Recorder(), np.full((1, 8), 2.0, np.float32)
    recorder.declare(number)
    held, result = recorder.empty((1, 8)), recorder.empty((2, 8))
    recorder.broadcast_to(number, held, 3.0)
    recorder.broadcast_to(held, result, 1.0)
    first, results = result, [number, None, result[1]]
    del result
    recorder.lay_out(results)
    number.fill(5.0)
    recorder.plan.run()
    assert results[0] is number and results[1] is None and results[2].tolist() == [15.0] * 8
    assert held.tolist() == [[15.0] * 8]
    assert first.tolist() == [[6.0] * 8] * 2
    with pytest.raises(ValueError, match="the plan has run, so it records no more"):
        recorder.empty((3,))
    del recorder, first
    assert results[2].tolist() == [15.0] * 8


def test_workspaces_of_a_plan_lie_where_its_arrays_leave_room() -> None:
    recorder = Recorder()
    image, weight = np.ones((8, 30, 30, 256), np.float32), np.ones((256, 3, 3, 256), np.float32)
    for array in (image, weight):
        recorder.declare(array)
    recorder.zeros((1 << 24,))
    output = recorder.empty(image.shape)
    settings = ((1, 1), (1, 1), (1, 1), 1)
    cpu.memory_reset_peak()
    before = cpu.memory_statistics()["in_use"]
    recorder.conv_forward(image, weight, None, output, *settings, 1.0)
    workspace = cpu.memory_statistics()["peak_in_use"] - before
    expected = output.copy()
    results = [output]
    del output
    recorder.lay_out(results)
    cpu.memory_reset_peak()
    before = cpu.memory_statistics()["in_use"]
    recorder.plan.run()
    assert cpu.memory_statistics()["peak_in_use"] - before < workspace / 4
    assert results[0].tobytes() == expected.tobytes()


def test_workspaces_come_from_the_pool_where_a_plan_leaves_no_room() -> None:
    recorder = Recorder()
    image, weight = np.ones((8, 30, 30, 256), np.float32), np.ones((256, 3, 3, 256), np.float32)
    for array in (image, weight):
        recorder.declare(array)
    recorder.conv_forward(
        image, weight, None, recorder.empty(image.shape), (1, 1), (1, 1), (1, 1), 1, 1.0
    )
    recorder.lay_out([])
    cpu.memory_reset_peak()
    before = cpu.memory_statistics()["in_use"]
    recorder.plan.run()
    assert cpu.memory_statistics()["peak_in_use"] - before > weight.nbytes


def test_memory_that_was_cached_makes_room_for_the_block() -> None:
    # In a process of its own, where the pool has no holes yet.
    script = """
from voxelgrad.backends import cpu
from voxelgrad.backends.recording import Recorder
recorder, unit = Recorder(), 1 << 22
first = recorder.zeros((unit,))
wall = cpu.empty((unit,))
second = recorder.zeros((unit,))
recorder.broadcast_to(first, second, 1.0)
del first, second  # two holes with the wall in between
recorder.lay_out([])
after = cpu.memory_statistics()
print((after["in_use"] + after["cached"]) // wall.nbytes)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100
    )
    assert int(run.stdout) == 3
