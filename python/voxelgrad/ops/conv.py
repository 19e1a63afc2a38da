"""Convolution and transposed convolution of sequences, images and volumes.

Images are ``(N, *spatial, C)``, weights ``(out_channels, *kernel, in_channels // groups)`` for both
directions.
"""

from __future__ import annotations

from voxelgrad.autograd import restore
from voxelgrad.dtypes import parameter_dtype
from voxelgrad.ops._arguments import IntOrTuple, Shape, as_ints, check_parameter
from voxelgrad.ops._conv_shape import conv_shape, conv_transpose_shape
from voxelgrad.ops._padding import Padding, split_uneven
from voxelgrad.ops.cast import Lowered
from voxelgrad.tensor import Array, Tensor


class _Convolution(Lowered):
    """Settings of both convolutions, and which gradients to compute."""

    __slots__ = (
        "dilation",
        "groups",
        "input_shape",
        "op",
        "output_shape",
        "padding",
        "rank",
        "stride",
        "weight_shape",
    )
    input_names = ("input", "weight", "bias")
    op: str

    def __init__(
        self,
        op: str,
        rank: int,
        stride: IntOrTuple,
        padding: IntOrTuple,
        dilation: IntOrTuple,
        groups: int,
    ) -> None:
        self.op = op
        self.rank = rank
        self.stride = as_ints(op, "stride", stride, rank)
        self.padding = as_ints(op, "padding", padding, rank)
        self.dilation = as_ints(op, "dilation", dilation, rank)
        self.groups = groups if type(groups) is int else as_ints(op, "groups", groups, 1)[0]

    def _settings(self) -> tuple[Shape, Shape, Shape, int]:
        return self.stride, self.padding, self.dilation, self.groups

    def _keep(self, input: Array, weight: Array) -> None:
        """Save what the gradients that are asked for will need."""
        self.input_shape = input.shape
        self.weight_shape = weight.shape
        needs_input, needs_weight, _ = self.needs_grad
        kept = self.keep(0, input) if needs_weight else None
        self.saved = (kept, weight if needs_input else None)

    def _data_gradient(self, grad_output: Array, weight: Array, grad_input: Array) -> None:
        raise NotImplementedError

    def _weight_gradient(
        self, grad_output: Array, input: Array, grad_weight: Array, grad_bias: Array | None
    ) -> None:
        raise NotImplementedError

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        kept, weight = self.saved
        # The input goes first and is let go, so that its gradient can take its memory.
        self.saved = ()
        empty, dtype = self.backend.empty, grad_output.dtype
        needs_input, needs_weight, needs_bias = self.needs_grad
        grad_input = grad_weight = None
        learned = parameter_dtype(dtype)
        grad_bias = empty(grad_output.shape[-1:], learned) if needs_bias else None
        if needs_weight:
            grad_weight = empty(self.weight_shape, learned)
            self._weight_gradient(grad_output, restore(kept), grad_weight, grad_bias)
        elif grad_bias is not None:
            self.backend.reduce_sum(
                grad_output, grad_bias.reshape((1,) * (grad_output.ndim - 1) + (-1,)), 1.0
            )
        del kept
        if needs_input:
            grad_input = empty(self.input_shape, dtype)
            self._data_gradient(grad_output, weight, grad_input)
        return grad_input, grad_weight, grad_bias


class Conv(_Convolution):
    """Cross-correlation of 1 to 3 spatial axes, with stride, zero padding, dilation and groups."""

    __slots__ = ()

    def check(self, input: Array, weight: Array, bias: Array | None) -> None:
        self.output_shape = conv_shape(
            self.op, self.rank, input.shape, weight.shape, *self._settings()
        )
        check_parameter(self.op, "bias", bias, self.output_shape[-1], "the output")

    def forward(self, input: Array, weight: Array, bias: Array | None) -> Array:
        self._keep(input, weight)
        output: Array = self.backend.empty(self.output_shape, input.dtype)
        self.backend.conv_forward(input, weight, bias, output, *self._settings(), 1.0)
        return output

    def _data_gradient(self, grad_output: Array, weight: Array, grad_input: Array) -> None:
        self.backend.conv_backward_data(grad_output, weight, grad_input, *self._settings())

    def _weight_gradient(
        self, grad_output: Array, input: Array, grad_weight: Array, grad_bias: Array | None
    ) -> None:
        self.backend.conv_backward_weight(
            grad_output, input, grad_weight, grad_bias, *self._settings()
        )


class ConvTranspose(_Convolution):
    """Transposed convolution: the gradient of a convolution with respect to its input."""

    __slots__ = ("output_padding",)

    def __init__(
        self,
        op: str,
        rank: int,
        stride: IntOrTuple,
        padding: IntOrTuple,
        output_padding: IntOrTuple,
        dilation: IntOrTuple,
        groups: int,
    ) -> None:
        super().__init__(op, rank, stride, padding, dilation, groups)
        self.output_padding = as_ints(op, "output_padding", output_padding, rank)

    def check(self, input: Array, weight: Array, bias: Array | None) -> None:
        self.output_shape = conv_transpose_shape(
            self.op,
            self.rank,
            input.shape,
            weight.shape,
            *self._settings(),
            self.output_padding,
        )
        check_parameter(self.op, "bias", bias, self.output_shape[-1], "the output")

    def forward(self, input: Array, weight: Array, bias: Array | None) -> Array:
        self._keep(input, weight)
        output: Array = self.backend.empty(self.output_shape, input.dtype)
        self.backend.conv_transpose_forward(input, weight, bias, output, *self._settings(), 1.0)
        return output

    def _data_gradient(self, grad_output: Array, weight: Array, grad_input: Array) -> None:
        self.backend.conv_transpose_backward_data(
            grad_output, weight, grad_input, *self._settings()
        )

    def _weight_gradient(
        self, grad_output: Array, input: Array, grad_weight: Array, grad_bias: Array | None
    ) -> None:
        self.backend.conv_transpose_backward_weight(
            grad_output, input, grad_weight, grad_bias, *self._settings()
        )


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve sequences; as ``conv2d`` with one spatial axis.

    Args:
        input: ``(N, L, C)``.
        weight: ``(out_channels, K, C // groups)``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Step of the kernel.
        padding: Zeros added at both ends; ``[(before, after)]`` where they differ.
        dilation: Distance between kernel elements.
        groups: Number of independent blocks of channels.

    Returns:
        ``(N, (L + 2 * padding - dilation * (K - 1) - 1) // stride + 1, out_channels)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    input, even = split_uneven("conv1d", input, padding, 1)
    return Conv("conv1d", 1, stride, even, dilation, groups).apply(input, weight, bias)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve images (cross-correlation: the kernel is not flipped).

    Args:
        input: ``(N, H, W, C)``.
        weight: ``(out_channels, KH, KW, C // groups)``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Step of the kernel, an int or one per spatial axis.
        padding: Zeros added on both sides, an int or one per spatial axis; or a pair
            ``(before, after)`` per axis.
        dilation: Distance between kernel elements, an int or one per spatial axis.
        groups: Number of independent blocks of channels; ``C`` makes it depthwise.

    Returns:
        ``(N, OH, OW, out_channels)``, ``OH = (H + 2 * padding - dilation * (KH - 1) - 1) // stride
        + 1``.

    Raises:
        ValueError: If shapes or settings do not fit.
        TypeError: If dtypes are mixed.
    """
    input, even = split_uneven("conv2d", input, padding, 2)
    return Conv("conv2d", 2, stride, even, dilation, groups).apply(input, weight, bias)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: Padding = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve volumes; as ``conv2d`` with three spatial axes.

    Args:
        input: ``(N, D, H, W, C)``.
        weight: ``(out_channels, KD, KH, KW, C // groups)``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Step of the kernel, an int or one per spatial axis.
        padding: Zeros added on both sides, an int or one per spatial axis; or a pair
            ``(before, after)`` per axis.
        dilation: Distance between kernel elements, an int or one per spatial axis.
        groups: Number of independent blocks of channels.

    Returns:
        ``(N, OD, OH, OW, out_channels)``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    input, even = split_uneven("conv3d", input, padding, 3)
    return Conv("conv3d", 3, stride, even, dilation, groups).apply(input, weight, bias)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: IntOrTuple = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of sequences ``(N, L, C)``; as ``conv_transpose2d``."""
    function = ConvTranspose(
        "conv_transpose1d", 1, stride, padding, output_padding, dilation, groups
    )
    return function.apply(input, weight, bias)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: IntOrTuple = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of images, which scales them up by ``stride``.

    Args:
        input: ``(N, H, W, C)``.
        weight: ``(out_channels, KH, KW, C // groups)``: the layout of ``conv2d``.
        bias: ``(out_channels,)`` or ``None``.
        stride: Distance between the outputs of neighbouring inputs.
        padding: Elements cut off on both sides of the output.
        output_padding: Elements added at the end of each axis, less than stride or dilation.
        dilation: Distance between kernel elements.
        groups: Number of independent blocks of channels.

    Returns:
        ``(N, OH, OW, out_channels)`` with
        ``OH = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + 1 + output_padding``.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    function = ConvTranspose(
        "conv_transpose2d", 2, stride, padding, output_padding, dilation, groups
    )
    return function.apply(input, weight, bias)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrTuple = 1,
    padding: IntOrTuple = 0,
    output_padding: IntOrTuple = 0,
    dilation: IntOrTuple = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of volumes ``(N, D, H, W, C)``; as ``conv_transpose2d``."""
    function = ConvTranspose(
        "conv_transpose3d", 3, stride, padding, output_padding, dilation, groups
    )
    return function.apply(input, weight, bias)
