"""The CUDA kernels against the float64 reference: their source, run on the host by an emulation.

What that proves and what not: cuda_emulation/emulation.hpp. On a machine with a device the same
cases run there: VOXELGRAD_TEST_CUDA=1 pytest tests/test_cuda_emulation.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import bf16_bounds
import voxelgrad as vg
from bounds import bounds_of
from comparison import assert_within
from cuda_device import backend, channels_in_eights, evaluate_on_device, products_by
from op_case import OpCase
from op_cases import CASES, LARGE_CASES
from op_runs import problem_of, solve
from sanitized import sanitized_ends
from test_bf16 import problem_of as bf16_problem_of
from voxelgrad import ops
from voxelgrad.backends import cpu, reference
from voxelgrad.dtypes import BFLOAT16

# Ops all of whose functions the backend has; a new one is added with its kernels.
OPS = (
    *("conv1d", "conv2d", "conv3d", "linear", "matmul"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "exp", "log", "sqrt", "abs"),
    *("square", "clip", "prelu", "add", "sub", "mul", "div", "sum", "mean"),
    *("concat", "pad", "crop", "getitem", "reshape", "transpose", "dropout"),
    *("softmax", "log_softmax", "cross_entropy", "focal_loss", "dice_loss", "dice_ce_loss"),
    *("binary_cross_entropy_with_logits", "mse_loss", "l1_loss"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("global_avg_pool", "global_max_pool", "interpolate"),
    *("batch_norm", "instance_norm", "group_norm", "layer_norm"),
)

# Of the large cases those that one block cannot do alone, and that an emulation does in seconds.
LARGE_OPS = (
    *("batch_norm", "instance_norm", "group_norm", "layer_norm"),
    *("max_pool2d", "avg_pool3d", "adaptive_avg_pool2d"),
)
CUDA_CASES = [
    *(case for case in CASES if case.op in OPS),
    *(case for case in LARGE_CASES if case.op in LARGE_OPS),
]
CUDA_BF16_CASES = [case for case in CUDA_CASES if bf16_bounds.accepts(case)]
# Those that run on tensor cores; elsewhere they do by the kernel that all devices have.
CUDA_WARPGROUP_CASES = [
    case for case in CUDA_BF16_CASES if case.op.startswith("conv") and channels_in_eights(case)
]
CUDA_NORMS = [case for case in CUDA_CASES if "norm" in case.op]


@pytest.mark.parametrize("case", sanitized_ends(CUDA_CASES), ids=lambda case: case.name)
def test_float32_is_within_the_rounding_bound(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    results = evaluate_on_device(case, *problem.in_float32())
    assert_within(results, problem.expected, bounds)


@pytest.mark.parametrize("case", sanitized_ends(CUDA_BF16_CASES), ids=lambda case: case.name)
def test_bfloat16_is_within_the_rounding_bound(case: OpCase) -> None:
    assert_bfloat16_is_within_the_bound(case)


@pytest.mark.parametrize("case", CUDA_WARPGROUP_CASES, ids=lambda case: case.name)
def test_bfloat16_by_warpgroups_is_within_the_rounding_bound(case: OpCase) -> None:
    with products_by("wgmma"):
        assert_bfloat16_is_within_the_bound(case)


def assert_bfloat16_is_within_the_bound(case: OpCase) -> None:
    problem = bf16_problem_of(case)
    bounds = bf16_bounds.bounds_of(case, problem.arrays, problem.grad)
    arrays = [None if a is None else a.astype(BFLOAT16) for a in problem.arrays]
    results = evaluate_on_device(case, arrays, problem.grad.astype(BFLOAT16))
    assert {result.dtype for result in results} == {BFLOAT16}
    assert_within([r.astype(np.float32) for r in results], problem.expected, bounds)


@pytest.mark.parametrize("case", CUDA_NORMS, ids=lambda case: case.name)
def test_norms_of_bfloat16_images_are_rounded_once(case: OpCase) -> None:
    """The bound of float32, and half a unit in the last of 8 bits: 2^-8 of the result."""
    image, *parameters = case.arrays(np.float32)
    image = image.astype(BFLOAT16)
    problem = solve(case, [image.astype(np.float64), *case.arrays(np.float64)[1:]])
    output, grad_input, *grads = evaluate_on_device(
        case, [image, *parameters], problem.grad.astype(BFLOAT16)
    )
    assert output.dtype == grad_input.dtype == BFLOAT16
    assert all(g.dtype == np.float32 for g in grads)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    for i in (0, 1):
        bounds[i] = bounds[i] * (1 + 2.0**-8) + 2.0**-8 * np.abs(problem.expected[i])
    results = [output.astype(np.float32), grad_input.astype(np.float32), *grads]
    assert_within(results, problem.expected, bounds)


def test_every_listed_op_has_cases(capsys: pytest.CaptureFixture[str]) -> None:
    everything = {case.op for case in CASES}
    assert set(OPS) <= everything
    with capsys.disabled():
        print(
            f"\nCUDA: {len(OPS)} of {len(everything)} ops, {len(CUDA_CASES)} cases in float32, "
            f"{len(CUDA_BF16_CASES)} in bfloat16; without kernels: "
            f"{', '.join(sorted(everything - set(OPS)))}"
        )


def test_results_repeat_bit_for_bit() -> None:
    cuda = backend()
    values = np.random.default_rng(0).standard_normal((5, 3001, 7)).astype(np.float32)
    totals = []
    for _ in range(2):
        output = cuda.empty((5, 1, 7), np.float32)
        cuda.reduce_sum(cuda.from_host(values), output, 1.0)
        totals.append(cuda.to_host(output))
    assert totals[0].tobytes() == totals[1].tobytes()
    np.testing.assert_allclose(totals[0][:, 0], values.sum(1, dtype=np.float64), rtol=1e-4)


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
def test_elements_beside_whole_packs_and_blocks_are_computed(dtype: np.dtype, first: int) -> None:
    cuda = backend()
    values = np.arange(20_011) % 251 - 100.0
    array = cuda.from_host(values.astype(dtype))[first:]
    output = cuda.empty(array.shape, dtype)
    cuda.activation_forward("square", array, output, 0.0)
    expected = np.square(values[first:]).astype(dtype)
    np.testing.assert_array_equal(cuda.to_host(output), expected)


@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
def test_first_maximum_and_first_nan_win(channels: int, dtype: np.dtype) -> None:
    cuda = backend()
    values = np.array([0.0, 1.0, -1.0, -np.inf, np.inf, np.nan])
    chances = [0.2, 0.35, 0.2, 0.15, 0.05, 0.05]
    image = np.random.default_rng(0).choice(values, (1, 9, 11, channels), p=chances)
    shape, window = (1, 5, 10, channels), ((3, 2), (2, 1), (1, 0))
    expected, places = np.empty(shape), np.empty(shape, np.uint8)
    reference.max_pool_forward(image, expected, places, *window)
    output, indices = cuda.empty(shape, dtype), cuda.empty(shape, np.uint8)
    cuda.max_pool_forward(cuda.from_host(image.astype(dtype)), output, indices, *window)
    np.testing.assert_array_equal(cuda.to_host(output).astype(np.float64), expected)
    np.testing.assert_array_equal(cuda.to_host(indices), places)


@pytest.mark.parametrize("statistic", [np.float32, np.float64])
def test_running_statistics_follow_those_of_the_cpu(statistic: type) -> None:
    backend()
    layers = [vg.nn.BatchNorm(5) for _ in range(2)]
    for layer in layers:
        layer.running_mean, layer.running_var = np.zeros(5, statistic), np.ones(5, statistic)
    layers[1].to("cuda")
    image = np.random.default_rng(0).standard_normal((2, 7, 6, 5)).astype(np.float32)
    for _ in range(3):
        layers[0](vg.Tensor(image))
        layers[1](vg.Tensor(image).to("cuda"))
    for name in ("running_mean", "running_var"):
        moved = getattr(layers[1].to("cpu"), name)
        assert moved.dtype == statistic
        np.testing.assert_allclose(moved, getattr(layers[0], name), rtol=1e-5, atol=1e-6)


def test_running_statistics_elsewhere_than_the_input_are_refused() -> None:
    backend()
    layer, image = vg.nn.BatchNorm(3), vg.Tensor(np.zeros((2, 4, 3), np.float32))
    with pytest.raises(TypeError, match="running_mean lies on 'cpu' and input on 'cuda'"):
        ops.batch_norm(image.to("cuda"), layer.running_mean, layer.running_var, training=True)
    layer.to("cuda")
    with pytest.raises(TypeError, match="running_mean lies on 'cuda' and input on 'cpu'"):
        ops.batch_norm(image, layer.running_mean, layer.running_var, training=True)


def test_batch_norm_folds_into_weights_as_on_the_cpu() -> None:
    cuda, rng = backend(), np.random.default_rng(0)
    weight = rng.standard_normal((6, 3, 3, 4)).astype(np.float32)
    bias, scale, mean = rng.standard_normal((3, 6)).astype(np.float32)
    variance = rng.uniform(0.5, 2.0, 6).astype(np.float32)
    expected = np.empty_like(weight), np.empty_like(bias)
    cpu.batch_norm_fold(weight, bias, scale, None, mean, variance, *expected, 1e-3)
    folded = cuda.empty(weight.shape), cuda.empty(bias.shape)
    given = [cuda.from_host(a) for a in (weight, bias, scale, mean, variance)]
    cuda.batch_norm_fold(*given[:3], None, *given[3:], *folded, 1e-3)
    for result, exact in zip(folded, expected, strict=True):
        np.testing.assert_allclose(cuda.to_host(result), exact, rtol=1e-6)
