"""A convolution that sums the statistics of the norm behind it: the bits of one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest

import voxelgrad as vg
from instruction_sets import ALL, VECTOR, forced
from test_fusing import recorded, trained
from voxelgrad import nn, ops
from voxelgrad.backends import cpu

BF16 = np.dtype(ml_dtypes.bfloat16)


class Case(NamedTuple):
    """A convolution whose samples are cut into several chunks, with a rest."""

    size: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: int
    kernel: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    groups: int = 1


ODD = Case((2, 43, 47), (16,), 40, (3, 3), padding=1)  # pixels that two chunks share, two panels
JOINED = Case((2, 43, 47), (32, 7), 33, (3, 3), padding=1)
IN_BLOCKS = Case((2, 31, 37), (32, 64), 64, (3, 3), padding=1)
VOLUME = Case((2, 7, 19, 17), (16,), 24, (3, 3, 3), padding=1)
TAPS_IN_DEPTH = Case((1, 9, 19, 17), (16,), 24, (2, 3, 3))
MANY_CHANNELS = Case((1, 9, 9), (320,), 480, (3, 3), padding=1)  # in phases
STRIDED = Case((2, 73, 75), (32,), 64, (3, 3), stride=2, padding=1)
GROUPS = Case((2, 41, 31), (6,), 34, (5, 2), stride=1, padding=2, groups=2)
COARSE = Case((3, 90, 85), (3,), 20, (3, 3), stride=2)
FEW_CHANNELS = Case((2, 120, 90), (8,), 5, (3, 3), padding=1)  # vectors run over pixels
FIRST = Case((2, 60, 47), (3,), 20, (3, 3), padding=1)
SMALL_IMAGES = Case((40, 28, 28), (1,), 6, (5, 5))
HEAD = Case((2, 113, 97), (16,), 4, (1, 1))
DEPTHWISE = Case((2, 43, 47), (24,), 24, (3, 3), padding=1, groups=24)
SMALL = Case((3, 9, 8), (16,), 16, (3, 3), padding=1)  # samples side by side
LARGE = Case((1, 230, 190), (16,), 128, (3, 3), padding=1)  # written past the cache
WINOGRAD = [ODD, JOINED, IN_BLOCKS, VOLUME, TAPS_IN_DEPTH, MANY_CHANNELS, SMALL]
CHOSEN = [
    *WINOGRAD,
    STRIDED,
    GROUPS,
    COARSE,
    FEW_CHANNELS,
    FIRST,
    SMALL_IMAGES,
    HEAD,
    DEPTHWISE,
    LARGE,
]
FLOAT32 = [
    *(("", case) for case in CHOSEN),
    *((name, case) for name in ("winograd4", "winograd5", "winograd6") for case in WINOGRAD),
    *(("direct", case) for case in (*CHOSEN[:2], STRIDED, VOLUME, HEAD, DEPTHWISE, LARGE)),
    *(("naive", case) for case in (GROUPS, COARSE)),
    ("thin", FIRST),
]
BFLOAT16 = [
    *(("", case) for case in CHOSEN),
    *(("winograd4", case) for case in (*WINOGRAD, LARGE)),
    *(("tile", case) for case in (*CHOSEN[:-1], LARGE._replace(size=(1, 270, 270)))),
    *(("widened", case) for case in (ODD, JOINED, GROUPS, DEPTHWISE, SMALL_IMAGES)),
]
EVERY = [(np.dtype(np.float32), *run) for run in FLOAT32] + [(BF16, *run) for run in BFLOAT16]


class Arrays:
    """Arguments of both calls; their results are not numbers before."""

    def __init__(self, case: Case, dtype: np.dtype, norm: str, norm_groups: int) -> None:
        rng = np.random.default_rng(0)
        spatial = len(case.kernel)
        normal = rng.standard_normal
        self.inputs = [
            normal((*case.size, channels), np.float32).astype(dtype) for channels in case.inputs
        ]
        channels = case.outputs
        self.weight = normal((channels, *case.kernel, sum(case.inputs) // case.groups), np.float32)
        self.bias, self.scale, self.shift = normal((3, channels), np.float32) + np.float32(1)
        self.settings = (
            *((number,) * spatial for number in (case.stride, case.padding, 1)),
            case.groups,
        )
        extents = [
            (length + 2 * case.padding - taps) // case.stride + 1
            for length, taps in zip(case.size[1:], case.kernel, strict=True)
        ]
        statistics = (case.size[0], norm_groups) if norm == "group" else (channels,)
        self.norm = norm
        self.convolved, self.output = (
            np.full((case.size[0], *extents, channels), np.nan, dtype) for _ in "ab"
        )
        self.mean, self.invstd = (np.full(statistics, np.nan, np.float32) for _ in "ab")

    def results(self) -> list[bytes]:
        return [a.tobytes() for a in (self.convolved, self.output, self.mean, self.invstd)]

    def norm_arguments(self) -> tuple[Any, ...]:
        return (self.scale, self.shift, self.output, self.mean, self.invstd, 1e-5, "relu", 0.0)

    def one_after_the_other(self, slope: float) -> list[bytes]:
        layer = (self.weight, self.bias, self.convolved, *self.settings, slope)
        if len(self.inputs) == 1:
            cpu.conv_forward(*self.inputs, *layer)
        else:
            cpu.conv_joined_forward(self.inputs, *layer)
        norm = cpu.batch_norm_forward if self.norm == "batch" else cpu.group_norm_forward
        norm(self.convolved, *self.norm_arguments())
        return self.results()

    def at_once(self, slope: float) -> list[bytes]:
        layer = (self.weight, self.bias, self.convolved, *self.settings, slope)
        cpu.conv_norm_forward(self.inputs, *layer, self.norm, *self.norm_arguments())
        return self.results()


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = cpu.num_threads()
    yield cpu.set_num_threads
    cpu.set_num_threads(before)


@pytest.mark.parametrize(
    ("dtype", "algorithm", "case"), EVERY, ids=lambda v: "x".join(map(str, getattr(v, "size", [v])))
)
def test_bits_are_those_of_two_calls(
    dtype: np.dtype, algorithm: str, case: Case, threads: Callable[[int], None]
) -> None:
    """For the statistics of the batch, of an image, of its groups of channels, and of each."""
    kinds = [("batch", 0), *(("group", g) for g in (1, 2, case.outputs) if case.outputs % g == 0)]
    for isa in VECTOR if dtype == np.float32 else ALL:
        with forced(algorithm, isa):
            for number, (norm, norm_groups) in enumerate(kinds):
                threads(1 + number % 3)
                slope = (1.0, 0.0, 0.25)[number % 3]
                expected = Arrays(case, dtype, norm, norm_groups).one_after_the_other(slope)
                assert Arrays(case, dtype, norm, norm_groups).at_once(slope) == expected, norm


@pytest.mark.parametrize("case", [ODD, VOLUME, STRIDED, LARGE], ids=lambda case: str(case.size))
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BF16], ids=str)
def test_bits_are_the_same_for_any_number_of_threads(
    dtype: np.dtype, case: Case, threads: Callable[[int], None]
) -> None:
    runs = []
    for count in (1, 2, 3, 3, 3):
        threads(count)
        runs.append(Arrays(case, dtype, "batch", 0).at_once(1.0))
    assert all(run == runs[0] for run in runs)


def test_the_norm_may_write_over_its_input() -> None:
    apart, same = (Arrays(ODD, np.dtype(np.float32), "batch", 0) for _ in "ab")
    same.output = same.convolved
    apart.at_once(1.0), same.at_once(1.0)
    np.testing.assert_array_equal(same.convolved, apart.output)
    np.testing.assert_array_equal(same.mean, apart.mean)


def test_one_input_is_not_copied() -> None:
    """The memory that the call takes is less than a copy would need."""
    arrays = Arrays(LARGE._replace(inputs=(128,)), np.dtype(np.float32), "batch", 0)
    with forced("direct", cpu.isa_name()):
        arrays.at_once(1.0)
        cpu.memory_reset_peak()
        before = cpu.memory_statistics()["in_use"]
        arrays.at_once(1.0)
        assert cpu.memory_statistics()["peak_in_use"] - before < arrays.inputs[0].nbytes / 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"norm": "layer"}, "conv_norm_forward: norm 'layer' must be batch or group"),
    ({"inputs": []}, "conv_norm_forward: inputs must be one image or more"),
    ({"bias": np.zeros(3, np.float32)}, r"conv_norm_forward: bias \(3\) must be \(40,\)"),
    ({"scale": np.zeros(3, np.float32)}, r"the norm of conv_output: weight \(3\) must have shape"),
    ({"mean": np.zeros((2, 3), np.float32)}, r"the norm of conv_output: mean \(2, 3\)"),
    ({"output": np.zeros((2, 9, 9, 40), np.float32)}, "output .* must have the same shape"),
    ({"convolved": np.zeros((2, 9, 9, 40), np.float32)}, "conv_output|output"),
    ({"weight": np.zeros((40, 3, 3, 5), np.float32)}, "conv_norm_forward: .*weight"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=lambda v: next(iter(v)))
def test_bad_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    arrays = Arrays(ODD, np.dtype(np.float32), "batch", 0)
    for name, value in wrong.items():
        setattr(arrays, name, value)
    with pytest.raises(ValueError, match=message):
        arrays.at_once(1.0)
    assert np.isnan(arrays.convolved).all() or "convolved" in wrong


def test_an_output_that_does_not_fit_the_convolution_is_refused() -> None:
    arrays = Arrays(ODD, np.dtype(np.float32), "batch", 0)
    arrays.convolved, arrays.output = arrays.convolved[1:], arrays.output[1:]
    with pytest.raises(ValueError, match="conv_norm_forward: batch sizes 2 and 1 differ"):
        arrays.at_once(1.0)


def batches(shape: tuple[int, ...], classes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [
        (rng.standard_normal(shape, np.float32), rng.integers(0, classes, shape[:-1]))
        for _ in "abc"
    ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("rank", "norm"), [(2, "batch"), (2, "instance"), (2, "group"), (3, "instance"), (3, "batch")]
)
def test_training_is_that_of_eager_steps(rank: int, norm: str, precision: str) -> None:
    shape = (2, *(16, 44, 40)[-rank:], 3)

    def build() -> nn.Module:
        return vg.models.UNet(3, 4, spatial_dims=rank, features=(16, 32), norm=norm)

    def bits(compiled: bool) -> list[Any]:
        return trained(build, batches(shape, 4), compiled)

    if precision == "float32":
        assert bits(True) == bits(False)
        return
    with vg.autocast(precision):
        assert bits(True) == bits(False)


def test_a_plan_holds_no_norm_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither behind a convolution nor behind one of several images; others stay."""
    net = vg.models.UNet(3, 4, features=(16, 32))
    names = recorded(monkeypatch, net, np.ones((2, 16, 16, 3), np.float32), (16, 16))
    assert names.count("conv_norm_forward") == 6
    assert "batch_norm_forward" not in names and "conv_joined_forward" not in names
    assert names.count("conv_forward") == 1  # the head


