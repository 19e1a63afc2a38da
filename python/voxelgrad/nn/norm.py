"""Normalisation layers: they bring activations to mean 0 and variance 1, then scale and shift them.

All take channels-last input of any spatial rank, ``(N, *spatial, C)``. Their scale and shift are
learned unless ``affine=False``. A layer before a norm needs no bias. Called with
``activation="relu"`` or ``"leaky_relu"`` they compute that in the same pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.nn import arguments, init
from voxelgrad.nn.activation import LeakyReLU, ReLU
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


class _Norm(Module):
    """What the norms share: a learned scale (weight) and shift (bias), or neither."""

    weight: Parameter | None
    bias: Parameter | None

    def _make_affine(self, shape: tuple[int, ...], affine: bool) -> None:
        self.weight = Parameter(init.filled(shape, 1.0)) if affine else None
        self.bias = Parameter(init.filled(shape, 0.0)) if affine else None

    def _settings(self, first: str, eps: float) -> str:
        text = first if eps == 1e-5 else f"{first}, eps={eps}"
        return text if self.weight is not None else f"{text}, affine=False"


def normalise(norm: Module, activation: Module, input: Tensor) -> Tensor:
    """Return ``activation(norm(input))``, in one pass over memory where both can be fused.

    That is any norm of this module followed by a ReLU or a leaky ReLU; not where a forward hook
    waits for what lies between the two.
    """
    fused = _fusable(activation)
    if fused and isinstance(norm, _Norm) and not (norm._forward_hooks or activation._forward_hooks):
        return norm(input, *fused)
    return activation(norm(input))


def _fusable(activation: Module) -> tuple[Any, ...]:
    """Return what norms take for this activation; nothing if they do not know it."""
    if type(activation) is ReLU:
        return ("relu",)
    if type(activation) is LeakyReLU:
        return ("leaky_relu", activation.negative_slope)
    return ()


class BatchNorm(_Norm):
    """Norm of each channel over batch and space: (N, *spatial, C) -> the same shape.

    In training the statistics are those of the batch and the running ones follow them; in
    evaluation the running ones are used. Source: Ioffe and Szegedy 2015, algorithms 1 and 2.

    Args:
        num_features: C, the number of channels.
        eps: Added to the variance.
        momentum: Share of the new batch in the running statistics (unbiased variance).
        affine: Whether to learn a scale and a shift for each channel.

    Raises:
        ValueError: If ``num_features``, ``eps`` or ``momentum`` is out of range.
    """

    running_mean: NDArray[Any]
    running_var: NDArray[Any]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        self.num_features = arguments.at_least("BatchNorm", "num_features", num_features, 1)
        self.eps = arguments.positive("BatchNorm", "eps", eps)
        self.momentum = arguments.fraction("BatchNorm", "momentum", momentum)
        self._make_affine((num_features,), affine)
        self.register_buffer("running_mean", init.filled((num_features,), 0.0))
        self.register_buffer("running_var", init.filled((num_features,), 1.0))

    def forward(
        self, input: Tensor, activation: str | None = None, negative_slope: float = 0.01
    ) -> Tensor:
        """Return the normalised input, (N, *spatial, C)."""
        return ops.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
            activation,
            negative_slope,
        )

    def extra_repr(self) -> str:
        """Return the number of channels and whatever differs from the defaults."""
        first = str(self.num_features)
        if self.momentum != 0.1:
            first += f", momentum={self.momentum}"
        return self._settings(first, self.eps)


class InstanceNorm(_Norm):
    """Norm of each channel of each image over space: (N, *spatial, C) -> the same shape.

    It has no running statistics: training and evaluation are alike. Unlike PyTorch's it learns a
    scale and a shift by default, as segmentation networks of the nnU-Net kind do.
    Source: Ulyanov et al. 2016.

    Args:
        num_features: C, the number of channels.
        eps: Added to the variance.
        affine: Whether to learn a scale and a shift for each channel.

    Raises:
        ValueError: If ``num_features`` or ``eps`` is out of range.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True) -> None:
        self.num_features = arguments.at_least("InstanceNorm", "num_features", num_features, 1)
        self.eps = arguments.positive("InstanceNorm", "eps", eps)
        self._make_affine((num_features,), affine)

    def forward(
        self, input: Tensor, activation: str | None = None, negative_slope: float = 0.01
    ) -> Tensor:
        """Return the normalised input, (N, *spatial, C)."""
        return ops.instance_norm(
            input, self.weight, self.bias, self.eps, activation, negative_slope
        )

    def extra_repr(self) -> str:
        """Return the number of channels and whatever differs from the defaults."""
        return self._settings(str(self.num_features), self.eps)


class GroupNorm(_Norm):
    """Norm of groups of channels of each image over space: (N, *spatial, C) -> the same shape.

    Source: Wu and He 2018.

    Args:
        num_groups: Number of groups; it must divide the channels.
        num_features: C, the number of channels.
        eps: Added to the variance.
        affine: Whether to learn a scale and a shift for each channel.

    Raises:
        ValueError: If the groups do not divide the channels or ``eps`` is out of range.
    """

    def __init__(
        self, num_groups: int, num_features: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        self.num_features = arguments.at_least("GroupNorm", "num_features", num_features, 1)
        self.num_groups = arguments.groups_divide(
            "GroupNorm", num_groups, num_features=num_features
        )
        self.eps = arguments.positive("GroupNorm", "eps", eps)
        self._make_affine((num_features,), affine)

    def forward(
        self, input: Tensor, activation: str | None = None, negative_slope: float = 0.01
    ) -> Tensor:
        """Return the normalised input, (N, *spatial, C)."""
        return ops.group_norm(
            input, self.num_groups, self.weight, self.bias, self.eps, activation, negative_slope
        )

    def extra_repr(self) -> str:
        """Return groups, channels and whatever differs from the defaults."""
        return self._settings(f"{self.num_groups}, {self.num_features}", self.eps)


class LayerNorm(_Norm):
    """Norm over the last axes: (..., *normalized_shape) -> the same shape.

    Source: Ba et al. 2016.

    Args:
        normalized_shape: Sizes of the last axes, one integer for the last one alone.
        eps: Added to the variance.
        affine: Whether to learn a scale and a shift for each position.

    Raises:
        ValueError: If the shape is empty or ``eps`` is out of range.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, affine: bool = True
    ) -> None:
        sizes = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        if not sizes:
            raise ValueError(
                "LayerNorm: normalized_shape is empty; give the sizes of the last axes"
            )
        self.normalized_shape = tuple(
            arguments.at_least("LayerNorm", "normalized_shape", size, 1) for size in sizes
        )
        self.eps = arguments.positive("LayerNorm", "eps", eps)
        self._make_affine(self.normalized_shape, affine)

    def forward(
        self, input: Tensor, activation: str | None = None, negative_slope: float = 0.01
    ) -> Tensor:
        """Return the normalised input, (..., *normalized_shape)."""
        return ops.layer_norm(
            input,
            self.normalized_shape,
            self.weight,
            self.bias,
            self.eps,
            activation,
            negative_slope,
        )

    def extra_repr(self) -> str:
        """Return the normalised shape and whatever differs from the defaults."""
        return self._settings(str(self.normalized_shape), self.eps)
