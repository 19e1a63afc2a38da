"""Sums over windows that overlap, in images so large that they are cut into parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import voxelgrad as vg
from bounds import bounds_of
from comparison import assert_within
from op_case import Arg, OpCase
from op_runs import problem_of, run_native
from voxelgrad.backends import cpu

LINEAR = {"mode": "linear", "align_corners": False}
POOL = {"kernel_size": 3, "stride": 2, "padding": 1}
# Channels: blocks of four, two and one vectors of each instruction set, and some left over.
IMAGE, VOLUME = (1, 41, 67, 117), (1, 19, 11, 23, 52)


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    before = cpu.num_threads()
    yield
    vg.set_num_threads(before)


def window_cases() -> list[OpCase]:
    return [
        OpCase("interpolate", (Arg(IMAGE),), {**LINEAR, "scale_factor": 2}, "interpolate", 16),
        OpCase("interpolate", (Arg(IMAGE),), {**LINEAR, "size": (58, 90)}, "interpolate", 16),
        OpCase(
            "interpolate",
            (Arg(IMAGE),),
            {"mode": "linear", "size": (83, 100), "align_corners": True},
            "interpolate",
            16,
        ),
        OpCase("interpolate", (Arg(VOLUME),), {**LINEAR, "scale_factor": 2}, "interpolate", 64),
        OpCase("interpolate", (Arg(VOLUME),), {**LINEAR, "size": (9, 30, 31)}, "interpolate", 64),
        OpCase("avg_pool2d", (Arg((1, 123, 141, 40)),), POOL, terms=9),
        OpCase("avg_pool3d", (Arg((1, 37, 21, 43, 20)),), POOL, terms=27),
        OpCase("adaptive_avg_pool2d", (Arg(IMAGE),), {"output_size": (26, 40)}, terms=9),
    ]


@pytest.mark.parametrize("case", window_cases(), ids=lambda case: case.name)
def test_sums_are_within_the_rounding_bound_for_any_number_of_threads(case: OpCase) -> None:
    problem = problem_of(case)
    results = []
    for threads in (1, 3):
        vg.set_num_threads(threads)
        results.append(run_native(case, problem))
    assert_within(results[0], problem.expected, bounds_of(case, problem.arrays, problem.grad))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
