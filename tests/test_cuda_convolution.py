"""CUDA kernels of convolution and linear layers; what it proves: test_cuda_emulation.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from bf16_runs import BF16, convolution_bounds, rounded_problem
from bounds import majorant, monomial
from comparison import assert_within
from conv_cases import conv_case
from cuda_device import IS_REAL, backend, channels_in_eights, evaluate_on_device, products_by
from op_case import Arg, OpCase
from op_cases import CONV_CASES
from op_runs import Problem, problem_of, solve
from sanitized import sanitized_ends

SEVERAL_TILES = [
    conv_case("conv", (2, 13, 11), (20, 70), (3, 3), padding=1),  # rows, columns and pieces
    conv_case("conv", (2, 5, 6, 7), (40, 33), (3, 3, 3), stride=2, padding=1),
    conv_case("conv", (1, 15, 14), (8, 8), (5, 4), stride=(4, 6), padding=3, dilation=(2, 3)),
    conv_case("conv_transpose", (2, 9, 11), (34, 20), (2, 2), stride=2),
]

# Few channels on one side: several tiles and blocks of columns, all strips of the weight gradient.
NARROW = [
    conv_case("conv", (1, 21, 19), (4, 32), (3, 3), padding=1),
    conv_case("conv", (2, 17, 15), (3, 72), (7, 7), stride=2, padding=3),
    conv_case("conv", (1, 6, 9, 5), (2, 16), (3, 3, 3), padding=1),
    conv_case("conv", (1, 5, 6, 7), (4, 8), (5, 5, 5), padding=2),
    conv_case("conv", (1, 14, 11), (1, 40), (5, 4), stride=(1, 2), dilation=(2, 3)),
    conv_case("conv", (1, 9, 10), (2, 12), (3, 2), padding=2, dilation=2),
    conv_case("conv", (1, 8, 9), (6, 16), (3, 5), stride=3, padding=2, groups=2),
    conv_case("conv", (1, 1100), (64, 512), (1,), groups=64),  # several tiles a block
    conv_case("conv", (2, 11, 13), (24, 3), (1, 1)),
    conv_case("conv", (2, 11, 13), (24, 4), (1, 1)),
    conv_case("conv_transpose", (1, 9, 8), (4, 24), (3, 3), stride=2, padding=1),
    conv_case("conv_transpose", (1, 5, 4, 6), (3, 16), (2, 3, 2), stride=(2, 3, 1)),
    conv_case("conv_transpose", (1, 6, 7), (16, 4), (3, 3), stride=2, dilation=3),
]
LARGER = [*SEVERAL_TILES, *NARROW]


@pytest.mark.parametrize("case", LARGER, ids=lambda case: case.name)
def test_float32_is_within_the_bound_of_plain_sums(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = monomial(case, problem.arrays, problem.grad)
    assert_within(evaluate_on_device(case, *problem.in_float32()), problem.expected, bounds)


def _run_bf16(case: OpCase, problem: Problem) -> list[np.ndarray]:
    """Images are bfloat16, parameters float32."""
    image, *parameters = problem.in_float32()[0]
    assert image is not None
    grad = problem.grad.astype(BF16)
    output, grad_input, *learned = evaluate_on_device(case, [image.astype(BF16), *parameters], grad)
    assert output.dtype == grad_input.dtype == BF16
    return [output.astype(np.float32), grad_input.astype(np.float32), *learned]


@pytest.mark.parametrize("case", sanitized_ends([*CONV_CASES, *LARGER]), ids=lambda case: case.name)
def test_bfloat16_is_within_the_rounding_bound(case: OpCase) -> None:
    problem = rounded_problem(case, case.arrays(np.float64))
    bounds = convolution_bounds(case, problem, winograd=False)
    assert_within(_run_bf16(case, problem), problem.expected, bounds)


# Channels in eights run on tensor cores. Several slices, tiles, pieces, parts; ends of each.
TENSOR_CORE_CASES = [
    *(case for case in CONV_CASES if channels_in_eights(case)),
    conv_case("conv", (2, 13, 11), (24, 72), (3, 3), padding=1),
    conv_case("conv", (1, 9, 7, 6), (16, 40), (3, 3, 3), stride=2, padding=1),
    conv_case("conv", (1, 15, 14), (8, 8), (5, 4), stride=(4, 6), padding=3, dilation=(2, 3)),
    conv_case("conv", (1, 9, 8), (16, 64), (3, 3), dilation=2, groups=2),
    conv_case("conv", (2, 6, 5), (72, 136), (1, 1)),
    conv_case("conv_transpose", (2, 9, 11), (32, 24), (2, 2), stride=2),
]
on_tensor_cores = pytest.mark.parametrize("products", ["mma", "wgmma"])
each_case = pytest.mark.parametrize(
    "case", sanitized_ends(TENSOR_CORE_CASES), ids=lambda case: case.name
)


@on_tensor_cores
@each_case
def test_bfloat16_on_tensor_cores_is_within_the_bound(case: OpCase, products: str) -> None:
    problem = rounded_problem(case, case.arrays(np.float64))
    bounds = convolution_bounds(case, problem, winograd=False)
    with products_by(products):
        results = _run_bf16(case, problem)
        repeated = _run_bf16(case, problem)
    assert_within(results, problem.expected, bounds)
    assert [r.tobytes() for r in results] == [r.tobytes() for r in repeated]


@on_tensor_cores
@each_case
def test_small_integers_are_exact_on_tensor_cores(case: OpCase, products: str) -> None:
    rng = np.random.default_rng(0)
    arrays = [None if a is None else rng.integers(-2, 3, a.shape) for a in case.arrays(float)]
    problem = solve(case, [None if a is None else a.astype(float) for a in arrays])
    with products_by(products):
        results = _run_bf16(case, problem)
    for i, (result, exact) in enumerate(zip(results, problem.expected, strict=True)):
        stored = exact.astype(BF16) if i < 2 else exact  # images are rounded, parameters are not
        np.testing.assert_array_equal(result, stored.astype(np.float32))


@on_tensor_cores
@pytest.mark.parametrize("sizes", [(8, 16, 24), (72, 136, 88)], ids=str)
def test_stacks_of_small_integers_are_exact_on_tensor_cores(
    sizes: tuple[int, int, int], products: str
) -> None:
    rows, inner, columns = sizes
    case = OpCase("matmul", (Arg((3, rows, inner)), Arg((3, inner, columns))))
    rng = np.random.default_rng(0)
    problem = solve(
        case, [rng.integers(-2, 3, arg.shape).astype(float) for arg in case.args if arg]
    )
    with products_by(products):
        arrays = [None if a is None else a.astype(BF16) for a in problem.arrays]
        results = evaluate_on_device(case, arrays, problem.grad.astype(BF16))
    for result, exact in zip(results, problem.expected, strict=True):
        np.testing.assert_array_equal(result, exact.astype(BF16))


def test_a_stack_is_one_call_for_each_product(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, calls = backend(), []

    def watch(name: str) -> None:
        native = getattr(cuda, name)

        def call(*arguments: Any) -> None:
            calls.append(name)
            native(*arguments)

        monkeypatch.setattr(cuda, name, call)

    for product in ("matmul", "linear"):
        for name in ("forward", "backward_a", "backward_b", "backward_data", "backward_weight"):
            if cuda.offers(f"{product}_{name}"):
                watch(f"{product}_{name}")
    a, b = (vg.Tensor(cuda.zeros((5, 3, 3)), requires_grad=True) for _ in range(2))
    vg.ops.matmul(a, b).backward(cuda.zeros((5, 3, 3)))
    assert calls == ["matmul_forward", "matmul_backward_a", "matmul_backward_b"]


def test_the_largest_tile_of_warpgroups_is_exact() -> None:
    """It is for many rows and columns, so that it has no case of its own above."""
    cuda, rng = backend(), np.random.default_rng(0)
    input, weight = (rng.integers(-2, 3, (n, 72)).astype(np.float32) for n in (33_700, 136))
    output = cuda.empty((len(input), len(weight)), BF16)
    with products_by("wgmma"):
        arrays = cuda.from_host(input.astype(BF16)), cuda.from_host(weight)
        cuda.linear_forward(*arrays, None, output, 1.0)
    np.testing.assert_array_equal(cuda.to_host(output), (input @ weight.T).astype(BF16))


def test_products_that_do_not_exist_are_refused() -> None:
    cuda = backend()
    with pytest.raises(ValueError, match="'cublas' are unknown; choose mma or wgmma"):
        cuda.force_products("cublas")
    arrays = [cuda.zeros((1, 3, 3, 8), BF16), cuda.zeros((8, 1, 1, 8)), None]
    output = cuda.empty((1, 3, 3, 8), BF16)
    with products_by("mma"):
        cuda.force_products("wgmma")
        if not IS_REAL:
            with pytest.raises(ValueError, match=r"conv_forward: .* compute capability 9\.0"):
                cuda.conv_forward(*arrays, output, (1, 1), (0, 0), (1, 1), 1, 1.0)


@pytest.mark.parametrize("case", LARGER, ids=lambda case: case.name)
def test_small_integers_are_exact(case: OpCase) -> None:
    rng = np.random.default_rng(0)
    arrays = [None if a is None else rng.integers(-4, 5, a.shape) for a in case.arrays(float)]
    problem = solve(case, [None if a is None else a.astype(float) for a in arrays])
    results = evaluate_on_device(case, *problem.in_float32())
    for result, expected in zip(results, problem.expected, strict=True):
        np.testing.assert_array_equal(result, expected)


TF32_CASES = [
    conv_case("conv", (2, 13, 11), (20, 72), (3, 3), padding=1),
    conv_case("conv", (1, 12, 9, 5), (8, 36), (3, 3, 2), stride=2, padding=1),
    conv_case("conv_transpose", (2, 9, 11), (36, 20), (2, 2), stride=2),
    conv_case("conv", (1, 9, 8), (16, 32), (3, 3), dilation=2, groups=2),
]


@pytest.fixture
def tf32() -> Iterator[None]:
    backend().allow_tf32(True)
    yield
    backend().allow_tf32(False)


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("case", sanitized_ends(TF32_CASES), ids=lambda case: case.name)
def test_tf32_is_within_the_bound_of_rounded_factors(case: OpCase) -> None:
    """Both factors of a product are off by a relative 2^-11 at most, then sums are in float32."""
    problem = problem_of(case)
    factors = (1.0 + 2.0**-11) ** 2 - 1.0
    sizes = majorant(case, problem.arrays, problem.grad)
    bounds = monomial(case, problem.arrays, problem.grad)
    bounds = [b + factors * (s + b) for b, s in zip(bounds, sizes, strict=True)]
    results = evaluate_on_device(case, *problem.in_float32())
    assert_within(results, problem.expected, bounds)
    plain = monomial(case, problem.arrays, problem.grad)
    assert np.any(np.abs(results[0] - problem.expected[0]) > plain[0])  # it was rounded


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("case", TF32_CASES, ids=lambda case: case.name)
def test_tf32_of_small_integers_is_exact(case: OpCase) -> None:
    test_small_integers_are_exact(case)


@pytest.mark.parametrize(
    ("dtype", "groups", "outputs", "products"),
    [
        (np.float32, 1, 16, "mma"),
        (BF16, 1, 16, "mma"),
        (BF16, 1, 16, "wgmma"),
        (np.float32, 8, 8, "mma"),
        (np.float32, 1, 3, "mma"),
    ],
)
def test_a_slope_is_applied_before_rounding(
    dtype: Any, groups: int, outputs: int, products: str
) -> None:
    cuda = backend()
    rng = np.random.default_rng(0)
    input = cuda.from_host(rng.standard_normal((2, 5, 4, 8)).astype(dtype))
    weight = cuda.from_host(rng.standard_normal((outputs, 2, 2, 8 // groups), np.float32))
    bias = cuda.from_host(rng.standard_normal(outputs, np.float32))
    results = []
    for slope in (1.0, 0.0, 0.5):
        output = cuda.empty((2, 4, 3, outputs), dtype)
        with products_by(products):
            cuda.conv_forward(input, weight, bias, output, (1, 1), (0, 0), (1, 1), groups, slope)
        results.append(cuda.to_host(output).astype(np.float32))
    plain, relu, leaky = results
    np.testing.assert_array_equal(relu, np.maximum(plain, 0.0))
    np.testing.assert_array_equal(leaky, np.where(plain < 0, 0.5 * plain, plain))


@pytest.mark.parametrize("dtype", [np.float32, BF16], ids=["float32", "bfloat16"])
def test_what_lies_beside_a_window_of_few_channels_does_not_get_in(dtype: Any) -> None:
    """Steps that fill up a product of tensor cores meet zeros, not pixels."""
    cuda = backend()
    image = np.ones((1, 9, 20, 3), np.float32)
    image[0, 4, 7] = np.inf
    image[0, 4, 12] = np.nan
    weight = np.ones((16, 3, 3, 3), np.float32)
    given, output = cuda.from_host(image.astype(dtype)), cuda.empty((1, 7, 18, 16), dtype)
    one, zero = (1, 1), (0, 0)
    cuda.conv_forward(given, cuda.from_host(weight), None, output, one, zero, one, 1, 1.0)
    result = cuda.to_host(output).astype(np.float32)[0, :, :, 0]
    expected = np.full((7, 18), 27.0)
    expected[2:5, 5:8] = np.inf
    expected[2:5, 10:13] = np.nan
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", [np.float32, BF16], ids=["float32", "bfloat16"])
def test_pixels_that_no_window_reaches_do_not_get_into_the_weight_gradient(dtype: Any) -> None:
    cuda = backend()
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 10, 10, 3)).astype(dtype)
    grad = cuda.from_host(rng.standard_normal((1, 3, 3, 16)).astype(dtype))
    gradients = []
    for unread in (0.0, np.nan):
        image[0, 8:] = image[0, :, 8:] = unread
        gradient = cuda.empty((16, 2, 2, 3))
        settings = ((3, 3), (0, 0), (1, 1), 1)
        cuda.conv_backward_weight(grad, cuda.from_host(image), gradient, None, *settings)
        gradients.append(cuda.to_host(gradient))
    np.testing.assert_array_equal(*gradients)
