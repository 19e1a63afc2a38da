"""Bitwise the same from run to run and for any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import voxelgrad as vg
from op_case import OpCase
from op_cases import LARGE_CASES
from op_runs import apply, evaluate
from voxelgrad.backends import cpu


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = cpu.num_threads()
    yield
    vg.set_num_threads(before)


def _results(case: OpCase, threads: int) -> list[bytes]:
    vg.set_num_threads(threads)
    arrays = case.arrays(np.float32)
    with vg.no_grad():
        shape = apply(case, arrays).shape
    grad = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    return [result.tobytes() for result in evaluate(case, "cpu", arrays, grad)]


@pytest.mark.parametrize("case", LARGE_CASES, ids=lambda case: case.name)
def test_threads_and_runs_do_not_change_a_bit(case: OpCase) -> None:
    serial = _results(case, 1)
    assert _results(case, 2) == serial
    assert _results(case, 2) == serial
    assert _results(case, 5) == serial


def _optimizer_results(threads: int) -> list[bytes | float]:
    """Return what one step of each optimizer and the norm make of arrays of uneven sizes."""
    vg.set_num_threads(threads)
    rng = np.random.default_rng(6)
    sizes = (3, 70_001, 33, 150_000)
    params, grads, first, second = (
        [rng.random(size, np.float32) for size in sizes] for _ in range(4)
    )
    norm = cpu.squared_norm(grads)
    cpu.sgd_step(params, grads, first, 0.1, 0.9, True, 0.01)
    cpu.adam_step(params, grads, first, second, 0.01, 0.9, 0.999, 1e-8, 0.01, True, 3)
    return [norm, *(array.tobytes() for array in (*params, *first, *second))]


def test_threads_do_not_change_a_bit_of_an_optimizer_step() -> None:
    serial = _optimizer_results(1)
    assert _optimizer_results(2) == serial
    assert _optimizer_results(3) == serial
