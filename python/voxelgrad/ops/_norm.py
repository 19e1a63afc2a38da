"""The nodes of the norms: statistics, the activation after them, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from voxelgrad.autograd import Function
from voxelgrad.backends import device_of, is_on_device
from voxelgrad.dtypes import parameter_dtype
from voxelgrad.grad_mode import mode
from voxelgrad.ops._arguments import Shape, as_finite, check_parameter
from voxelgrad.tensor import Array


class Norm(Function):
    """What the normalisations share: parameters, the activation, and which gradients to compute."""

    __slots__ = ("activation", "alpha", "eps", "op")
    input_names = ("input", "weight", "bias")
    parameters_from = 1
    can_rebuild = True
    op: str

    def __init__(self, op: str, eps: float, activation: str | None, negative_slope: float) -> None:
        if not (isinstance(eps, (int, float)) and 0 < eps < math.inf):
            raise ValueError(f"{op}: eps is {eps!r}; it must be a positive number, such as 1e-5")
        if activation not in (None, "relu", "leaky_relu"):
            raise ValueError(
                f"{op}: activation is {activation!r}; choose None, relu or leaky_relu, and apply "
                f"others to the result"
            )
        self.op = op
        self.eps = float(eps)
        self.activation = activation or "identity"
        self.alpha = 0.0
        if activation == "leaky_relu":
            self.alpha = as_finite(op, "negative_slope", negative_slope)

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

    def _gradients(self, grad_output: Array, channels: Shape) -> list[Array | None]:
        """Return the arrays for the gradients that are asked for: zeros if the batch is empty.

        That of the input may take the place of ``grad_output``.
        """
        make = self.backend.empty if grad_output.size else self.backend.zeros
        needs_input, *needs_affine = self.needs_grad
        grad_input = None
        if needs_input:
            overwrite = self.can_overwrite
            grad_input = grad_output if overwrite else make(grad_output.shape, grad_output.dtype)
        learned = parameter_dtype(grad_output.dtype)
        return [grad_input, *(make(channels, learned) if n else None for n in needs_affine)]


class BatchNorm(Norm):
    """Normalisation of each channel by the batch's statistics, or by running ones."""

    __slots__ = ("momentum", "running_mean", "running_var", "training")

    def __init__(
        self,
        running_mean: Array | None,
        running_var: Array | None,
        training: bool,
        momentum: float,
        eps: float,
        activation: str | None,
        negative_slope: float,
    ) -> None:
        super().__init__("batch_norm", eps, activation, negative_slope)
        self.running_mean = running_mean
        self.running_var = running_var
        self.training = bool(training)
        self.momentum = momentum
        if not 0 <= momentum <= 1:
            raise ValueError(f"batch_norm: momentum is {momentum}; it must lie in [0, 1]")

    def check(self, input: Array, weight: Array | None, bias: Array | None) -> None:
        self._check_images(input, weight, bias)
        channels = input.shape[-1]
        self._check_running("running_mean", self.running_mean, input)
        self._check_running("running_var", self.running_var, input)
        if (self.running_mean is None) != (self.running_var is None):
            raise ValueError("batch_norm: give both running_mean and running_var, or neither")
        if self.training and input.size < 2 * channels:
            self._refuse_single_values(input, "channel")
        if not self.training and self.running_mean is None:
            raise ValueError(
                "batch_norm: training=False normalises by running_mean and running_var, but they "
                "are None; give them or use training=True"
            )

    def _check_running(self, name: str, array: Any, input: Array) -> None:
        if array is None:
            return
        is_array = isinstance(array, np.ndarray) or is_on_device(array)
        if is_array and device_of(array) != device_of(input):
            raise TypeError(
                f"batch_norm: {name} lies on {device_of(array)!r} and input on "
                f"{device_of(input)!r}; move the module with .to({device_of(input)!r})"
            )
        if not is_array or array.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"batch_norm: {name} must be a numpy array of floats, which training updates in "
                f"place: float32 or float64; got {getattr(array, 'dtype', type(array).__name__)}"
            )
        if not array.flags.c_contiguous:
            raise TypeError(
                f"batch_norm: {name} has gaps in memory (strides {array.strides}); give a "
                f"C-contiguous array, such as {name}.copy()"
            )
        check_parameter("batch_norm", name, array, input.shape[-1], "input")

    def forward(self, input: Array, weight: Array | None, bias: Array | None) -> Array:
        dtype, channels = parameter_dtype(input.dtype), input.shape[-1:]
        if not self.training:
            assert self.running_mean is not None and self.running_var is not None
            mean, invstd = self.backend.empty(channels, dtype), self.backend.empty(channels, dtype)
            self.backend.batch_norm_statistics(
                self.running_mean, self.running_var, mean, invstd, self.eps
            )
            self.saved = (input, weight, bias, mean, invstd)
            return self.rebuild()
        output: Array = self.backend.empty(input.shape, input.dtype)
        mean, invstd = self.backend.empty(channels, dtype), self.backend.empty(channels, dtype)
        self.saved = (input, weight, bias, mean, invstd)
        self.backend.batch_norm_forward(
            input, weight, bias, output, mean, invstd, self.eps, self.activation, self.alpha
        )
        if self.running_mean is not None and not mode.repeats:
            self.backend.batch_norm_update(
                mean,
                invstd,
                self.running_mean,
                self.running_var,
                input.size // channels[0],
                self.momentum,
                self.eps,
            )
        return output

    def rebuild(self) -> Array:
        assert self.saved is not None
        input, *statistics = self.saved
        output: Array = self.backend.empty(input.shape, input.dtype)
        if input.size:
            self.backend.batch_norm_apply(input, *statistics, output, self.activation, self.alpha)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        gradients = self._gradients(grad_output, grad_output.shape[-1:])
        if grad_output.size:
            self.backend.batch_norm_backward(
                grad_output, *self.saved, *gradients, self.training, self.activation, self.alpha
            )
        return tuple(gradients)


