"""The ops behind ``conv.py``: what they check and save, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from voxelgrad.autograd import restore
from voxelgrad.dtypes import parameter_dtype
from voxelgrad.ops._arguments import IntOrTuple, Shape, as_ints, check_parameter
from voxelgrad.ops._conv_shape import conv_shape, conv_transpose_shape, joined_shape
from voxelgrad.ops.cast import Lowered
from voxelgrad.tensor import Array


class _Convolution(Lowered):
    """Settings of both convolutions, and which gradients to compute."""

    __slots__ = (
        "dilation",
        "groups",
        "input_shapes",
        "op",
        "output_shape",
        "padding",
        "rank",
        "stride",
        "weight_shape",
    )
    input_names = ("input", "weight", "bias")
    op: str
    kernels: tuple[str, str, str]  # forward, of the data, of the weight
    given: Callable[[list[Array]], Any] = itemgetter(0)  # the images as the kernels take them

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

    def _keep(self, weight: Array, *images: Array) -> None:
        """Save what the gradients that are asked for will need."""
        self.input_shapes = [image.shape for image in images]
        self.weight_shape = weight.shape
        *needs_input, needs_weight, _ = self.needs_grad
        kept = [self.keep(i, image) if needs_weight else None for i, image in enumerate(images)]
        self.saved = (*kept, weight if any(needs_input) else None)

    def _shape(self, input_shape: Shape, weight_shape: Shape) -> Shape:
        """Check the shapes and return the output's."""
        raise NotImplementedError

    def check(self, input: Array, weight: Array, bias: Array | None) -> None:
        self.output_shape = self._shape(input.shape, weight.shape)
        check_parameter(self.op, "bias", bias, self.output_shape[-1], "the output")

    def forward(self, input: Array, weight: Array, bias: Array | None) -> Array:
        self._keep(weight, input)
        output: Array = self.backend.empty(self.output_shape, input.dtype)
        run = getattr(self.backend, self.kernels[0])
        run(input, weight, bias, output, *self._settings(), 1.0)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        *kept, weight = self.saved
        # The inputs go first and are let go, so that their gradients can take their memory.
        self.saved = ()
        empty, dtype = self.backend.empty, grad_output.dtype
        *needs_input, needs_weight, needs_bias = self.needs_grad
        grad_weight = None
        learned = parameter_dtype(dtype)
        grad_bias = empty(grad_output.shape[-1:], learned) if needs_bias else None
        if needs_weight:
            grad_weight = empty(self.weight_shape, learned)
            inputs = [restore(one) for one in kept]
            run = getattr(self.backend, self.kernels[2])
            run(grad_output, self.given(inputs), grad_weight, grad_bias, *self._settings())
            del inputs
        elif grad_bias is not None:
            self.backend.reduce_sum(
                grad_output, grad_bias.reshape((1,) * (grad_output.ndim - 1) + (-1,)), 1.0
            )
        del kept
        if not any(needs_input):
            return (*[None] * len(needs_input), grad_weight, grad_bias)
        grad_inputs = [empty(shape, dtype) for shape in self.input_shapes]
        run = getattr(self.backend, self.kernels[1])
        run(grad_output, weight, self.given(grad_inputs), *self._settings())
        return (*grad_inputs, grad_weight, grad_bias)


class Conv(_Convolution):
    """Cross-correlation of 1 to 3 spatial axes, with stride, zero padding, dilation and groups."""

    __slots__ = ()
    kernels = ("conv_forward", "conv_backward_data", "conv_backward_weight")

    def _shape(self, input_shape: Shape, weight_shape: Shape) -> Shape:
        return conv_shape(self.op, self.rank, input_shape, weight_shape, *self._settings())


class JoinedConv(_Convolution):
    """A convolution of several images joined along the channels, read where they lie.

    The images come first, then weight and bias.
    """

    __slots__ = ("parameters_from",)
    kernels = ("conv_joined_forward", "conv_joined_backward_data", "conv_joined_backward_weight")
    given = list

    def __init__(self, count: int, *settings: Any) -> None:
        super().__init__(*settings)
        self.parameters_from = count

    def input_name(self, index: int) -> str:
        count = self.parameters_from
        return f"input[{index}]" if index < count else self.input_names[index - count + 1]

    def check(self, *arrays: Any) -> None:
        *images, weight, bias = arrays
        joined = joined_shape(self.op, self.rank, [image.shape for image in images])
        self.output_shape = conv_shape(self.op, self.rank, joined, weight.shape, *self._settings())
        check_parameter(self.op, "bias", bias, self.output_shape[-1], "the output")

    def forward(self, *arrays: Any) -> Array:
        *images, weight, bias = arrays
        self._keep(weight, *images)
        output: Array = self.backend.empty(self.output_shape, images[0].dtype)
        self.backend.conv_joined_forward(images, weight, bias, output, *self._settings(), 1.0)
        return output


class ConvTranspose(_Convolution):
    """Transposed convolution: the gradient of a convolution with respect to its input."""

    __slots__ = ("output_padding",)
    kernels = (
        "conv_transpose_forward",
        "conv_transpose_backward_data",
        "conv_transpose_backward_weight",
    )

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

    def _shape(self, input_shape: Shape, weight_shape: Shape) -> Shape:
        settings = (*self._settings(), self.output_padding)
        return conv_transpose_shape(self.op, self.rank, input_shape, weight_shape, *settings)
