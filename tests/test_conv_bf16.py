"""Convolution of bfloat16 images, by every algorithm, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import voxelgrad as vg
from bf16_runs import BF16, convolution_bounds, rounded_problem, run_bf16
from comparison import assert_within
from conv_cases import conv_case
from instruction_sets import ALL, VECTOR, forced
from op_case import OpCase
from op_cases import CONV_CASES
from op_runs import Problem, solve
from test_conv_algorithms import WINOGRAD_CASES
from winograd_bounds import FORMS

CASES = [
    *CONV_CASES,
    conv_case("conv", (1, 9, 70), (33, 40), (3, 3), padding=1),
    conv_case("conv", (2, 5, 6, 7), (40, 33), (3, 3, 3), stride=2, padding=1),
    conv_case("conv", (1, 40, 37), (4, 20), (7, 7), stride=2, padding=3),
    conv_case("conv_transpose", (2, 9, 11), (34, 20), (2, 2), stride=2),
    # A batch whose weight gradient is larger than its images: threads share the channels.
    conv_case("conv_transpose", (8, 4, 3), (256, 128), (2, 2), stride=2),
]


_problems: dict[str, Problem] = {}


def problem_of(case: OpCase) -> Problem:
    if case.name not in _problems:
        _problems[case.name] = rounded_problem(case, case.arrays(np.float64))
    return _problems[case.name]


@pytest.mark.parametrize("isa", ALL)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tiles_stay_within_the_rounding_bound(case: OpCase, isa: str) -> None:
    problem = problem_of(case)
    bounds = convolution_bounds(case, problem, winograd=False)
    with forced("tile", isa):
        assert_within(run_bf16(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("algorithm", [*FORMS, "thin"])
@pytest.mark.parametrize("case", WINOGRAD_CASES, ids=lambda case: case.name)
def test_winograd_stays_within_the_rounding_bound(case: OpCase, algorithm: str, isa: str) -> None:
    problem = problem_of(case)
    bounds = convolution_bounds(case, problem, winograd=True)
    with forced(algorithm, isa):
        assert_within(run_bf16(case, problem), problem.expected, bounds)


def test_winograd_takes_the_form_that_covers_an_image_with_less() -> None:
    """Rounding to bfloat16 hides the errors of either form."""
    case = conv_case("conv", (1, 120, 120), (16, 16), (3, 3), padding=1)
    problem = problem_of(case)
    results = {}
    for name in ("winograd", *FORMS):
        with forced(name, VECTOR[-1]):
            results[name] = run_bf16(case, problem)
    weight = 2  # output, input's gradient, weight's gradient in float32
    np.testing.assert_array_equal(results["winograd"][weight], results["winograd6"][weight])
    assert np.any(results["winograd"][weight] != results["winograd4"][weight])


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("channels", [3, 32, 41, 119])
@pytest.mark.parametrize("targets", range(1, 9))
def test_heads_stay_within_the_rounding_bound(channels: int, targets: int, isa: str) -> None:
    case = conv_case("conv", (1, 5, 17), (channels, targets), (1, 1), bias=targets % 2 == 0)
    problem = problem_of(case)
    bounds = convolution_bounds(case, problem, winograd=False)
    with forced("head", isa):
        assert_within(run_bf16(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("dtype", [np.float32, BF16])
def test_large_heads_give_the_same_for_any_number_of_threads(dtype: type) -> None:
    """Many tasks, and a gradient that is large enough to be written past the cache."""
    rng = np.random.default_rng(4)
    image = rng.integers(-2, 3, (2, 400, 330, 32)).astype(dtype)
    grad = rng.integers(-1, 2, (2, 400, 330, 3)).astype(dtype)
    weight = rng.integers(-2, 3, (3, 1, 1, 32)).astype(np.float32)
    pixels, grads = (a.astype(np.float32).reshape(-1, a.shape[-1]) for a in (image, grad))
    for threads in (1, 2, 3):
        vg.set_num_threads(threads)
        x, w = vg.Tensor(image, True), vg.Tensor(weight, True)
        with forced("head", VECTOR[-1]):
            y = vg.ops.conv2d(x, w)
            y.backward(grad)
        assert x.grad is not None and w.grad is not None
        np.testing.assert_array_equal(y.numpy().reshape(-1, 3), pixels @ weight[:, 0, 0].T)
        np.testing.assert_array_equal(x.grad.numpy().reshape(-1, 32), grads @ weight[:, 0, 0])
        np.testing.assert_array_equal(w.grad.numpy()[:, 0, 0], grads.T @ pixels)
    vg.set_num_threads(2)


@pytest.mark.parametrize("case", CASES[::7], ids=lambda case: case.name)
def test_widened_images_stay_within_the_rounding_bound(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = convolution_bounds(case, problem, winograd=True)
    with forced("widened", ALL[-1]):
        assert_within(run_bf16(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("isa", ALL)
def test_tiles_of_small_integers_are_exact(isa: str) -> None:
    case = conv_case("conv", (2, 13, 11), (20, 33), (3, 3), padding=1)
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-1, 2, a.shape).astype(float) for a in case.arrays(float)]
    problem = solve(case, arrays)
    with forced("tile", isa):
        results = run_bf16(case, problem)
    for result, expected in zip(results[2:], problem.expected[2:], strict=True):
        np.testing.assert_array_equal(result, expected)
    for result, expected in zip(results[:2], problem.expected[:2], strict=True):
        np.testing.assert_array_equal(result, expected.astype(BF16).astype(np.float32))


@pytest.mark.parametrize("isa", ALL)
def test_weights_are_rounded_to_bfloat16_once(isa: str) -> None:
    rng = np.random.default_rng(1)
    x = vg.Tensor(rng.standard_normal((1, 8, 9, 24)).astype(BF16))
    weight = rng.standard_normal((40, 3, 3, 24)).astype(np.float32)
    with forced("tile", isa):
        plain = vg.ops.conv2d(x, vg.Tensor(weight))
        rounded = vg.ops.conv2d(x, vg.Tensor(weight.astype(BF16).astype(np.float32)))
    np.testing.assert_array_equal(plain.numpy(), rounded.numpy())


@pytest.mark.parametrize("shape", [(8, 40, 41, 32), (1, 9, 8, 300), (2, 30, 30, 4)])
def test_the_number_of_threads_changes_nothing(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    image = rng.standard_normal(shape).astype(BF16)
    weight = rng.standard_normal((280, 3, 3, shape[-1])).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        vg.set_num_threads(threads)
        x, w = vg.Tensor(image, True), vg.Tensor(weight, True)
        y = vg.ops.conv2d(x, w, padding=1)
        y.backward(y.numpy())
        assert x.grad is not None and w.grad is not None
        results.append([y.numpy().tobytes(), x.grad.numpy().tobytes(), w.grad.numpy().tobytes()])
    vg.set_num_threads(2)
    assert results[0] == results[1] == results[2]
