"""Normalisation over the batch, over groups of channels, and over trailing axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from voxelgrad.autograd import Function
from voxelgrad.ops._arguments import Shape, as_ints, check_parameter
from voxelgrad.tensor import Array, Tensor


class _Norm(Function):
    """What the normalisations share: parameters, and which gradients to compute."""

    __slots__ = ("eps", "op")
    input_names = ("input", "weight", "bias")
    op: str

    def __init__(self, op: str, eps: float) -> None:
        if not (isinstance(eps, (int, float)) and 0 < eps < math.inf):
            raise ValueError(f"{op}: eps is {eps!r}; it must be a positive number, such as 1e-5")
        self.op = op
        self.eps = float(eps)

    def _check_images(self, input: Array, weight: Array | None, bias: Array | None) -> None:
        if input.ndim < 2 or 0 in input.shape[1:]:
            raise ValueError(
                f"{self.op}: input has shape {input.shape}; it must be (N, *spatial, C) with no "
                f"empty axis but the batch"
            )
        channels = input.shape[-1]
        check_parameter(self.op, "weight", weight, channels, "input")
        check_parameter(self.op, "bias", bias, channels, "input")

    def _refuse_single_values(self, input: Array, what: str) -> None:
        raise ValueError(
            f"{self.op}: input has shape {input.shape}, so there are fewer than two values per "
            f"{what} and no variance to normalise by; use a larger input or another norm"
        )

    def _gradients(self, input: Array, channels: Shape) -> list[Array | None]:
        """Return the arrays for the gradients that are asked for: zeros if the batch is empty."""
        make = self.backend.empty if input.size else self.backend.zeros
        shapes = (input.shape, channels, channels)
        return [
            make(shape, input.dtype) if needed else None
            for shape, needed in zip(shapes, self.needs_grad, strict=True)
        ]


class BatchNorm(_Norm):
    """Normalisation of each channel by the batch's statistics, or by running ones."""

    __slots__ = ("momentum", "running_mean", "running_var", "training")

    def __init__(
        self,
        running_mean: Array | None,
        running_var: Array | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> None:
        super().__init__("batch_norm", eps)
        self.running_mean = running_mean
        self.running_var = running_var
        self.training = bool(training)
        self.momentum = momentum
        if not 0 <= momentum <= 1:
            raise ValueError(f"batch_norm: momentum is {momentum}; it must lie in [0, 1]")

    def check(self, input: Array, weight: Array | None, bias: Array | None) -> None:
        self._check_images(input, weight, bias)
        channels = input.shape[-1]
        self._check_running("running_mean", self.running_mean, channels)
        self._check_running("running_var", self.running_var, channels)
        if (self.running_mean is None) != (self.running_var is None):
            raise ValueError("batch_norm: give both running_mean and running_var, or neither")
        if self.training and input.size < 2 * channels:
            self._refuse_single_values(input, "channel")
        if not self.training and self.running_mean is None:
            raise ValueError(
                "batch_norm: training=False normalises by running_mean and running_var, but they "
                "are None; give them or use training=True"
            )

    def _check_running(self, name: str, array: Any, channels: int) -> None:
        if array is None:
            return
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"batch_norm: {name} must be a numpy array of floats, which training updates in "
                f"place: float32 or float64; got {getattr(array, 'dtype', type(array).__name__)}"
            )
        if not array.flags.c_contiguous:
            raise TypeError(
                f"batch_norm: {name} has gaps in memory (strides {array.strides}); give a "
                f"C-contiguous array, such as {name}.copy()"
            )
        check_parameter("batch_norm", name, array, channels, "input")

    def forward(self, input: Array, weight: Array | None, bias: Array | None) -> Array:
        output: Array = self.backend.empty(input.shape, input.dtype)
        if self.training:
            channels = input.shape[-1:]
            mean = self.backend.empty(channels, input.dtype)
            invstd = self.backend.empty(channels, input.dtype)
            self.backend.batch_norm_forward(input, weight, bias, output, mean, invstd, self.eps)
            if self.running_mean is not None:
                self.backend.batch_norm_update(
                    mean,
                    invstd,
                    self.running_mean,
                    self.running_var,
                    input.size // channels[0],
                    self.momentum,
                    self.eps,
                )
        else:
            assert self.running_mean is not None and self.running_var is not None
            mean = self.running_mean.astype(input.dtype, copy=False)
            invstd = self.backend.empty(mean.shape, input.dtype)
            self.backend.batch_norm_invstd(self.running_var, invstd, self.eps)
            if input.size:
                self.backend.batch_norm_apply(input, weight, bias, mean, invstd, output)
        self.saved = (input, weight, mean, invstd)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        input, weight, mean, invstd = self.saved
        gradients = self._gradients(input, input.shape[-1:])
        if input.size:
            self.backend.batch_norm_backward(
                grad_output, input, weight, mean, invstd, *gradients, self.training
            )
        return tuple(gradients)


class GroupNorm(_Norm):
    """Normalisation of each group of channels of each sample; one group per channel: instance."""

    __slots__ = ("num_groups",)

    def __init__(self, op: str, num_groups: int | None, eps: float) -> None:
        super().__init__(op, eps)
        self.num_groups = num_groups

    def check(self, input: Array, weight: Array | None, bias: Array | None) -> None:
        self._check_images(input, weight, bias)
        channels = input.shape[-1]
        groups = channels if self.num_groups is None else self.num_groups
        if not isinstance(groups, (int, np.integer)) or groups < 1 or channels % groups:
            raise ValueError(
                f"{self.op}: num_groups is {groups!r}, but input has {channels} channels (shape "
                f"{input.shape}); num_groups must be an int that divides the channels"
            )
        self.num_groups = int(groups)
        if input.size < 2 * input.shape[0] * self.num_groups:
            self._refuse_single_values(input, "sample and group of channels")

    def forward(self, input: Array, weight: Array | None, bias: Array | None) -> Array:
        empty, dtype = self.backend.empty, input.dtype
        assert self.num_groups is not None
        statistics = (input.shape[0], self.num_groups)
        output: Array = empty(input.shape, dtype)
        mean, invstd = empty(statistics, dtype), empty(statistics, dtype)
        if input.size:
            self.backend.group_norm_forward(input, weight, bias, output, mean, invstd, self.eps)
        self.saved = (input, weight, mean, invstd)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        input, weight, mean, invstd = self.saved
        gradients = self._gradients(input, input.shape[-1:])
        if input.size:
            self.backend.group_norm_backward(grad_output, input, weight, mean, invstd, *gradients)
        return tuple(gradients)


