"""Norms in bfloat16, and with an activation in the same pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import ml_dtypes
import numpy as np
import pytest

import voxelgrad as vg
from bounds import bounds_of
from comparison import assert_within
from instruction_sets import VECTOR
from op_case import OpCase
from op_cases import CASES, LARGE_CASES
from op_runs import evaluate, solve
from voxelgrad import nn, ops
from voxelgrad.backends import cpu
from voxelgrad.nn.norm import normalise

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NORMS = [case for case in CASES if "norm" in case.op]
LARGE_NORMS = [case for case in LARGE_CASES if "norm" in case.op]


@pytest.fixture
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cpu.isa_name()
    cpu.set_isa(request.param)
    yield
    cpu.set_isa(before)


@pytest.mark.parametrize("instruction_set", VECTOR, indirect=True)
@pytest.mark.parametrize("case", [*NORMS, *LARGE_NORMS], ids=lambda case: case.name)
def test_bfloat16_images_are_rounded_once(case: OpCase, instruction_set: None) -> None:
    """The bound of float32, and half a unit in the last of 8 bits: 2^-8 of the result."""
    image, *parameters = case.arrays(np.float32)
    image = image.astype(BFLOAT16)
    problem = solve(case, [image.astype(np.float64), *case.arrays(np.float64)[1:]])
    grad = problem.grad.astype(BFLOAT16)
    output, grad_input, *grads = evaluate(case, "cpu", [image, *parameters], grad)
    assert output.dtype == grad_input.dtype == BFLOAT16
    assert all(g.dtype == np.float32 for g in grads)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    rounded = 2.0**-8
    for i in (0, 1):
        bounds[i] = bounds[i] * (1 + rounded) + rounded * np.abs(problem.expected[i])
    results = [output.astype(np.float32), grad_input.astype(np.float32), *grads]
    assert_within(results, problem.expected, bounds)


ACTIVATIONS: list[tuple[Callable[[], nn.Module], tuple]] = [
    (nn.ReLU, ("relu",)),
    (lambda: nn.LeakyReLU(0.3), ("leaky_relu", 0.3)),
]
LAYERS: list[Callable[[], nn.Module]] = [
    lambda: nn.BatchNorm(24),
    lambda: nn.InstanceNorm(24),
    lambda: nn.GroupNorm(6, 24),
    lambda: nn.LayerNorm(24),
]


def _image(dtype: np.dtype) -> vg.Tensor:
    values = np.random.default_rng(0).standard_normal((2, 9, 7, 24)).astype(dtype)
    return vg.Tensor(values, requires_grad=True)


@pytest.mark.parametrize(("activation", "settings"), ACTIVATIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_the_fused_activation_gives_the_bits_of_the_separate_one(
    layer: Callable[[], nn.Module], activation: Callable[[], nn.Module], settings: tuple
) -> None:
    norm, image = layer(), _image(np.dtype(np.float32))
    norm.weight.data[::2] = -0.5
    norm.bias.data[1::3] = 0.25
    separate = activation()(norm(image))
    np.testing.assert_array_equal(norm(image, *settings).numpy(), separate.numpy())


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_fuse_what_they_can(layer: Callable[[], nn.Module]) -> None:
    norm, image = layer(), _image(np.dtype(np.float32))
    for activation in (nn.ReLU(), nn.LeakyReLU(0.2)):
        assert normalise(norm, activation, image).node.op == norm(image).node.op
    assert normalise(norm, nn.ELU(), image).node.op == "elu"
    assert normalise(nn.Identity(), nn.ReLU(), image).node.op == "relu"


def test_a_forward_hook_sees_what_lies_between_norm_and_activation() -> None:
    norm, activation, image = nn.BatchNorm(24), nn.ReLU(), _image(np.dtype(np.float32))
    seen: list[vg.Tensor] = []
    remove = norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    output = normalise(norm, activation, image)
    assert seen[0].numpy().min() < 0
    np.testing.assert_array_equal(output.numpy(), np.maximum(seen[0].numpy(), 0))
    remove()
    activation.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    normalise(norm, activation, image)
    np.testing.assert_array_equal(seen[1].numpy(), seen[0].numpy())


def test_a_gradient_that_nobody_else_holds_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    image = _image(np.dtype(np.float32))
    weight = vg.Tensor(np.ones((4, 1, 1, 24), np.float32))
    loss = ops.conv2d(ops.instance_norm(image, activation="relu"), weight).sum()
    shapes: list[tuple[int, ...]] = []
    allocate = cpu.empty

    def counted(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        shapes.append(shape)
        return allocate(shape, dtype)

    monkeypatch.setattr(cpu, "empty", counted)
    loss.backward()
    assert shapes.count(image.shape) == 1  # from the convolution; the norm writes into it