class Readers(nn.Module):
    """A convolution and a norm, whose results others read, too."""

    def __init__(self, join: Callable[..., vg.Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.both = nn.Conv2d(32, 16, 3, padding=1)
        self.norm, self.other = nn.BatchNorm(16), nn.GroupNorm(4, 16)
        self.head = nn.Conv2d(16, 4, 1)
        self.join = join

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        return self.head(self.join(self, input))


def output_is_read_before(net: Readers, x: vg.Tensor) -> vg.Tensor:
    hidden = net.conv(x)
    return ops.relu(hidden) + net.norm(hidden)


def output_is_read_after(net: Readers, x: vg.Tensor) -> vg.Tensor:
    hidden = net.conv(x)
    return net.norm(hidden) + ops.relu(hidden)


def two_norms(net: Readers, x: vg.Tensor) -> vg.Tensor:
    hidden = net.conv(x)
    return net.norm(hidden) + net.other(hidden)


def norm_of_a_relu(net: Readers, x: vg.Tensor) -> vg.Tensor:
    return net.norm(ops.relu(net.conv(x)))


def joined_skip(net: Readers, x: vg.Tensor) -> vg.Tensor:
    skip = net.norm(net.conv(x))
    return net.other(net.both([skip, ops.relu(skip)]))


def relu_of_a_joined_skip(net: Readers, x: vg.Tensor) -> vg.Tensor:
    skip = net.norm(net.conv(x))
    return ops.relu(net.both([skip, ops.relu(skip)]))


@pytest.mark.parametrize(
    "join",
    [
        output_is_read_before,
        output_is_read_after,
        two_norms,
        norm_of_a_relu,
        joined_skip,
        relu_of_a_joined_skip,
    ],
)
def test_whoever_else_reads_a_result_finds_it(join: Callable[..., vg.Tensor]) -> None:
    def bits(compiled: bool) -> list[Any]:
        return trained(lambda: Readers(join), batches((2, 48, 44, 3), 4), compiled)

    assert bits(True) == bits(False)
