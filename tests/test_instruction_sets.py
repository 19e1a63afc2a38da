"""Every op on every instruction set that this machine has, not only on the best one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bounds import bounds_of
from comparison import assert_within
from instruction_sets import VECTOR
from op_case import OpCase
from op_cases import CASES
from op_runs import problem_of, run_native
from voxelgrad.backends import cpu


@pytest.fixture(params=VECTOR)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    before = cpu.isa_name()
    cpu.set_isa(request.param)
    yield request.param
    cpu.set_isa(before)


def test_the_baseline_is_always_there() -> None:
    assert "baseline" in cpu.isa_names()
    assert cpu.isa_name() in cpu.isa_names()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results_are_within_the_rounding_bound(case: OpCase, instruction_set: str) -> None:
    assert cpu.isa_name() == instruction_set
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    assert_within(run_native(case, problem), problem.expected, bounds)