class LayerNorm(_Norm):
    """Normalisation over the trailing axes: group norm with one group on rows."""

    __slots__ = ("normalized_shape",)

    def __init__(self, normalized_shape: Shape, eps: float) -> None:
        super().__init__("layer_norm", eps)
        self.normalized_shape = normalized_shape

    def check(self, input: Array, weight: Array | None, bias: Array | None) -> None:
        expected = self.normalized_shape
        if not expected or 0 in expected or input.shape[-len(expected) :] != expected:
            raise ValueError(
                f"layer_norm: input has shape {input.shape} but normalized_shape is {expected}; "
                f"the last axes of input must be those, of length 1 or more"
            )
        for name, array in (("weight", weight), ("bias", bias)):
            if array is not None and array.shape != expected:
                raise ValueError(
                    f"layer_norm: {name} has shape {array.shape}; it must have normalized_shape "
                    f"{expected}"
                )
        if math.prod(expected) < 2:
            self._refuse_single_values(input, "row")

    def forward(self, input: Array, weight: Array | None, bias: Array | None) -> Array:
        empty, dtype = self.backend.empty, input.dtype
        columns = math.prod(self.normalized_shape)
        rows = input.size // columns
        output: Array = empty(input.shape, dtype)
        mean, invstd = empty((rows, 1), dtype), empty((rows, 1), dtype)
        self.saved = (input, weight, mean, invstd)
        if rows == 0:
            return output
        self.backend.group_norm_forward(
            input.reshape(rows, columns),
            None if weight is None else weight.reshape(columns),
            None if bias is None else bias.reshape(columns),
            output.reshape(rows, columns),
            mean,
            invstd,
            self.eps,
        )
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        input, weight, mean, invstd = self.saved
        gradients = self._gradients(input, self.normalized_shape)
        if input.size == 0:
            return tuple(gradients)
        columns = math.prod(self.normalized_shape)
        grad_input, grad_weight, grad_bias = gradients
        self.backend.group_norm_backward(
            grad_output.reshape(-1, columns),
            input.reshape(-1, columns),
            None if weight is None else weight.reshape(columns),
            mean,
            invstd,
            None if grad_input is None else grad_input.reshape(-1, columns),
            None if grad_weight is None else grad_weight.reshape(columns),
            None if grad_bias is None else grad_bias.reshape(columns),
        )
        return tuple(gradients)


def batch_norm(
    input: Tensor,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel over batch and space.

    Source: S. Ioffe, C. Szegedy, Batch normalization, 2015.

    Args:
        input: ``(N, *spatial, C)``.
        running_mean: Numpy array ``(C,)``, updated in place in training; ``None`` to keep none.
        running_var: Numpy array ``(C,)``, the same, with the unbiased variance.
        weight: ``(C,)`` factor, or ``None`` for 1.
        bias: ``(C,)`` summand, or ``None`` for 0.
        training: Normalise by the batch's own mean and biased variance (else by the running ones,
            as constants).
        momentum: How far the running statistics move towards the batch's, in [0, 1].
        eps: Added to the variance.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes or settings do not fit, or a channel has fewer than two values to
            train on.
        TypeError: If the running statistics are not numpy arrays of floats.
    """
    function = BatchNorm(running_mean, running_var, training, momentum, eps)
    return function.apply(input, weight, bias)


def instance_norm(
    input: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each channel of each sample over space.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, Instance normalization, 2016.

    Args:
        input: ``(N, *spatial, C)`` with at least two positions.
        weight: ``(C,)`` factor, or ``None`` for 1.
        bias: ``(C,)`` summand, or ``None`` for 0.
        eps: Added to the variance.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes do not fit or there is a single position.
    """
    return GroupNorm("instance_norm", None, eps).apply(input, weight, bias)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group of neighbouring channels of each sample over space.

    Source: Y. Wu, K. He, Group normalization, 2018.

    Args:
        input: ``(N, *spatial, C)``.
        num_groups: Number of groups; divides ``C``.
        weight: ``(C,)`` factor, or ``None`` for 1.
        bias: ``(C,)`` summand, or ``None`` for 0.
        eps: Added to the variance.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes or settings do not fit.
    """
    if num_groups is None:
        raise ValueError("group_norm: num_groups is None; it must be an int that divides C")
    return GroupNorm("group_norm", num_groups, eps).apply(input, weight, bias)


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the trailing axes.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, 2016.

    Args:
        input: ``(..., *normalized_shape)``.
        normalized_shape: Lengths of the axes to normalise over, together.
        weight: Factor of that shape, or ``None`` for 1.
        bias: Summand of that shape, or ``None`` for 0.
        eps: Added to the variance.

    Returns:
        A tensor of the input's shape.

    Raises:
        ValueError: If shapes do not fit.
    """
    rank = len(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else 1
    shape = as_ints("layer_norm", "normalized_shape", normalized_shape, rank)
    return LayerNorm(shape, eps).apply(input, weight, bias)
