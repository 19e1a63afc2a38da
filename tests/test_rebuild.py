"""Outputs that are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import autograd, nn, ops
from voxelgrad.models.blocks import ConvBlock
from voxelgrad.ops.norm import _Norm


def _gradients(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> list[bytes]:
    """Return the bits of the output and of every gradient."""
    vg.manual_seed(0)
    module = build()
    image = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    input = vg.Tensor(image, requires_grad=True)
    output = module(input)
    output.backward(np.random.default_rng(2).standard_normal(output.shape).astype(np.float32))
    return [output.numpy().tobytes()] + [
        p.grad.numpy().tobytes() for p in (input, *module.parameters())
    ]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu"])
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
def test_gradients_are_those_of_kept_outputs_bit_for_bit(
    norm: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            ConvBlock(3, 20, 2, norm, activation), ConvBlock(20, 8, 2, norm, activation)
        )

    rebuilt = _gradients(build, (2, 12, 10, 3))
    monkeypatch.setattr(autograd.Function, "keep", lambda self, index, array: array)
    assert _gradients(build, (2, 12, 10, 3)) == rebuilt


def test_layer_norm_in_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.LayerNorm((10, 3)), nn.Conv2d(3, 4, 3))

    rebuilt = _gradients(build, (2, 12, 10, 3))
    monkeypatch.setattr(autograd.Function, "keep", lambda self, index, array: array)
    assert _gradients(build, (2, 12, 10, 3)) == rebuilt


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_unet_with_its_skips(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> nn.Module:
        return vg.models.UNet(3, 4, features=(8, 16, 16), norm=norm)

    rebuilt = _gradients(build, (2, 16, 12, 3))
    monkeypatch.setattr(autograd.Function, "keep", lambda self, index, array: array)
    assert _gradients(build, (2, 16, 12, 3)) == rebuilt


def test_evaluation_of_batch_norm_is_rebuilt_from_its_running_statistics() -> None:
    norm = nn.BatchNorm(4).eval()
    norm.running_mean[...] = 0.5
    conv = nn.Conv2d(4, 3, 3)
    input = vg.Tensor(
        np.random.default_rng(1).standard_normal((1, 6, 6, 4)).astype(np.float32), True
    )
    expected = vg.Tensor(norm(input).numpy(), True)
    conv(expected).sum().backward()
    weight_gradient = conv.weight.grad.numpy().copy()
    conv.zero_grad()
    output = conv(norm(input)).sum()
    norm.running_mean[...] = -3.0  # later batches do not change what this one saw
    output.backward()
    np.testing.assert_array_equal(conv.weight.grad.numpy(), weight_gradient)


def test_a_convolution_keeps_the_norm_and_not_its_output() -> None:
    input = vg.Tensor(np.ones((1, 6, 6, 4), np.float32), requires_grad=True)
    weight = vg.Tensor(np.ones((3, 3, 3, 4), np.float32), requires_grad=True)
    hidden = ops.instance_norm(input, activation="relu")
    node = ops.conv2d(hidden, weight).node
    assert node.saved[0] is hidden.node
    assert isinstance(hidden.node, _Norm)
    # What nothing can make again is kept itself.
    assert ops.conv2d(input, weight).node.saved[0] is input.data


def test_two_losses_that_share_a_norm_say_that_its_graph_is_gone() -> None:
    input = vg.Tensor(np.random.default_rng(1).standard_normal((1, 6, 6, 4)), requires_grad=True)
    weight = vg.Tensor(np.ones((3, 3, 3, 4)), requires_grad=True)
    hidden = ops.instance_norm(input)
    loss = ops.conv2d(hidden, weight).sum()
    hidden.sum().backward()
    with pytest.raises(RuntimeError, match="the graph was freed by an earlier backward"):
        loss.backward()
