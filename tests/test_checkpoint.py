"""Parts of a network that are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn, ops
from voxelgrad.backends import cpu
from voxelgrad.models.blocks import ConvBlock

SHAPE = (2, 10, 12, 3)
Call = Callable[..., vg.Tensor]


def _image(requires_grad: bool = True) -> vg.Tensor:
    values = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    return vg.Tensor(values, requires_grad)


def _plain(function: Call, *inputs: Any) -> vg.Tensor:
    return function(*inputs)


def _step(run: Callable[..., vg.Tensor], part: Call, modules: nn.Module) -> dict[str, bytes]:
    """Return the bits of everything that a step leaves behind, with the part run by ``run``."""
    vg.manual_seed(3)
    image = _image()
    output = run(part, image)
    (output * output).sum().backward()
    left = {f"grad {n}": p.grad.numpy().tobytes() for n, p in modules.named_parameters()}
    left |= {n: b.tobytes() for n, b in modules.named_buffers()}
    left |= {"output": output.numpy().tobytes(), "image": image.grad.numpy().tobytes()}
    return left | {"random": str(vg.random.get_state()).encode()}


def _build(norm: str) -> nn.Module:
    vg.manual_seed(0)
    first = ConvBlock(3, 8, 2, norm, "relu")
    return nn.Sequential(first, nn.Dropout(0.3), ConvBlock(8, 5, 2, norm, "leaky_relu"))


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_everything_a_step_leaves_is_the_same_bit_for_bit(norm: str) -> None:
    kept, again = _build(norm), _build(norm)
    assert _step(vg.checkpoint, again, again) == _step(_plain, kept, kept)


def test_parts_one_after_the_other_and_one_inside_the_other() -> None:
    kept, again = _build("batch"), _build("batch")

    def parts(x: vg.Tensor) -> vg.Tensor:
        first, dropout, second = again
        inner = vg.checkpoint(lambda y: vg.checkpoint(first, dropout(y)), x)
        return vg.checkpoint(second, inner)

    def plain(x: vg.Tensor) -> vg.Tensor:
        first, dropout, second = kept
        return second(first(dropout(x)))

    assert _step(_plain, parts, again) == _step(_plain, plain, kept)


def test_the_second_run_has_the_number_format_of_the_first() -> None:
    seen: list[np.dtype] = []

    def part(x: vg.Tensor, weight: vg.Tensor) -> vg.Tensor:
        output = ops.conv2d(x, weight)
        seen.append(output.dtype)
        return output

    weight = vg.Tensor(np.ones((16, 1, 1, 3), np.float32), True)
    with vg.autocast():
        output = vg.checkpoint(part, _image(), weight)
    output.backward(np.ones(output.shape, output.dtype))
    assert len(seen) == 2
    assert seen[0] == seen[1] == output.dtype


def test_parameters_learn_although_the_image_needs_no_gradient() -> None:
    conv = nn.Conv2d(3, 4, 3)
    vg.checkpoint(conv, _image(requires_grad=False)).sum().backward()
    expected, conv.weight.grad = conv.weight.grad.numpy(), None
    conv(_image(requires_grad=False)).sum().backward()
    np.testing.assert_array_equal(expected, conv.weight.grad.numpy())


def test_hooks_of_parameters_run_once_with_the_whole_gradient() -> None:
    conv, seen = nn.Conv2d(3, 3, 1, bias=False), []
    conv.weight.register_hook(seen.append)
    output = vg.checkpoint(conv, _image()) + conv(_image())
    output.sum().backward()
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0].numpy(), conv.weight.grad.numpy())


def test_arguments_that_are_not_used_or_no_tensors_are_fine() -> None:
    x, unused = _image(), _image()
    vg.checkpoint(lambda x, unused, factor: x * factor, x, unused, 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(SHAPE, 2.0))
    assert unused.grad is None
    assert not vg.checkpoint(lambda x: x * 2.0, _image(False)).requires_grad
    with vg.no_grad():
        assert not vg.checkpoint(lambda x: x * 2.0, x).requires_grad


def test_the_identity_passes_the_gradient() -> None:
    x = _image()
    (vg.checkpoint(lambda x: x, x) + x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(SHAPE, 2.0))


def test_only_the_inputs_are_kept() -> None:
    vg.manual_seed(0)
    chain = nn.Sequential(
        *(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Tanh()) for _ in "1234")
    )
    image = vg.Tensor(np.ones((1, 256, 256, 8), np.float32))  # 2 MiB, as is every result

    def held(run: Callable[..., vg.Tensor]) -> int:
        before = cpu.memory_statistics()["in_use"]
        output = run(chain, image)
        used = cpu.memory_statistics()["in_use"] - before
        assert output.requires_grad
        return used

    assert held(vg.checkpoint) < 1.5 * image.data.nbytes
    assert held(_plain) > 3.5 * image.data.nbytes


def test_a_result_from_outside_has_to_be_an_argument() -> None:
    outside = _image() * 2.0
    with pytest.raises(RuntimeError, match=r"uses the result of mul.*pass that tensor"):
        vg.checkpoint(lambda x: x + outside, _image())


def test_the_function_returns_one_tensor() -> None:
    with pytest.raises(TypeError, match="the function returned tuple"):
        vg.checkpoint(lambda x: (x, x), _image())
