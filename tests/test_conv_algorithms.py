"""Every convolution algorithm that may be asked for by name, not only the first that accepts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bounds import bounds_of
from comparison import assert_within
from conv_cases import conv_case
from instruction_sets import VECTOR, forced
from op_case import OpCase
from op_cases import CONV_CASES, LARGE_CASES
from op_runs import problem_of, run_native
from voxelgrad.backends import cpu
from winograd_bounds import (
    FORMS,
    Form,
    accepts,
    as_three_dimensional,
    forward,
    groups_taken,
    winograd_bounds,
)

WINOGRAD_CASES = [
    *(case for case in [*CONV_CASES, *LARGE_CASES] if accepts(case)),
    conv_case("conv", (2, 13, 6), (20, 64), (3, 3)),
    conv_case("conv", (3, 15, 15), (33, 40), (3, 3), padding=1),
    conv_case("conv", (1, 30, 31), (64, 32), (3, 3), padding=2, bias=False),
    conv_case("conv", (1, 7, 12, 13), (24, 33), (3, 3, 3), padding=1),
    conv_case("conv", (1, 10, 9, 8), (16, 16), (5, 3, 3), padding=(2, 1, 0)),
    conv_case("conv", (2, 121, 131), (16, 40), (3, 3), padding=1),  # several products a block
    conv_case("conv", (1, 9, 10), (150, 140), (3, 3), padding=1),  # sums in two parts
    conv_case("conv", (1, 11, 21, 22), (20, 36), (3, 3, 3), padding=1),
    conv_case("conv", (2, 18, 14, 13), (16, 16), (3, 3, 3), padding=1),  # groups, several blocks
    conv_case("conv", (1, 4, 13, 12), (144, 130), (3, 3, 3), padding=(0, 1, 1)),  # a pair in phases
    conv_case("conv", (1, 9, 13, 12), (144, 130), (3, 3, 3), padding=1),  # groups in phases
    conv_case("conv", (1, 1, 12, 12), (16, 18), (3, 3, 3), padding=1),  # one slice: no groups
    conv_case("conv", (2, 3, 3), (4, 4), (3, 3)),
    conv_case("conv_transpose", (2, 9, 6), (17, 16), (3, 3), padding=1),
    conv_case("conv_transpose", (1, 4, 5, 6), (16, 20), (3, 3, 3)),
]


# Few channels on both sides: vectors over pixels, whole ones and the rest of a row.
FEW_CHANNELS = [
    conv_case("conv", (3, 9, 37), (1, 6), (5, 5), padding=2),
    conv_case("conv", (1, 21, 70), (3, 7), (3, 3), stride=2),
    conv_case("conv", (2, 5, 6, 19), (8, 1), (3, 2, 3), dilation=(1, 2, 2), padding=1),
    conv_case("conv_transpose", (2, 5, 33), (2, 8), (3, 4), stride=2, padding=1),
]
# And small images in a batch: vectors over the images, whole ones and the rest of the batch.
SMALL_IMAGES = [
    conv_case("conv", (16, 9, 7), (1, 6), (5, 5), padding=2),
    conv_case("conv", (40, 6, 5), (6, 3), (4, 3), padding=(1, 2), bias=False),
    conv_case("conv", (13, 1, 1), (2, 8), (3, 3), padding=1),
    conv_case("conv", (100, 11), (3, 7), (3,), padding=3),
    conv_case("conv", (64, 8, 32), (17, 1), (3, 3)),
    conv_case("conv_transpose", (15, 4, 5), (20, 6), (5, 5)),
    conv_case("conv_transpose", (31, 5, 3), (4, 2), (3, 2), padding=1),
]
CASES = [
    *(case for case in CONV_CASES if case.op != "linear"),
    *FEW_CHANNELS,
    *SMALL_IMAGES,
]


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_general_algorithms_take_every_case(case: OpCase, isa: str) -> None:
    problem = problem_of(case)
    bounds = bounds_of(replace(case, family="monomial"), problem.arrays, problem.grad)
    for algorithm in ("naive", "direct"):
        with forced(algorithm, isa):
            assert_within(run_native(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("channels", [3, 16, 41, 119])
@pytest.mark.parametrize("targets", range(1, 9))
def test_heads_take_any_number_of_channels_and_pixels(
    channels: int, targets: int, isa: str
) -> None:
    case = conv_case("conv", (1, 3, 11), (channels, targets), (1, 1), bias=targets % 2 == 0)
    problem = problem_of(case)
    bounds = bounds_of(replace(case, family="monomial"), problem.arrays, problem.grad)
    with forced("head", isa):
        assert_within(run_native(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("algorithm", ["winograd", *FORMS])
@pytest.mark.parametrize("case", WINOGRAD_CASES, ids=lambda case: case.name)
def test_winograd_stays_within_the_bound_of_its_transforms(
    case: OpCase, algorithm: str, isa: str
) -> None:
    problem = problem_of(case)
    bounds = winograd_bounds(case, problem.arrays, problem.grad, algorithm)
    with forced(algorithm, isa):
        assert_within(run_native(case, problem), problem.expected, bounds)


@pytest.mark.parametrize(
    ("size", "channels", "chosen", "chosen_of_weight"),
    [
        (12, 16, "winograd4", "winograd4"),  # little work: the form with the smaller errors
        (120, 48, "winograd6", "winograd6"),
        # Tiles of 6 pixels would cover 18, those of 4 pixels 16; these need the fewest sums.
        (15, 288, "winograd5", "winograd4"),
        (16, 256, "winograd4", "winograd4"),
    ],
)
def test_a_larger_form_is_taken_where_it_saves_much(
    size: int, channels: int, chosen: str, chosen_of_weight: str
) -> None:
    case = conv_case("conv", (1, size, size), (channels, channels), (3, 3), padding=1)
    problem = problem_of(case)
    results = {}
    for name in ("winograd", *FORMS):
        with forced(name, cpu.isa_name()):
            results[name] = run_native(case, problem)
    taken = results.pop("winograd")
    for i, right in enumerate((chosen, chosen, chosen_of_weight)):
        same = [name for name, result in results.items() if np.array_equal(result[i], taken[i])]
        assert same == [right]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "case", [*WINOGRAD_CASES[:8], *WINOGRAD_CASES[-6:-2]], ids=lambda case: case.name
)
def test_the_transforms_of_the_bound_are_winograds(case: OpCase, form: Form) -> None:
    """Without absolute values the formulas behind the bound give the convolution itself."""
    problem = problem_of(case)
    x, w, _, padding = as_three_dimensional(case, problem.arrays, problem.grad)
    bias = problem.arrays[2] if problem.arrays[2] is not None else 0.0
    for group in groups_taken(x, w, padding):
        output = forward(form, x, w, padding, group, absolute=False)
        whole = output.reshape(problem.expected[0].shape) + bias
        np.testing.assert_allclose(whole, problem.expected[0], rtol=0, atol=1e-10)


def test_winograd_refuses_what_it_cannot_do() -> None:
    strided = conv_case("conv", (1, 9, 9), (16, 16), (3, 3), stride=2)
    with forced("winograd", cpu.isa_name()), pytest.raises(ValueError, match="does not accept"):
        run_native(strided, problem_of(strided))


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="fastest"):
        cpu.set_conv_algorithm("fastest")
