"""Parts that the models share, chosen by the number of spatial axes."""

from __future__ import annotations

import math

from voxelgrad import nn
from voxelgrad.nn.arguments import at_least
from voxelgrad.nn.conv import Convolution, TransposedConvolution
from voxelgrad.nn.norm import normalise
from voxelgrad.nn.pool import Pool
from voxelgrad.tensor import Tensor

CONVOLUTIONS: dict[int, type[Convolution]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[TransposedConvolution]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
POOLINGS: dict[tuple[str, int], type[Pool]] = {
    ("max", 1): nn.MaxPool1d,
    ("max", 2): nn.MaxPool2d,
    ("max", 3): nn.MaxPool3d,
    ("average", 1): nn.AvgPool1d,
    ("average", 2): nn.AvgPool2d,
    ("average", 3): nn.AvgPool3d,
}
NORMS = ("batch", "instance", "group", "none")
ACTIVATIONS = ("relu", "leaky_relu", "elu")


def make_norm(norm: str, features: int) -> nn.Module:
    """Return a norm layer for (N, *spatial, features); "group" has 8 groups where they divide."""
    if norm == "batch":
        return nn.BatchNorm(features)
    if norm == "instance":
        return nn.InstanceNorm(features)
    if norm == "group":
        return nn.GroupNorm(math.gcd(8, features), features)
    return nn.Identity()


def make_activation(activation: str) -> nn.Module:
    """Return an activation layer; the leaky ReLU has slope 0.01."""
    kinds: dict[str, type[nn.Module]]
    kinds = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU}
    return kinds[activation]()


class ConvBlock(nn.Module):
    """Twice (convolution 3, norm, activation): (N, *spatial, C) -> (N, *spatial', features).

    A list of images is convolved as one, joined along the channels; C is what they have together.
    The convolutions are padded by 1 and have a bias only where no norm follows.

    Args:
        in_channels: C.
        features: Channels of both convolutions.
        spatial_dims: Number of spatial axes, 1 to 3.
        norm: batch, instance, group or none.
        activation: relu, leaky_relu or elu.
        stride: Stride of the first convolution.
    """

    def __init__(
        self,
        in_channels: int,
        features: int,
        spatial_dims: int,
        norm: str,
        activation: str,
        stride: int = 1,
    ) -> None:
        convolution, bias = CONVOLUTIONS[spatial_dims], norm == "none"
        self.conv1 = convolution(in_channels, features, 3, stride, padding=1, bias=bias)
        self.norm1 = make_norm(norm, features)
        self.activation1 = make_activation(activation)
        self.conv2 = convolution(features, features, 3, padding=1, bias=bias)
        self.norm2 = make_norm(norm, features)
        self.activation2 = make_activation(activation)

    def forward(self, input: Tensor | list[Tensor]) -> Tensor:
        """Return the features, (N, *spatial', features).

        A list is emptied, unless forward hooks will want to see its images: they need not live
        longer than the first convolution.
        """
        # Nested: an array that has a name lives until the block is through.
        return normalise(
            self.norm2,
            self.activation2,
            self.conv2(normalise(self.norm1, self.activation1, self._joined(input))),
        )

    def _joined(self, input: Tensor | list[Tensor]) -> Tensor:
        """Return the first convolution of an image, or of several as one."""
        if isinstance(input, Tensor):
            return self.conv1(input)
        output = self.conv1(*input)
        if not self._forward_hooks:
            input.clear()
        return output


def choose(owner: str, name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise unless ``value`` is one of ``choices``.

    Raises:
        ValueError: If it is not.
    """
    if value not in choices:
        known = ", ".join(str(choice) for choice in choices)
        raise ValueError(f"{owner}: {name} is {value!r}; choose one of {known}")


def checked_features(owner: str, name: str, features: object, fewest: int) -> tuple[int, ...]:
    """Return channel counts as a tuple.

    Raises:
        ValueError: If they are not a sequence of at least ``fewest`` integers above 0.
    """
    if not isinstance(features, (tuple, list)):
        raise ValueError(f"{owner}: {name} is {features!r}; give a sequence such as (32, 64, 128)")
    if len(features) < fewest:
        raise ValueError(f"{owner}: {name} is {features}; give at least {fewest} numbers")
    return tuple(at_least(owner, name, count, 1) for count in features)


def check_input(owner: str, input: Tensor, channels: int, spatial_dims: int, example: str) -> None:
    """Raise unless the input has the right number of axes and channels.

    Raises:
        ValueError: If it has not.
    """
    if input.ndim != spatial_dims + 2:
        raise ValueError(
            f"{owner}: input has shape {input.shape}, that is {input.ndim} axes; it must have "
            f"{spatial_dims + 2}: {example}"
        )
    if input.shape[-1] != channels:
        raise ValueError(
            f"{owner}: input has shape {input.shape}, that is {input.shape[-1]} channels (the last "
            f"axis); the model was built with in_channels={channels}"
        )
