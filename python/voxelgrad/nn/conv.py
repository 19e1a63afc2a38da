"""Convolutions and transposed convolutions over channels-last images.

The weight is ``(out_channels, *kernel_size, in_channels // groups)``, for the transposed ones too.
A convolution that a norm follows is best built with ``bias=False``: the norm subtracts the mean,
and with it any bias. Initial values have PyTorch's default bounds.
"""

from __future__ import annotations

import math

from voxelgrad import ops
from voxelgrad.nn import arguments, init
from voxelgrad.nn.arguments import Ints
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


class Convolution(Module):
    """What all convolutions share: settings, weight, bias and their printing."""

    rank: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        owner = type(self).__name__
        self.in_channels = arguments.at_least(owner, "in_channels", in_channels, 1)
        self.out_channels = arguments.at_least(owner, "out_channels", out_channels, 1)
        self.groups = arguments.groups_divide(
            owner, groups, in_channels=in_channels, out_channels=out_channels
        )
        self.kernel_size = arguments.spatial(owner, "kernel_size", kernel_size, self.rank)
        self.stride = arguments.spatial(owner, "stride", stride, self.rank)
        self.padding = arguments.spatial(owner, "padding", padding, self.rank, least=0)
        self.dilation = arguments.spatial(owner, "dilation", dilation, self.rank)
        shape = (out_channels, *self.kernel_size, in_channels // groups)
        fan_in = self._default_fan_in()
        self.weight = Parameter(init.default_weight(shape, fan_in))
        self.bias = Parameter(init.default_weight((out_channels,), fan_in)) if bias else None

    def _default_fan_in(self) -> int:
        return math.prod(self.kernel_size) * (self.in_channels // self.groups)

    def extra_repr(self) -> str:
        """Return channels, kernel size and whatever differs from the defaults."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        defaults = {"stride": 1, "padding": 0, "dilation": 1}
        for name, default in defaults.items():
            if any(value != default for value in getattr(self, name)):
                parts.append(f"{name}={getattr(self, name)}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return two operations for each weight and output position."""
        return 2 * math.prod(output_shape[:-1]) * self.weight.size


class Conv1d(Convolution):
    """Convolution of a signal: (N, L, in_channels) -> (N, L', out_channels).

    Each output size is (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1. Several
    signals that have ``in_channels`` together are convolved as one, joined along the channels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one integer or one for each spatial axis.
        stride: Step of the kernel, likewise.
        padding: Zeros added at both ends, likewise.
        dilation: Distance between the kernel's taps, likewise.
        groups: Groups of channels convolved apart; ``in_channels`` for a depthwise convolution.
        bias: Whether to add a bias; leave it out before a norm.

    Raises:
        ValueError: If an argument is out of range or the channels do not split into the groups.
    """

    rank = 1

    def forward(self, input: Tensor, *more: Tensor) -> Tensor:
        """Return the convolved signal (N, L', out_channels)."""
        return ops.conv1d(
            (input, *more) if more else input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class Conv2d(Convolution):
    """Convolution of an image: (N, H, W, in_channels) -> (N, H', W', out_channels).

    Arguments and sizes as for `Conv1d`.
    """

    rank = 2

    def forward(self, input: Tensor, *more: Tensor) -> Tensor:
        """Return the convolved image (N, H', W', out_channels)."""
        return ops.conv2d(
            (input, *more) if more else input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class Conv3d(Convolution):
    """Convolution of a volume: (N, D, H, W, in_channels) -> (N, D', H', W', out_channels).

    Arguments and sizes as for `Conv1d`.
    """

    rank = 3

    def forward(self, input: Tensor, *more: Tensor) -> Tensor:
        """Return the convolved volume (N, D', H', W', out_channels)."""
        return ops.conv3d(
            (input, *more) if more else input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class TransposedConvolution(Convolution):
    """A convolution run backwards: it enlarges by its stride."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )
        self.output_padding = arguments.spatial(
            type(self).__name__, "output_padding", output_padding, self.rank, least=0
        )

    def _default_fan_in(self) -> int:
        # PyTorch stores this weight with the input channels first and so takes the outputs here.
        return math.prod(self.kernel_size) * (self.out_channels // self.groups)

    def extra_repr(self) -> str:
        """Return the settings of a convolution and the output padding."""
        text = super().extra_repr()
        return f"{text}, output_padding={self.output_padding}" if any(self.output_padding) else text

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return two operations for each weight and input position."""
        return 2 * math.prod(input_shape[:-1]) * self.weight.size


class ConvTranspose1d(TransposedConvolution):
    """Transposed convolution of a signal: (N, L, in_channels) -> (N, L', out_channels).

    Each output size is
    (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Size of the kernel, one integer or one for each spatial axis.
        stride: Enlargement, likewise.
        padding: Positions cut from both ends of the output, likewise.
        output_padding: Positions added at the far end only, likewise.
        dilation: Distance between the kernel's taps, likewise.
        groups: Groups of channels that stay apart.
        bias: Whether to add a bias; leave it out before a norm.

    Raises:
        ValueError: If an argument is out of range or the channels do not split into the groups.
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        """Return the enlarged signal (N, L', out_channels)."""
        return ops.conv_transpose1d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )


class ConvTranspose2d(TransposedConvolution):
    """Transposed convolution of an image: (N, H, W, in_channels) -> (N, H', W', out_channels).

    Arguments and sizes as for `ConvTranspose1d`.
    """

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        """Return the enlarged image (N, H', W', out_channels)."""
        return ops.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )


class ConvTranspose3d(TransposedConvolution):
    """Transposed convolution: (N, D, H, W, in_channels) -> (N, D', H', W', out_channels).

    Arguments and sizes as for `ConvTranspose1d`.
    """

    rank = 3

    def forward(self, input: Tensor) -> Tensor:
        """Return the enlarged volume (N, D', H', W', out_channels)."""
        return ops.conv_transpose3d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )
