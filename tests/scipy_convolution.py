"""Convolution and its gradients by ``scipy.signal``: one image, one pair of channels at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.signal import convolve, correlate

from op_case import OpCase
from winograd_bounds import split_padding

Shape = tuple[int, ...]


class ScipyConvolution:
    """The three passes between a fine grid and a coarse one; weights are [coarse, fine // groups].

    A stride takes every so many results, a dilated kernel has zeros between its elements.
    """

    def __init__(self, case: OpCase) -> None:
        self.rank = len(case.args[1].shape) - 2
        self.groups = case.params.get("groups", 1)
        self.stride = self._setting(case, "stride")
        self.dilation = self._setting(case, "dilation")
        even, more = split_padding(case, self.rank)
        self.padding = [(p + b, p + a) for p, (b, a) in zip(even, more, strict=True)]

    def _setting(self, case: OpCase, name: str) -> Shape:
        value = case.params.get(name, 1)
        return (value,) * self.rank if isinstance(value, int) else tuple(value)

    def _spread(self, kernel: np.ndarray) -> np.ndarray:
        spread = np.zeros(
            [(n - 1) * d + 1 for n, d in zip(kernel.shape, self.dilation, strict=True)]
        )
        spread[tuple(slice(None, None, d) for d in self.dilation)] = kernel
        return spread

    def _every(self, steps: Shape) -> tuple[slice, ...]:
        return tuple(slice(None, None, step) for step in steps)

    def _channels(self, coarse: int, fine: int) -> Iterator[tuple[int, int, int]]:
        """Yield pairs of channels, and where the second one is in the weight."""
        group = fine // self.groups
        for k in range(coarse):
            begin = k * self.groups // coarse * group
            for place in range(group):
                yield k, begin + place, place

    def _padded(self, fine: np.ndarray) -> np.ndarray:
        return np.pad(fine, [(0, 0), *self.padding, (0, 0)])

    def _raised(self, coarse: np.ndarray, padded: Shape, kernel: Shape) -> np.ndarray:
        """Return the coarse grid with zeros between its elements: every position of the kernel."""
        reach = [(n - 1) * d + 1 for n, d in zip(kernel, self.dilation, strict=True)]
        positions = [n - r + 1 for n, r in zip(padded, reach, strict=True)]
        raised = np.zeros((coarse.shape[0], *positions, coarse.shape[-1]))
        raised[(slice(None), *self._every(self.stride))] = coarse
        return raised

    def gather(self, fine: np.ndarray, weight: np.ndarray, coarse_shape: Shape) -> np.ndarray:
        padded, coarse = self._padded(fine), np.zeros(coarse_shape)
        for k, c, place in self._channels(weight.shape[0], fine.shape[-1]):
            kernel = self._spread(weight[k, ..., place])
            for n in range(len(fine)):
                every = correlate(padded[n, ..., c], kernel, "valid", "direct")
                coarse[n, ..., k] += every[self._every(self.stride)]
        return coarse

    def scatter(self, coarse: np.ndarray, weight: np.ndarray, fine_shape: Shape) -> np.ndarray:
        padded = self._padded(np.zeros(fine_shape))
        raised = self._raised(coarse, padded.shape[1:-1], weight.shape[1:-1])
        for k, c, place in self._channels(weight.shape[0], fine_shape[-1]):
            kernel = self._spread(weight[k, ..., place])
            for n in range(len(coarse)):
                padded[n, ..., c] += convolve(raised[n, ..., k], kernel, "full", "direct")
        inner = (
            slice(b, n - a) for (b, a), n in zip(self.padding, padded.shape[1:-1], strict=True)
        )
        return padded[(slice(None), *inner)]

    def weight(self, fine: np.ndarray, coarse: np.ndarray, shape: Shape) -> np.ndarray:
        padded, gradient = self._padded(fine), np.zeros(shape)
        raised = self._raised(coarse, padded.shape[1:-1], shape[1:-1])
        for k, c, place in self._channels(shape[0], fine.shape[-1]):
            for n in range(len(fine)):
                every = correlate(padded[n, ..., c], raised[n, ..., k], "valid", "direct")
                gradient[k, ..., place] += every[self._every(self.dilation)]
        return gradient


def _swapped(weight: np.ndarray, groups: int) -> np.ndarray:
    """Turn [a, *kernel, b // groups] into [b, *kernel, a // groups]."""
    blocks = weight.reshape(groups, -1, *weight.shape[1:])  # G, a / G, *kernel, b / G
    blocks = np.swapaxes(blocks, 1, -1)  # G, b / G, *kernel, a / G
    return blocks.reshape(-1, *blocks.shape[2:])


def evaluate_with_scipy(
    case: OpCase, arrays: list[np.ndarray | None], grad: np.ndarray
) -> list[np.ndarray]:
    """Return output and gradients of a convolution or a transposed one."""
    input, weight, bias = arrays
    assert input is not None and weight is not None
    scipy = ScipyConvolution(case)
    forward: Callable[..., np.ndarray] = scipy.gather
    backward: Callable[..., np.ndarray] = scipy.scatter
    if case.op.startswith("conv_transpose"):
        forward, backward = backward, forward
        weight = _swapped(weight, scipy.groups)
        by_tap = _swapped(scipy.weight(grad, input, weight.shape), scipy.groups)
    else:
        by_tap = scipy.weight(input, grad, weight.shape)
    output = forward(input, weight, grad.shape)
    gradients = [backward(grad, weight, input.shape), by_tap]
    if bias is None:
        return [output, *gradients]
    return [output + bias, *gradients, grad.reshape(-1, grad.shape[-1]).sum(axis=0)]
