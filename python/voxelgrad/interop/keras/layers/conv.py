"""Convolutions of every kind, and the dense layer."""

from __future__ import annotations

import math

from voxelgrad import ops
from voxelgrad.interop.keras.layers.activation import activation
from voxelgrad.interop.keras.layers.base import Layer, Settings, check_rank, ranked
from voxelgrad.interop.keras.layout import DEPTHWISE, OUT_BEFORE_LAST, OUT_LAST
from voxelgrad.interop.spatial import CONVOLUTIONS, Pairs, check_growth, enlarged, same_padding
from voxelgrad.tensor import Tensor


class Dense(Layer):
    """Matrix product with the last axis."""

    def set_up(self, settings: Settings) -> None:
        """Keep kernel and bias."""
        self.activation = activation(settings.get("activation"))
        self.keep("kernel", 2, OUT_LAST)
        if settings.flag("use_bias", True):
            self.keep("bias", 1)

    def forward(self, input: Tensor) -> Tensor:
        """Return activation(input @ kernel + bias)."""
        weight = self.get("weight")
        assert weight is not None
        return self.activation(ops.linear(input, weight, self.get("bias")))

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return two operations for each weight and row."""
        return _flops(self, output_shape)


class _Spatial(Layer):
    """What convolutions share: window, padding, bias and activation."""

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")

    def set_up(self, settings: Settings) -> None:
        settings.need_channels_last()
        self.stride = settings.ints("strides", self.rank)
        self.dilation = settings.ints("dilation_rate", self.rank)
        self.padding = settings.choice("padding", "valid", self.paddings)
        self.activation = activation(settings.get("activation"))
        self.kernel = self.keep_kernel(settings)
        if settings.flag("use_bias", True):
            self.keep("bias", 1)

    def keep_kernel(self, settings: Settings) -> tuple[int, ...]:
        """Keep the kernels and return the spatial size of the first."""
        raise NotImplementedError

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return two operations for each weight and output position."""
        return _flops(self, output_shape)

    def pads(self, size: tuple[int, ...]) -> Pairs:
        """Return the padding before and after each axis of an image of this size."""
        window = zip(size, self.kernel, self.stride, self.dilation, strict=True)
        if self.padding == "same":
            return tuple(same_padding(*axis) for axis in window)
        if self.padding == "causal":
            return tuple((d * (k - 1), 0) for _, k, _, d in window)
        return ((0, 0),) * self.rank

    def convolved(self, input: Tensor, name: str, bias: Tensor | None, groups: int) -> Tensor:
        """Return the input convolved with the kernel of this name."""
        check_rank(input, self.rank)
        weight = self.get(name)
        assert weight is not None
        pads = self.pads(input.shape[1:-1])
        padded = [n + sum(pair) for n, pair in zip(input.shape[1:-1], pads, strict=True)]
        check_growth(input.size, (input.shape[0], *padded, input.shape[-1]))
        output: Tensor = CONVOLUTIONS[self.rank](
            input, weight, bias, self.stride, pads, self.dilation, groups
        )
        return output


class Conv(_Spatial):
    """Convolution."""

    def keep_kernel(self, settings: Settings) -> tuple[int, ...]:
        """Keep it."""
        self.groups = settings.ints("groups", 1)[0]
        return self.keep("kernel", self.rank + 2, OUT_LAST, self.groups)[: self.rank]

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolved image."""
        return self.activation(self.convolved(input, "weight", self.get("bias"), self.groups))


class DepthwiseConv(_Spatial):
    """Convolution of each channel apart."""

    def keep_kernel(self, settings: Settings) -> tuple[int, ...]:
        """Keep it."""
        self.groups = self.shape_of("kernel", self.rank + 2)[-2]
        return self.keep("kernel", self.rank + 2, DEPTHWISE, self.groups)[: self.rank]

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolved image."""
        return self.activation(self.convolved(input, "weight", self.get("bias"), self.groups))


class SeparableConv(_Spatial):
    """Convolution of each channel apart, then of all channels pixel by pixel."""

    def keep_kernel(self, settings: Settings) -> tuple[int, ...]:
        """Keep both kernels."""
        ndim = self.rank + 2
        self.groups = self.shape_of("depthwise_kernel", ndim)[-2]
        shape = self.keep("depthwise_kernel", ndim, DEPTHWISE, self.groups)
        self.keep("pointwise_kernel", ndim, OUT_LAST)
        return shape[: self.rank]

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolved image."""
        between = self.convolved(input, "depthwise_kernel", None, self.groups)
        pointwise, bias = self.get("pointwise_kernel"), self.get("bias")
        output: Tensor = CONVOLUTIONS[self.rank](between, pointwise, bias)
        return self.activation(output)


class ConvTranspose(_Spatial):
    """Transposed convolution."""

    def keep_kernel(self, settings: Settings) -> tuple[int, ...]:
        """Keep it, and read what the output gets more."""
        given = settings.get("output_padding")
        self.extra = settings.ints("output_padding", self.rank, 0, 0) if given is not None else None
        return self.keep("kernel", self.rank + 2, OUT_BEFORE_LAST)[: self.rank]

    def forward(self, input: Tensor) -> Tensor:
        """Return the enlarged image: stride times as large with padding "same"."""
        check_rank(input, self.rank)
        weight = self.get("weight")
        assert weight is not None
        cut = tuple(self._cut(axis) for axis in range(self.rank))
        full = [
            (n - 1) * s + d * (k - 1) + 1 - sum(pair)
            for n, s, d, k, pair in zip(
                input.shape[1:-1], self.stride, self.dilation, self.kernel, cut, strict=True
            )
        ]
        check_growth(input.size, (input.shape[0], *full, weight.shape[0]))
        none = (0,) * self.rank
        settings = (self.stride, self.dilation, 1)
        output = enlarged(self.rank, input, weight, self.get("bias"), settings, none, cut)
        return self.activation(output)

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return two operations for each weight and input position."""
        return _flops(self, input_shape)

    def _cut(self, axis: int) -> tuple[int, int]:
        """Return what is cut from both ends of an axis of the full output; below 0 is added.

        With "same" padding the result is the gradient of the convolution that makes the input of an
        image ``stride`` times as large: that one pads the smaller half of its padding in front.
        """
        stride = self.stride[axis]
        kernel = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        extra = None if self.extra is None else self.extra[axis]
        if self.padding == "valid":
            return 0, -(max(kernel, stride) - kernel if extra is None else extra)
        total = kernel - stride if extra is None else kernel - kernel % 2 - extra
        before = max(0, total // 2)
        return before, total - before


def _flops(layer: Layer, shape: tuple[int, ...]) -> int:
    """Return two operations for each weight but the bias, and each position of an image."""
    kernels = [value for name, value in layer.named_parameters() if name != "bias"]
    return 2 * math.prod(shape[:-1]) * sum(kernel.size for kernel in kernels)


_CAUSAL = {"paddings": ("valid", "same", "causal")}

LAYERS: dict[str, type[Layer]] = {
    "Dense": Dense,
    **ranked(Conv, "Conv{}D", (1,), **_CAUSAL),
    **ranked(Conv, "Conv{}D", (2, 3)),
    **ranked(ConvTranspose, "Conv{}DTranspose"),
    **ranked(DepthwiseConv, "DepthwiseConv{}D", (1, 2)),
    **ranked(SeparableConv, "SeparableConv{}D", (1,), **_CAUSAL),
    **ranked(SeparableConv, "SeparableConv{}D", (2,)),
}
