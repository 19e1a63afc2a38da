"""A convolution of several images is that of their concatenation, which it need not make."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from weakref import ref

import numpy as np
import pytest

import voxelgrad as vg
from conv_cases import joined_case, joined_conv_cases
from instruction_sets import ALL, forced
from op_case import OpCase
from voxelgrad import nn, ops
from voxelgrad.backends import cpu
from voxelgrad.models.blocks import ConvBlock

SHAPES = [
    *joined_conv_cases(),
    joined_case((1, 30, 31), (48, 64), 40, (3, 3), padding=1),
    joined_case((2, 12, 13), (32, 64, 5), 40, (3, 3), padding=1),
    joined_case((1, 8, 9), (64, 32), 32, (2, 2), stride=2),
    joined_case((1, 4, 12, 13), (32, 48, 9), 33, (3, 3, 3), padding=1),
    joined_case((1, 72, 73), (32, 64), 32, (3, 3), stride=2, padding=1),
    joined_case((5, 60, 60), (128, 128), 128, (3, 3), padding=1),  # in phases
]
BY_NAME = [
    *product(("", "winograd4", "winograd6", "direct"), ("float32",)),
    *product(("", "winograd4", "winograd6", "tile", "widened"), ("bfloat16",)),
]


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float32") -> vg.Tensor:
    tensor = vg.Tensor(rng.standard_normal(shape, np.float32)).astype(dtype).detach()
    tensor.requires_grad = True
    return tensor


def results(case: OpCase, dtype: str, joined: bool) -> list[bytes]:
    """Return the bits of the output and of all gradients."""
    rng = np.random.default_rng(0)
    *shapes, weight_shape, bias_shape = [arg.shape for arg in case.args if arg]
    images = [normal(rng, shape, dtype) for shape in shapes]
    weight, bias = normal(rng, weight_shape), normal(rng, bias_shape)
    convolve = getattr(ops, case.op)
    output = convolve(images if joined else ops.concat(images), weight, bias, **case.params)
    output.backward(normal(rng, output.shape, dtype).data)
    grads = [tensor.grad for tensor in (*images, weight, bias)]
    return [tensor.numpy().tobytes() for tensor in (output, *grads)]


def takes(algorithm: str, case: OpCase) -> bool:
    kernel = case.args[-2].shape[1:-1] if case.args[-2] else ()
    return not algorithm.startswith("winograd") or (
        kernel[-2:] == (3, 3) and "stride" not in case.params
    )


@pytest.mark.parametrize("isa", ALL)
@pytest.mark.parametrize(("algorithm", "dtype"), BY_NAME)
def test_bits_are_those_of_the_concatenation(algorithm: str, dtype: str, isa: str) -> None:
    with forced(algorithm, isa):
        for case in SHAPES[:-1]:
            if takes(algorithm, case):
                assert results(case, dtype, True) == results(case, dtype, False), case.name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bits_of_many_channels_are_those_of_the_concatenation(dtype: str) -> None:
    with forced("winograd", cpu.isa_name()):
        assert results(SHAPES[-1], dtype, True) == results(SHAPES[-1], dtype, False)


def test_algorithms_asked_for_by_name_are_refused_as_ever() -> None:
    strided = joined_case((1, 9, 9), (16, 16), 16, (3, 3), stride=3)
    with forced("winograd", cpu.isa_name()), pytest.raises(ValueError, match="does not accept"):
        results(strided, "float32", True)


@pytest.mark.parametrize(
    ("algorithm", "dtype"),
    [("winograd4", "float32"), ("winograd6", "bfloat16"), ("tile", "bfloat16")],
)
def test_no_joined_image_is_made(algorithm: str, dtype: str) -> None:
    """Neither forward nor backward: the memory that a call takes is less than it would need."""
    rng = np.random.default_rng(0)
    settings = ((1, 1), (1, 1), (1, 1), 1)
    images = [normal(rng, (1, 500, 500, 32), dtype).data for _ in range(2)]
    weight = normal(rng, (32, 3, 3, 64)).data
    output, gradient = np.empty_like(images[0]), np.empty_like(weight)
    calls: dict[str, Callable[[], None]] = {
        "forward": lambda: cpu.conv_joined_forward(images, weight, None, output, *settings, 1.0),
        "data": lambda: cpu.conv_joined_backward_data(output, weight, images, *settings),
        "weight": lambda: cpu.conv_joined_backward_weight(
            output, images, gradient, None, *settings
        ),
    }
    with forced(algorithm, cpu.isa_name()):
        for name, call in calls.items():
            call()
            cpu.memory_reset_peak()
            before = cpu.memory_statistics()["in_use"]
            call()
            needed = cpu.memory_statistics()["peak_in_use"] - before
            assert needed < images[0].nbytes, name


def test_gradients_that_nobody_wants_are_left_out() -> None:
    rng = np.random.default_rng(0)
    images = [normal(rng, (2, 9, 8, channels)) for channels in (16, 20)]
    images[0].requires_grad = False
    weight = normal(rng, (8, 3, 3, 36))
    ops.conv2d(images, weight).sum().backward()
    assert images[0].grad is None
    joined = ops.concat([images[0], leaf := images[1].detach()])
    joined.requires_grad = True
    ops.conv2d(joined, weight.detach()).sum().backward()
    assert leaf.grad is None
    np.testing.assert_array_equal(images[1].grad.numpy(), joined.grad.numpy()[..., 16:])


def test_one_image_in_a_list_is_that_image() -> None:
    rng = np.random.default_rng(0)
    image, weight = normal(rng, (1, 6, 7, 5)), normal(rng, (4, 3, 3, 5))
    np.testing.assert_array_equal(
        ops.conv2d([image], weight).numpy(), ops.conv2d(image, weight).numpy()
    )


def test_a_skip_lives_no_longer_than_the_convolution_that_reads_it() -> None:
    vg.manual_seed(0)
    block = ConvBlock(12, 8, 2, "batch", "relu")
    images = [normal(np.random.default_rng(0), (1, 6, 7, channels)) for channels in (8, 4)]
    expected = block(ops.concat(images)).numpy()
    ends: list[bool] = []
    skip = ref(images[0])
    images[0].requires_grad = False
    block.conv2.register_forward_hook(lambda *_: ends.append(skip() is None))
    np.testing.assert_array_equal(block(images).numpy(), expected)
    assert ends == [True]
    assert images == []


def test_a_forward_hook_sees_the_images_that_a_block_joins() -> None:
    vg.manual_seed(0)
    model = vg.models.UNet(1, 2, features=(4, 8))
    seen: list[list[tuple[int, ...]]] = []
    model.decoder[0].register_forward_hook(
        lambda block, inputs, output: seen.append([image.shape for image in inputs[0]])
    )
    model(normal(np.random.default_rng(0), (1, 6, 8, 1)))
    assert seen == [[(1, 6, 8, 4)] * 2]


class Join(nn.Module):
    """A skip over a norm and a convolution, joined by what comes next."""

    def __init__(self, concat: bool, rank: int = 2) -> None:
        kinds = {2: nn.Conv2d, 3: nn.Conv3d}
        self.concat = concat
        self.first = kinds[rank](3, 16, 3, padding=1)
        self.norm = nn.BatchNorm(16)
        self.second = kinds[rank](16, 24, 3, padding=1)
        self.last = kinds[rank](40, 5, 3, padding=1)

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        skip = self.norm(self.first(input), "relu")
        features = self.second(skip)
        if self.concat:
            return self.last(ops.concat([skip, features]))
        return self.last(skip, features)


def trained(
    build: Callable[[], nn.Module], run: Callable[[nn.Module], Callable], rank: int
) -> list:
    """Return losses and weights of some steps."""
    vg.manual_seed(0)
    model, rng = build(), np.random.default_rng(1)
    step = run(model)
    shape = (2, *(5, 9, 8)[-rank:], 3)
    losses = []
    for _ in range(3):
        image = rng.standard_normal(shape, np.float32)
        losses.append(float(np.asarray(step(image, rng.integers(0, 5, shape[:-1])))))
    return [losses, *(p.numpy().tobytes() for p in model.parameters())]


def eager(model: nn.Module) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    optimizer = vg.optim.SGD(model.parameters(), 0.1)

    def step(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        loss = ops.cross_entropy(model(vg.Tensor(image)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.numpy()

    return step


def compiled(model: nn.Module) -> Callable[[np.ndarray, np.ndarray], float]:
    return vg.compile(model, ops.cross_entropy, vg.optim.SGD(model.parameters(), 0.1))


class Checkpointed(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return vg.checkpoint(self.model, input)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rank", [2, 3])
def test_training_is_the_same_with_and_without_concat(rank: int, dtype: str) -> None:
    ways: list[tuple[Callable[[], nn.Module], Callable]] = [
        (lambda: Join(True, rank), eager),
        (lambda: Join(False, rank), eager),
        (lambda: Join(False, rank), compiled),
        (lambda: Checkpointed(Join(False, rank)), eager),
        (lambda: Checkpointed(Join(False, rank)), compiled),
    ]
    if dtype == "bfloat16":
        with vg.autocast(dtype):
            first, *others = [trained(build, run, rank) for build, run in ways]
    else:
        first, *others = [trained(build, run, rank) for build, run in ways]
    assert all(other == first for other in others)
