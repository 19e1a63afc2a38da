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
