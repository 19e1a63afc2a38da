"""Calls of compiled training that do the work of several: the same bits, fewer calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import voxelgrad as vg
from instruction_sets import ALL, forced
from test_compile import eager_step
from voxelgrad import nn, ops
from voxelgrad.backends import cpu, recording, reference

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


def trained(
    build: Callable[[], nn.Module], batches: list[tuple[np.ndarray, np.ndarray]], compiled: bool
) -> list[float | bytes | None]:
    """Return the loss and the gradients' bits of a step with each batch; None: no gradient."""
    vg.manual_seed(0)
    net, results = build(), []
    update = vg.optim.SGD(net.parameters(), 0.1)
    step = vg.compile(net, ops.cross_entropy)
    for batch in batches:
        loss = step(*batch) if compiled else eager_step(net, ops.cross_entropy, *batch)
        results.append(loss)
        results += [
            p.grad if p.grad is None else p.grad.numpy().tobytes() for p in net.parameters()
        ]
        update.step()
    return results


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
    batches = [
        (rng.standard_normal((5, 8, 8, 3), np.float32), rng.integers(0, 3, 5)) for _ in "abc"
    ]
    assert trained(lambda: Branches(join), batches, False) == trained(
        lambda: Branches(join), batches, True
    )


def test_relus_take_no_calls_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(27, 5), nn.ReLU(), nn.Linear(5, 2)),
    )
    names = recorded(monkeypatch, net, np.ones((4, 8, 8, 1), np.float32))
    assert "activation_forward" not in names
    assert names.count("activation_backward") == 1  # that of the linear layer
    assert names.count("relu_max_pool_forward") == names.count("max_pool_backward") == 1


POOLED = [  # shape of the input, output channels, kernel, padding, window
    ((17, 22, 19, 1), 6, (5, 5), (2, 2), (2, 2)),  # a row and a column that no window sees
    ((8, 9, 40, 3), 11, (3, 4), (1, 0), (1, 4)),
    ((9, 24, 60, 2), 3, (5, 3), (0, 3), (3, 3)),  # more windows in a row than a vector holds
]


@pytest.mark.parametrize("isa", ALL)
@pytest.mark.parametrize("case", POOLED, ids=str)
def test_a_weight_gradient_from_a_pool_is_that_of_both(case: tuple, isa: str) -> None:
    shape, channels, kernel, padding, window = case
    rng = np.random.default_rng(3)
    inner = [n + 2 * p - k + 1 for n, k, p in zip(shape[1:3], kernel, padding, strict=True)]
    pooled = (shape[0], *(n // w for n, w in zip(inner, window, strict=True)), channels)
    image = rng.standard_normal(shape, np.float32)
    grad = rng.standard_normal(pooled, np.float32) * (rng.random(pooled) < 0.9)
    indices = rng.integers(0, window[0] * window[1], pooled).astype(np.uint8)
    indices[rng.random(pooled) < 0.2] = 255  # no place
    between = np.empty((shape[0], *inner, channels), np.float32)
    results = [
        (np.empty((channels, *kernel, shape[-1]), np.float32), np.empty(channels, np.float32))
        for _ in range(3)
    ]
    with forced("direct", isa):
        assert cpu.conv_reads_pooled(image, results[0][0], padding, window)
        cpu.max_pool_backward(grad, indices, between, window, window, (0, 0))
        settings = ((1, 1), padding, (1, 1), 1)
        cpu.conv_backward_weight(between, image, *results[0], *settings)
        cpu.conv_pooled_backward_weight(grad, indices, image, *results[1], padding, window)
    reference.conv_backward_weight(between, image, *results[2], *settings)
    for both, one, expected in zip(*results, strict=True):
        assert both.tobytes() == one.tobytes()
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_a_pool_that_is_not_read_is_refused() -> None:
    image, weight = np.zeros((8, 20, 20, 1), np.float32), np.zeros((3, 5, 5, 1), np.float32)
    grad = np.zeros((8, 8, 8, 3), np.float32)
    indices = grad.astype(np.uint8)
    assert cpu.conv_reads_pooled(image, weight, (0, 0), (2, 2))
    for window in ((2, 1), (4, 4), (16, 16)):
        assert not cpu.conv_reads_pooled(image, weight, (0, 0), window)
        with pytest.raises(ValueError, match="does not take"):
            cpu.conv_pooled_backward_weight(grad, indices, image, weight, None, (0, 0), window)
    with pytest.raises(ValueError, match="must be"):
        cpu.conv_pooled_backward_weight(grad[:7], indices[:7], image, weight, None, (0, 0), (2, 2))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2), nn.MaxPool2d((1, 2))], ids=str
)
def test_small_images_train_alike(pool: nn.Module, padding: int) -> None:
    rng = np.random.default_rng(2)
    batches = [
        (rng.standard_normal((9, 22, 22, 1), np.float32), rng.integers(0, 4, 9)) for _ in "abc"
    ]

    def build() -> nn.Module:
        first, second = nn.Conv2d(1, 3, 5, padding=padding), nn.Conv2d(3, 4, 5)
        return nn.Sequential(first, nn.ReLU(), pool, second, nn.MaxPool2d(2), nn.GlobalAvgPool())

    eager = trained(build, batches, False)
    assert None not in eager
    assert eager == trained(build, batches, True)


def test_the_first_layers_gradient_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 2)
    )
    names = recorded(monkeypatch, net, np.ones((8, 20, 20, 1), np.float32))
    assert "max_pool_backward" not in names and "conv_backward_weight" not in names
    assert names.count("conv_pooled_backward_weight") == 1


def recorded(
    monkeypatch: pytest.MonkeyPatch,
    net: nn.Module,
    images: np.ndarray,
    pixels: tuple[int, ...] = (),
) -> list[str]:
    """Return the names of the calls in a plan of a training step; labels are (N, *pixels)."""
    names: list[str] = []
    record = recording.Recorder.call

    def call(self: recording.Recorder, name: str, *values: object) -> int:
        names.append(name)
        return record(self, name, *values)

    monkeypatch.setattr(recording.Recorder, "call", call)
    vg.compile(net, ops.cross_entropy)(images, np.zeros((len(images), *pixels), np.int64))
    return names
