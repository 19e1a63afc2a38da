"""The error of Winograd convolution with stride 2, bounded by the transforms of its phases.

The fine grid is cut into phases by the remainders of its indices. Each is an image of its own, on
which the convolution has stride 1 and one or two taps on an axis; F(6x6, 2x2) takes them as two.
The bound is that of ``winograd_bounds``, the sums running over the phases, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from op_case import OpCase
from rounding import Arrays, Bounds, gamma
from winograd_bounds import Form, forward, split_padding, weight_gradient

FORM = Form(6, (0, 0.5, -0.5, 1, -1, 2, -2), taps=2)
PANEL = 32  # the fine grid's channels come in panels of that many


@dataclass(frozen=True)
class Axis:
    """One axis: fine index = stride * coarse index + tap - padding."""

    fine: int
    coarse: int
    kernel: int
    stride: int
    padding: int

    @property
    def slots(self) -> int:
        """Taps of a phase, those that it lacks included."""
        return self.kernel if self.stride == 1 else FORM.taps

    def taps(self, remainder: int, back: bool) -> list[tuple[int, int]]:
        """Return each tap of a phase and its offset; ``back``: from the coarse grid to the fine."""
        offsets = [(t, t - self.padding - remainder) for t in range(self.kernel)]
        sign = -1 if back else 1
        return [(t, sign * o // self.stride) for t, o in offsets if o % self.stride == 0]

    def lowest(self, back: bool) -> int:
        return min(o for r in range(self.stride) for _, o in self.taps(r, back))

    def count(self, remainder: int) -> int:
        """Fine pixels of a phase."""
        return -(-(self.fine - remainder) // self.stride)


def lifted(case: OpCase, name: str, rank: int, default: int) -> tuple[int, ...]:
    value = case.params.get(name, default)
    listed = (value,) * rank if isinstance(value, int) else tuple(value)
    return (*((1,) if rank == 2 else ()), *listed)


def accepts(case: OpCase) -> bool:
    """Whether Winograd's algorithm takes the case: kernel 3x3, stride 2, whole panels."""
    if not case.op.startswith("conv") or case.joined:
        return False
    kernel = case.args[1].shape[1:-1]
    rank = len(kernel)
    if kernel[-2:] != (3, 3):
        return False
    stride = lifted(case, "stride", rank, 1)
    ones = [*lifted(case, "dilation", rank, 1), case.params.get("groups", 1)]
    deep = stride[0] == 1 or (stride[0] == 2 and kernel[0] == 3)
    transposed = case.op.startswith("conv_transpose")
    channels = case.args[1].shape[0] if transposed else case.args[0].shape[-1]
    enough = transposed or all(
        n >= s for n, s in zip(case.args[0].shape[1:-1], stride[-rank:], strict=True)
    )
    return stride[1:] == (2, 2) and deep and set(ones) == {1} and channels % PANEL == 0 and enough