class _GroupedNorm(Norm):
    """A norm of groups of channels; ``_rows`` gives arrays the shape that the backend takes."""

    __slots__ = ("shape",)

    def _rows(self, array: Array) -> Array:
        """Return ``array`` as the backend takes it: (N, *spatial, C)."""
        return array

    def _statistics_shape(self, input: Array) -> Shape:
        """Return (N, G) for an input as the backend takes it."""
        raise NotImplementedError

    def _affine_shape(self, shape: Shape) -> Shape:
        """Return the shape of weight and bias for an input of ``shape``."""
        return shape[-1:]

    def forward(self, input: Array, weight: Array | None, bias: Array | None) -> Array:
        empty, dtype = self.backend.empty, parameter_dtype(input.dtype)
        self.shape = input.shape
        output: Array = empty(input.shape, input.dtype)
        rows, weight, bias = self._rows(input), _flat(weight), _flat(bias)
        shape = self._statistics_shape(rows)
        mean, invstd = empty(shape, dtype), empty(shape, dtype)
        self.saved = (rows, weight, bias, mean, invstd)
        if input.size:
            self.backend.group_norm_forward(
                rows,
                weight,
                bias,
                self._rows(output),
                mean,
                invstd,
                self.eps,
                self.activation,
                self.alpha,
            )
        return output

    def rebuild(self) -> Array:
        assert self.saved is not None
        rows, *statistics = self.saved
        output: Array = self.backend.empty(self.shape, rows.dtype)
        if rows.size:
            self.backend.group_norm_apply(
                rows, *statistics, self._rows(output), self.activation, self.alpha
            )
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        gradients = self._gradients(grad_output, self._affine_shape(grad_output.shape))
        if grad_output.size:
            grad_input, grad_weight, grad_bias = gradients
            self.backend.group_norm_backward(
                self._rows(grad_output),
                *self.saved,
                None if grad_input is None else self._rows(grad_input),
                _flat(grad_weight),
                _flat(grad_bias),
                self.activation,
                self.alpha,
            )
        return tuple(gradients)


def _flat(parameter: Array | None) -> Array | None:
    return None if parameter is None else parameter.reshape(-1)


class GroupNorm(_GroupedNorm):
    """Normalisation of each group of channels of each sample; one group per channel: instance."""

    __slots__ = ("num_groups",)

    def __init__(
        self,
        op: str,
        num_groups: int | None,
        eps: float,
        activation: str | None,
        negative_slope: float,
    ) -> None:
        super().__init__(op, eps, activation, negative_slope)
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

    def _statistics_shape(self, input: Array) -> Shape:
        assert self.num_groups is not None
        return (input.shape[0], self.num_groups)


class LayerNorm(_GroupedNorm):
    """Normalisation over the trailing axes: group norm with one group on rows."""

    __slots__ = ("normalized_shape",)

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float,
        activation: str | None,
        negative_slope: float,
    ) -> None:
        super().__init__("layer_norm", eps, activation, negative_slope)
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

    def _rows(self, array: Array) -> Array:
        columns = math.prod(self.normalized_shape)
        return array.reshape(array.size // columns, columns)

    def _statistics_shape(self, input: Array) -> Shape:
        return (input.shape[0], 1)

    def _affine_shape(self, shape: Shape) -> Shape:
        return self.normalized_shape
