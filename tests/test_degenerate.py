"""Nothing to compute from: empty batches, axes and stacks, taps that meet only padding."""

from __future__ import annotations

import numpy as np
import pytest

import voxelgrad as vg
from bf16_runs import rounded_problem, run_bf16
from conv_cases import conv_case
from garbage import memory_of_garbage
from instruction_sets import ALL, VECTOR, forced
from op_case import Arg, OpCase
from op_runs import run_native, solve

CONVOLUTIONS = {
    # A padded image of one pixel, so that eight of nine taps see nothing but zeros.
    "padding": conv_case("conv", (1, 1, 1), (2, 1), (3, 3), padding=1),
    "strides": conv_case("conv", (2, 1, 2), (17, 3), (3, 3), stride=(2, 3), padding=1),
    "transposed": conv_case("conv_transpose", (1, 1, 1), (1, 3), (3, 3), stride=4, padding=1),
    "depthwise": conv_case("conv", (1, 1, 1), (3, 3), (3, 3), padding=1, groups=3),
    "empty": conv_case("conv", (0, 5, 6), (16, 17), (3, 3), padding=1),
    "empty small": conv_case("conv", (0, 5, 6), (3, 4), (3, 3), padding=1),
    "empty depthwise": conv_case("conv", (0, 5, 6), (16, 16), (3, 3), groups=16),
    "empty row": conv_case("conv", (0, 5), (3, 1), (1,)),
    "empty transposed": conv_case("conv_transpose", (0, 3, 4), (2, 17), (2, 2), stride=2),
    "no rows": OpCase("linear", (Arg((0, 5)), Arg((3, 5)), Arg((3,)))),
}
TAKEN_BY = {
    "winograd4": ("padding", "empty"),
    "winograd5": ("padding", "empty"),
    "winograd6": ("padding", "empty"),
    "thin": ("padding", "empty"),
    "depthwise": ("depthwise", "empty depthwise"),
    "naive": tuple(CONVOLUTIONS),
    "direct": tuple(CONVOLUTIONS),
}
RUNS = [(algorithm, name) for algorithm, names in TAKEN_BY.items() for name in names]


def small_integers(case: OpCase) -> list[np.ndarray | None]:
    """Return arrays on which every sum is exact."""
    rng = np.random.default_rng(5)
    return [None if a is None else rng.integers(-3, 4, a.shape) * 1.0 for a in case.arrays(float)]


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize(("algorithm", "name"), RUNS)
def test_a_convolution_writes_all_of_its_results(algorithm: str, name: str, isa: str) -> None:
    problem = solve(CONVOLUTIONS[name], small_integers(CONVOLUTIONS[name]))
    with memory_of_garbage(), forced(algorithm, isa):
        results = run_native(CONVOLUTIONS[name], problem)
    tolerance = 1e-4 if algorithm.startswith("winograd") else 0.0  # its transforms have fractions
    for result, expected in zip(results, problem.expected, strict=True):
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("isa", ALL)
@pytest.mark.parametrize("algorithm", ["tile", "widened"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_bfloat16_convolution_writes_all_of_its_results(
    name: str, algorithm: str, isa: str
) -> None:
    problem = rounded_problem(CONVOLUTIONS[name], small_integers(CONVOLUTIONS[name]))
    with memory_of_garbage(), forced(algorithm, isa):
        results = run_bf16(CONVOLUTIONS[name], problem)
    for result, expected in zip(results, problem.expected, strict=True):
        np.testing.assert_allclose(result, expected, rtol=2.0**-7, atol=1e-4)


@pytest.mark.parametrize(
    ("left", "right", "product"),
    [
        ((0, 2, 3), (0, 3, 4), (0, 2, 4)),
        ((3, 0, 2, 3), (1, 3, 4), (3, 0, 2, 4)),
        ((5,), (0, 5, 2), (0, 2)),
        ((0, 2, 3), (3, 4), (0, 2, 4)),
    ],
)
def test_products_of_no_matrices_pass_gradients_on(
    left: tuple[int, ...], right: tuple[int, ...], product: tuple[int, ...]
) -> None:
    a, b = (vg.Tensor(np.ones(shape, np.float32), requires_grad=True) for shape in (left, right))
    result = vg.ops.matmul(a, b)
    assert result.shape == product
    result.backward(np.zeros(product, np.float32))
    for operand in (a, b):
        assert operand.grad is not None
        np.testing.assert_array_equal(operand.grad.numpy(), np.zeros(operand.shape))


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 0), (0, 3)), ((4, 2, 0), (4, 0, 3)), ((4, 2, 0), (0, 3)), ((0,), (0,)), ((2, 3), (3, 0))],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_without_a_sum_are_zeros_as_in_numpy(
    left: tuple[int, ...], right: tuple[int, ...], dtype: type
) -> None:
    expected = np.matmul(np.ones(left), np.ones(right))
    a, b = (vg.Tensor(np.ones(shape, dtype), requires_grad=True) for shape in (left, right))
    result = vg.ops.matmul(a, b)
    np.testing.assert_array_equal(result.numpy(), expected)
    assert result.shape == expected.shape
    result.backward(np.ones(expected.shape, dtype))
    for operand in (a, b):
        assert operand.grad is not None
        np.testing.assert_array_equal(operand.grad.numpy(), np.zeros(operand.shape))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_an_empty_axis_can_be_beside_a_padded_one(mode: str) -> None:
    x = vg.Tensor(np.zeros((0, 3), np.float32), requires_grad=True)
    padded = vg.ops.pad(x, ((0, 0), (1, 2)), mode)
    assert padded.shape == (0, 6)
    padded.backward(np.zeros((0, 6), np.float32))
    assert x.grad is not None and x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_single_number_can_be_indexed_and_padded(dtype: type) -> None:
    x = vg.Tensor(np.array(3.0, dtype), requires_grad=True)
    for result in (x[...], x[None], vg.ops.pad(x, ()), vg.ops.crop(x, (), ())):
        assert result.numpy().item() == 3.0
    x[None].backward(np.array([2.0], dtype))
    assert x.grad is not None and x.grad.numpy().item() == 2.0


@pytest.mark.parametrize("slope", [(2,), (4, 3), (2, 4, 3)])
def test_slopes_that_do_not_fit_are_named(slope: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^prelu: slope has shape .* but input \(5, 3\)"):
        vg.ops.prelu(vg.Tensor(np.ones((5, 3), np.float32)), vg.Tensor(np.ones(slope, np.float32)))
