"""Pooling layers over channels-last images."""

from __future__ import annotations

from voxelgrad import ops
from voxelgrad.nn import arguments
from voxelgrad.nn.arguments import Ints
from voxelgrad.nn.module import Module
from voxelgrad.tensor import Tensor


class Pool(Module):
    """What max and average pooling share: the window."""

    rank: int

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        owner = type(self).__name__
        self.kernel_size = arguments.spatial(owner, "kernel_size", kernel_size, self.rank)
        step = self.kernel_size if stride is None else stride
        self.stride = arguments.spatial(owner, "stride", step, self.rank)
        self.padding = arguments.spatial(owner, "padding", padding, self.rank, least=0)
        self.dilation = arguments.spatial(owner, "dilation", dilation, self.rank)
        self.ceil_mode = ceil_mode
        if any(
            2 * pad > kernel for pad, kernel in zip(self.padding, self.kernel_size, strict=True)
        ):
            raise ValueError(
                f"{owner}: padding is {self.padding}; it may be at most half of kernel_size "
                f"{self.kernel_size}, or a window would see padding only"
            )

    def _window(self) -> tuple[Ints, Ints, Ints, Ints, bool]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def extra_repr(self) -> str:
        """Return the window."""
        parts = [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if any(self.padding):
            parts.append(f"padding={self.padding}")
        if max(self.dilation) > 1:
            parts.append(f"dilation={self.dilation}")
        return ", ".join([*parts, "ceil_mode=True"] if self.ceil_mode else parts)


class AveragePool(Pool):
    """Average pooling: the window and whether padding counts."""

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        count_include_pad: bool = True,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)
        self.count_include_pad = count_include_pad

    def _counted_window(self) -> tuple[Ints, Ints, Ints, bool, Ints, bool]:
        window = (self.kernel_size, self.stride, self.padding)
        return *window, self.count_include_pad, self.dilation, self.ceil_mode


class MaxPool1d(Pool):
    """Largest value of each window: (N, L, C) -> (N, L', C).

    Each output size is (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1, rounded up
    with ``ceil_mode``.

    Args:
        kernel_size: Size of the window, one integer or one for each spatial axis.
        stride: Step of the window, likewise; None means the kernel size.
        padding: Positions added at both ends that never win, at most half the kernel size.
        dilation: Distance between the positions of a window.
        ceil_mode: Whether a last window may reach beyond the end.

    Raises:
        ValueError: If an argument is out of range.
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima, (N, L', C)."""
        return ops.max_pool1d(input, *self._window())


class MaxPool2d(Pool):
    """Largest value of each window: (N, H, W, C) -> (N, H', W', C); as `MaxPool1d`."""

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima, (N, H', W', C)."""
        return ops.max_pool2d(input, *self._window())


class MaxPool3d(Pool):
    """Largest value of each window: (N, D, H, W, C) -> (N, D', H', W', C); as `MaxPool1d`."""

    rank = 3

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima, (N, D', H', W', C)."""
        return ops.max_pool3d(input, *self._window())


class AvgPool1d(AveragePool):
    """Mean of each window: (N, L, C) -> (N, L', C).

    Each output size is (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1, rounded up
    with ``ceil_mode``.

    Args:
        kernel_size: Size of the window, one integer or one for each spatial axis.
        stride: Step of the window, likewise; None means the kernel size.
        padding: Zeros added at both ends, at most half the kernel size.
        count_include_pad: Whether padding counts in the mean's divisor.
        dilation: Distance between the positions of a window.
        ceil_mode: Whether a last window may reach beyond the end.

    Raises:
        ValueError: If an argument is out of range.
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, L', C)."""
        return ops.avg_pool1d(input, *self._counted_window())


class AvgPool2d(AveragePool):
    """Mean of each window: (N, H, W, C) -> (N, H', W', C); arguments as for `AvgPool1d`."""

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, H', W', C)."""
        return ops.avg_pool2d(input, *self._counted_window())


class AvgPool3d(AveragePool):
    """Mean of each window: (N, D, H, W, C) -> (N, D', H', W', C); arguments as for `AvgPool1d`."""

    rank = 3

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, D', H', W', C)."""
        return ops.avg_pool3d(input, *self._counted_window())


class _AdaptiveAvgPool(Module):
    """What adaptive poolings share: the output size."""

    rank: int

    def __init__(self, output_size: Ints) -> None:
        owner = type(self).__name__
        self.output_size = arguments.spatial(owner, "output_size", output_size, self.rank)

    def extra_repr(self) -> str:
        """Return the output size."""
        return str(self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of windows that give an output of a set size: (N, L, C) -> (N, output_size, C).

    Window i of n covers floor(i * size / n) to ceil((i + 1) * size / n).

    Args:
        output_size: Spatial size of the output, one integer or one for each axis.

    Raises:
        ValueError: If a size is below 1.
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, output_size, C)."""
        return ops.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool1d` for images: (N, H, W, C) -> (N, *output_size, C)."""

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, *output_size, C)."""
        return ops.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """As `AdaptiveAvgPool1d` for volumes: (N, D, H, W, C) -> (N, *output_size, C)."""

    rank = 3

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, *output_size, C)."""
        return ops.adaptive_avg_pool3d(input, self.output_size)


class GlobalAvgPool(Module):
    """Mean of each channel over all of space: (N, *spatial, C) -> (N, C)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, (N, C)."""
        return ops.global_avg_pool(input)


class GlobalMaxPool(Module):
    """Largest value of each channel over all of space: (N, *spatial, C) -> (N, C)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima, (N, C)."""
        return ops.global_max_pool(input)
