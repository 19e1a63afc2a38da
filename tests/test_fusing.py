"""Calls of compiled training that do the work of several: the same bits, fewer calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import voxelgrad as vg
from instruction_sets import ALL, forced
from voxelgrad import nn, ops
from voxelgrad.backends import cpu, recording

SHAPES = [(3, 6, 14, 5), (2, 5, 7, 1), (1, 4, 4, 40), (2, 9, 3)]
WINDOWS = [(2, 2, 0), (3, 2, 1), (2, 1, 0)]  # kernel size, stride, padding


@pytest.mark.parametrize("isa", ALL)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_pool_of_relu_is_both(
    shape: tuple[int, ...], window: tuple[int, int, int], isa: str
) -> None:
    """Ties, NaN, both zeros and windows without a positive number; bit for bit, back as well."""
    rng, rank = np.random.default_rng(len(shape)), len(shape) - 2
    settings = [[n] * rank for n in window]
    image = rng.choice(
        np.array([-2, -1, -0.0, 0, 2, np.nan], np.float32), shape, p=[0.18] * 5 + [0.1]
    )
    size, step, margin = window
    spatial = [(length + 2 * margin - size) // step + 1 for length in shape[1:-1]]
    pooled = (shape[0], *spatial, shape[-1])
    grad = rng.integers(-9, 9, pooled).astype(np.float32)
    results = []
    for fused in (False, True):
        output, indices = np.empty(pooled, np.float32), np.empty(pooled, np.uint8)
        grad_image, positive = np.empty_like(image), np.empty_like(image)
        with forced("", isa):
            if fused:
                cpu.relu_max_pool_forward(image, output, indices, *settings)
                cpu.max_pool_backward(grad, indices, grad_image, *settings)
            else:
                cpu.activation_forward("relu", image, positive, 0.0)
                cpu.max_pool_forward(positive, output, indices, *settings)
                cpu.max_pool_backward(grad, indices, grad_image, *settings)
                cpu.activation_backward("relu", grad_image, positive, grad_image, 0.0)
        results.append((output.tobytes(), grad_image.tobytes()))
    assert results[0] == results[1]


def test_large_windows_are_refused() -> None:
    image, output = np.zeros((1, 16, 16, 1), np.float32), np.zeros((1, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="256"):
        cpu.relu_max_pool_forward(
            image, output, np.zeros(output.shape, np.uint8), (16, 16), (16, 16), (0, 0)
        )


class Branches(nn.Module):
    """Layers whose results have more readers than the next layer."""

    def __init__(self, join: Callable[..., vg.Tensor]) -> None:
        super().__init__()
        self.image = nn.Parameter(
            np.linspace(-1, 1, 5 * 8 * 8 * 3, dtype=np.float32).reshape(5, 8, 8, 3)
        )
        self.conv, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 3)
        self.join = join

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return self.head(self.join(self, input).mean((1, 2)))


def pooled(x: vg.Tensor) -> vg.Tensor:
    return ops.max_pool2d(x, 2)


def input_of_relu_is_read(net: Branches, x: vg.Tensor) -> vg.Tensor:
    hidden = net.conv(x)
    return pooled(ops.relu(hidden)) + pooled(hidden)


def relu_is_read_before_its_pool(net: Branches, x: vg.Tensor) -> vg.Tensor:
    hidden = ops.relu(net.conv(x))
    return pooled(net.other(hidden)) + pooled(hidden)


def relu_is_read_after_its_pool(net: Branches, x: vg.Tensor) -> vg.Tensor:
    hidden = ops.relu(net.conv(x))
    return pooled(hidden) + pooled(net.other(hidden))


def relu_is_pooled_twice(net: Branches, x: vg.Tensor) -> vg.Tensor:
    hidden = ops.relu(net.conv(x))
    return pooled(hidden) + ops.max_pool2d(hidden, 3, 2, 1)


def relu_and_pool_of_a_parameter(net: Branches, x: vg.Tensor) -> vg.Tensor:
    return pooled(ops.relu(net.image)) + pooled(net.image) + pooled(net.conv(x))


def layer_is_read_twice(net: Branches, x: vg.Tensor) -> vg.Tensor:
    hidden = net.conv(x)
    return pooled(ops.relu(net.other(ops.relu(hidden))) + hidden)


def window_of_many_places(net: Branches, x: vg.Tensor) -> vg.Tensor:
    return ops.max_pool2d(ops.relu(net.conv(x)), 16, 2, 8 - 1)


@pytest.mark.parametrize(
    "join",
    [
        input_of_relu_is_read,
        relu_is_read_before_its_pool,
        relu_is_read_after_its_pool,
        relu_is_pooled_twice,
        relu_and_pool_of_a_parameter,
        layer_is_read_twice,
        window_of_many_places,
    ],
)
def test_whoever_else_reads_a_result_finds_it(join: Callable[..., vg.Tensor]) -> None:
    rng = np.random.default_rng(1)
    results = []
    batches = [
        (rng.standard_normal((5, 8, 8, 3), np.float32), rng.integers(0, 3, 5)) for _ in "abc"
    ]
    for compiled in (False, True):
        vg.manual_seed(0)
        net = Branches(join)
        update = vg.optim.SGD(net.parameters(), 0.1)
        step = vg.compile(net, ops.cross_entropy)
        for image, label in batches:
            if compiled:
                results.append(step(image, label))
            else:
                net.zero_grad()
                loss = ops.cross_entropy(net(vg.Tensor(image)), label)
                loss.backward()
                results.append(loss.item())
            results += [p.grad.numpy().tobytes() for p in net.parameters() if p.grad is not None]
            update.step()
    half = len(results) // 2
    assert results[:half] == results[half:]


def test_relus_take_no_calls_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    record = recording.Recorder.call

    def call(self: recording.Recorder, name: str, *values: object) -> int:
        names.append(name)
        return record(self, name, *values)

    monkeypatch.setattr(recording.Recorder, "call", call)
    net = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(27, 5), nn.ReLU(), nn.Linear(5, 2)),
    )
    step = vg.compile(net, ops.cross_entropy)
    step(np.ones((4, 8, 8, 1), np.float32), np.zeros(4, np.int64))
    assert "activation_forward" not in names
    assert names.count("activation_backward") == 1  # that of the linear layer
    assert names.count("relu_max_pool_forward") == names.count("max_pool_backward") == 1
