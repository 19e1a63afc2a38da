"""Convolution with stride 2 by Winograd's algorithm, phase by phase of the fine grid."""

from __future__ import annotations

import numpy as np
import pytest

from bf16_runs import convolution_bounds, rounded_problem, run_bf16
from comparison import assert_within
from conv_cases import conv_case
from instruction_sets import VECTOR, forced
from op_case import OpCase
from op_runs import problem_of, run_native
from voxelgrad.backends import cpu
from winograd_strided import accepts, passes, winograd_bounds

CASES = [
    conv_case("conv", (2, 15, 17), (32, 40), (3, 3), stride=2, padding=1),
    conv_case("conv", (1, 12, 13), (64, 33), (3, 3), stride=2, bias=False),
    conv_case("conv", (1, 26, 50), (32, 64), (3, 3), stride=2, padding=(2, 3)),
    conv_case("conv", (3, 2, 3), (32, 5), (3, 3), stride=2, padding=1),
    conv_case("conv", (1, 9, 13, 14), (32, 48), (3, 3, 3), stride=2, padding=1),
    conv_case("conv", (2, 6, 12, 12), (32, 20), (3, 3, 3), stride=(1, 2, 2), padding=1),
    conv_case("conv", (1, 8, 24, 26), (64, 32), (3, 3, 3), stride=2, padding=(0, 1, 2)),
    conv_case("conv", (1, 5, 12, 11), (32, 17), (2, 3, 3), stride=(1, 2, 2), padding=(0, 2, 1)),
    conv_case("conv", (1, 13, 12), (160, 140), (3, 3), stride=2, padding=1),  # sums in parts
    conv_case("conv_transpose", (2, 7, 6), (17, 32), (3, 3), stride=2, padding=1),
    conv_case("conv_transpose", (1, 6, 7), (33, 64), (3, 3), stride=2, padding=1, output_padding=1),
    conv_case("conv_transpose", (1, 4, 7, 6), (20, 32), (3, 3, 3), stride=2, padding=1),
]


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_pass_stays_within_the_bound_of_its_transforms(case: OpCase, isa: str) -> None:
    problem = problem_of(case)
    assert accepts(case)
    bounds = winograd_bounds(case, problem.arrays, problem.grad)
    with forced("winograd", isa):
        assert_within(run_native(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_transforms_of_the_bound_are_the_convolution(case: OpCase) -> None:
    """Without absolute values the formulas behind the bound give what they bound."""
    problem = problem_of(case)
    output, *grads = passes(case, problem.arrays, problem.grad, absolute=False)[0]
    bias = problem.arrays[2] if problem.arrays[2] is not None else 0.0
    for result, expected in zip((output + bias, *grads), problem.expected, strict=False):
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES[:2] + CASES[4:6], ids=lambda case: case.name)
def test_images_may_be_bfloat16(case: OpCase) -> None:
    problem = rounded_problem(case, case.arrays(np.float64))
    bounds = convolution_bounds(case, problem, winograd=True)
    with forced("winograd", cpu.isa_name()):
        assert_within(run_bf16(case, problem), problem.expected, bounds)


def results(case: OpCase, algorithm: str) -> list[np.ndarray]:
    with forced(algorithm, cpu.isa_name()):
        return run_native(case, problem_of(case))


@pytest.mark.parametrize(
    ("size", "channels", "chosen"),
    [
        ((72, 71), (32, 32), "winograd"),
        ((72, 72), (32, 24), "direct"),  # few channels
        ((48, 60), (64, 64), "direct"),  # few tiles: 4 x 5
        ((74, 74), (32, 32), "direct"),  # tiles for a row and a column that lie beyond the image
        ((84, 84), (32, 32), "winograd"),
        ((12, 24, 24), (32, 32), "direct"),
        ((24, 24, 24), (32, 64), "winograd"),
    ],
)
def test_it_is_taken_where_there_are_many_whole_tiles(
    size: tuple[int, ...], channels: tuple[int, int], chosen: str
) -> None:
    case = conv_case("conv", (1, *size), channels, (3,) * len(size), stride=2, padding=1)
    taken = results(case, "")
    for name in ("winograd", "direct"):
        same = all(map(np.array_equal, taken, results(case, name)))
        assert same == (name == chosen)


@pytest.mark.parametrize(
    ("size", "channels", "params"),
    [
        ((9, 9), (16, 16), {"stride": 2}),  # a panel of channels would belong to two phases
        ((9, 9), (32, 16), {"stride": (1, 2)}),
        ((9, 1), (32, 16), {"stride": 2, "padding": 1}),  # a phase without pixels
        ((9, 9), (32, 16), {"stride": 3}),
    ],
)
def test_what_has_no_such_phases_is_refused(
    size: tuple[int, int], channels: tuple[int, int], params: dict[str, object]
) -> None:
    case = conv_case("conv", (1, *size), channels, (3, 3), **params)
    with forced("winograd", cpu.isa_name()), pytest.raises(ValueError, match="does not accept"):
        run_native(case, problem_of(case))
