"""Every op's backward pass against central differences, in float64 on the reference backend."""

from __future__ import annotations

import numpy as np
import pytest

import voxelgrad as vg
from op_case import OpCase
from op_cases import CASES
from op_runs import apply

FULL_SIZE = 160  # up to here every element is moved; above, random directions are


def _is_checked(case: OpCase) -> list[bool]:
    return [arg is not None and not arg.is_constant for arg in case.args]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_match_central_differences(case: OpCase) -> None:
    arrays = case.arrays(np.float64)
    checked = _is_checked(case)
    size = sum(a.size for a, is_checked in zip(arrays, checked, strict=True) if is_checked)
    check = _check_elements if size <= FULL_SIZE else _check_directions
    check(case, arrays, checked)


def _with_constants(case: OpCase, arrays: list, checked: list[bool], tensors: list) -> vg.Tensor:
    """Run ``case`` with ``tensors`` as its differentiable arguments."""
    left = list(tensors)
    values = [
        left.pop(0) if is_checked else None if array is None else array.copy()
        for array, is_checked in zip(arrays, checked, strict=True)
    ]
    return apply(case, values)


def _check_elements(case: OpCase, arrays: list, checked: list[bool]) -> None:
    inputs = [a for a, is_checked in zip(arrays, checked, strict=True) if is_checked]
    assert vg.gradcheck(lambda *t: _with_constants(case, arrays, checked, list(t)), inputs)


def _check_directions(case: OpCase, arrays: list, checked: list[bool]) -> None:
    """Move every input along three random directions: gradients with respect to the three steps."""
    rng = np.random.default_rng(3)
    inputs = [a for a, is_checked in zip(arrays, checked, strict=True) if is_checked]
    directions = [rng.standard_normal((a.size, 3)) for a in inputs]

    def moved(*steps: vg.Tensor) -> vg.Tensor:
        tensors = [
            vg.ops.linear(step, vg.Tensor(direction)).reshape(*array.shape) + vg.Tensor(array)
            for step, direction, array in zip(steps, directions, inputs, strict=True)
        ]
        return _with_constants(case, arrays, checked, tensors)

    assert vg.gradcheck(moved, [np.zeros(3) for _ in inputs])