def resized(image: np.ndarray, low: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Cut (N, D, H, W, C), or fill it up with zeros, to ``size`` pixels from ``low`` on."""
    result = np.zeros((image.shape[0], *size, image.shape[-1]), image.dtype)
    ranges = [
        (max(0, o), min(n, o + s)) for o, n, s in zip(low, image.shape[1:4], size, strict=True)
    ]
    if all(begin < end for begin, end in ranges):
        to = tuple(slice(b - o, e - o) for (b, e), o in zip(ranges, low, strict=True))
        result[(slice(None), *to)] = image[(slice(None), *(slice(*r) for r in ranges))]
    return result


class Phases:
    """A convolution (N, D, H, W, C) -> (N, D', H', W', K), by the phases of its input."""

    def __init__(self, axes: list[Axis], absolute: bool) -> None:
        self.axes, self.absolute = axes, absolute

    def remainders(self) -> Iterator[tuple[int, ...]]:
        return product(*(range(axis.stride) for axis in self.axes))

    def pixels(self, remainder: tuple[int, ...]) -> tuple[slice, ...]:
        steps = zip(remainder, self.axes, strict=True)
        return (slice(None), *(slice(r, None, axis.stride) for r, axis in steps))

    def taps(self, remainder: tuple[int, ...], back: bool) -> Iterator[tuple[tuple, tuple]]:
        """Return where each tap of a phase lies in the weight, and among the phase's slots."""
        each = [
            [(t, o - axis.lowest(back)) for t, o in axis.taps(r, back)]
            for r, axis in zip(remainder, self.axes, strict=True)
        ]
        for pairs in product(*each):
            tap, slot = zip(*pairs, strict=True)
            yield (slice(None), *tap), (slice(None), *slot)

    def weight(self, w: np.ndarray, remainder: tuple[int, ...], back: bool) -> np.ndarray:
        slots = tuple(axis.slots for axis in self.axes)
        result = np.zeros((w.shape[0], *slots, w.shape[-1]), w.dtype)
        for tap, slot in self.taps(remainder, back):
            result[slot] = w[tap]
        return result

    def source(self, image: np.ndarray, back: bool, size: tuple[int, ...]) -> np.ndarray:
        low = tuple(axis.lowest(back) for axis in self.axes)
        slots = (axis.slots for axis in self.axes)
        return resized(image, low, tuple(n + s - 1 for n, s in zip(size, slots, strict=True)))

    def convolve(self, image: np.ndarray, w: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        source = self.source(image, False, size)
        return forward(FORM, source, w, (0, 0, 0), 1, self.absolute)

    def coarse_from_fine(self, fine: np.ndarray, w: np.ndarray) -> np.ndarray:
        size = tuple(axis.coarse for axis in self.axes)
        return sum(
            self.convolve(fine[self.pixels(r)], self.weight(w, r, False), size)
            for r in self.remainders()
        )

    def fine_from_coarse(self, coarse: np.ndarray, w: np.ndarray) -> np.ndarray:
        turned = w.transpose(4, 1, 2, 3, 0)
        fine = np.empty((coarse.shape[0], *(axis.fine for axis in self.axes), turned.shape[0]))
        for r in self.remainders():
            size = tuple(axis.count(i) for axis, i in zip(self.axes, r, strict=True))
            source = self.source(coarse, True, size)
            weight = self.weight(turned, r, True)
            fine[self.pixels(r)] = forward(FORM, source, weight, (0, 0, 0), 1, self.absolute)
        return fine

    def weight_gradient(self, fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
        kernel = tuple(axis.kernel for axis in self.axes)
        result = np.empty((coarse.shape[-1], *kernel, fine.shape[-1]))
        size = tuple(axis.coarse for axis in self.axes)
        for r in self.remainders():
            source = self.source(fine[self.pixels(r)], False, size)
            slots = self.axes[0].slots
            sums = weight_gradient(FORM, source, coarse, (0, 0, 0), slots, 1, self.absolute)
            for tap, slot in self.taps(r, False):
                result[tap] = sums[slot]
        return result


def passes(
    case: OpCase, arrays: Arrays, grad: np.ndarray, absolute: bool
) -> tuple[Bounds, list[Axis]]:
    """Return output, gradient of the input and of the weight by tiles, without the bias."""
    transposed = case.op.startswith("conv_transpose")
    x, w = arrays[0], arrays[1]
    rank = x.ndim - 2
    padding, more = split_padding(case, rank)
    x = np.pad(x, [(0, 0), *more, (0, 0)])
    if rank == 2:
        x, w, grad, padding = x[:, None], w[:, None], grad[:, None], (0, *padding)
    fine, coarse = (grad, x) if transposed else (x, grad)
    shapes = zip(fine.shape[1:4], coarse.shape[1:4], w.shape[1:4], strict=True)
    settings = zip(shapes, lifted(case, "stride", rank, 1), padding, strict=True)
    axes = [Axis(*shape, stride, pad) for shape, stride, pad in settings]
    phases = Phases(axes, absolute)
    if transposed:
        plain = w.transpose(4, 1, 2, 3, 0)
        grad_plain = phases.weight_gradient(grad, x)
        results = [
            phases.fine_from_coarse(x, plain),
            phases.coarse_from_fine(grad, plain),
            grad_plain.transpose(4, 1, 2, 3, 0),
        ]
    else:
        results = [
            phases.coarse_from_fine(x, w),
            phases.fine_from_coarse(grad, w),
            phases.weight_gradient(x, grad),
        ]
    if rank == 2:
        results = [results[0][:, 0], results[1][:, 0], results[2][:, 0]]
    inner = [slice(b, n - a) for (b, a), n in zip(more, results[1].shape[1:-1], strict=True)]
    results[1] = results[1][(slice(None), *inner)]
    return results, axes


def winograd_bounds(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Return bounds for the output and the gradients of input, weight and, if given, bias."""
    absolute = [None if a is None else np.abs(a) for a in arrays]
    results, axes = passes(case, absolute, np.abs(grad), True)
    coarse = [axis.coarse for axis in axes]
    tiles = len(grad) * coarse[0] * np.prod([-(-n // FORM.tile) for n in coarse[1:]])
    ties = axes[0].kernel * np.prod([axis.stride for axis in axes[1:]])
    lengths = (arrays[1].shape[-1] * ties, arrays[1].shape[0] * ties, tiles)
    bounds = [
        gamma(length + FORM.transforms) * result
        for length, result in zip(lengths, results, strict=True)
    ]
    if len(arrays) > 2 and arrays[2] is not None:
        pixels = tuple(range(grad.ndim - 1))
        bounds[0] = bounds[0] + gamma(0) * np.abs(arrays[2])
        bounds.append(gamma(grad.size // grad.shape[-1]) * np.abs(grad).sum(axis=pixels))
    return bounds
