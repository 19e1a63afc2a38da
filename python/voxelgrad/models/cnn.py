"""A convolutional network for classification."""

from __future__ import annotations

from collections.abc import Sequence

from voxelgrad import nn
from voxelgrad.models.blocks import (
    ACTIVATIONS,
    CONVOLUTIONS,
    NORMS,
    POOLINGS,
    ConvBlock,
    check_input,
    checked_features,
    choose,
)
from voxelgrad.models.model import Model, register
from voxelgrad.nn.arguments import at_least
from voxelgrad.tensor import Tensor


@register
class CNN(Model):
    """Levels of two convolutions, pooled in between: (N, *spatial, C) -> logits (N, num_classes).

    A level is twice (convolution 3, norm, ReLU). Between two levels a pooling by 2 halves the
    image; after the last one the mean over all of space goes through a linear layer, so any image
    size of at least 2^(levels - 1) will do.

    Args:
        in_channels: C, for example 4 for T1, T1CE, T2 and FLAIR.
        num_classes: Outputs; 1 for a single logit.
        features: Filters of each level, first to last.
        spatial_dims: Number of spatial axes, 1 to 3.
        norm: batch, instance, group or none.
        activation: relu, leaky_relu or elu.
        pooling: max or average.
        dropout: Probability of dropping a feature before the linear layer, in training.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        features: Sequence[int] = (32, 64, 128, 256),
        spatial_dims: int = 2,
        norm: str = "batch",
        activation: str = "relu",
        pooling: str = "average",
        dropout: float = 0.0,
    ) -> None:
        at_least("CNN", "in_channels", in_channels, 1)
        at_least("CNN", "num_classes", num_classes, 1)
        widths = checked_features("CNN", "features", features, 1)
        choose("CNN", "spatial_dims", spatial_dims, tuple(CONVOLUTIONS))
        choose("CNN", "norm", norm, NORMS)
        choose("CNN", "activation", activation, ACTIVATIONS)
        choose("CNN", "pooling", pooling, ("max", "average"))
        super().__init__(
            in_channels=in_channels,
            num_classes=num_classes,
            features=widths,
            spatial_dims=spatial_dims,
            norm=norm,
            activation=activation,
            pooling=pooling,
            dropout=dropout,
        )
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        inputs = (in_channels, *widths[:-1])
        self.levels = nn.ModuleList(
            ConvBlock(before, width, spatial_dims, norm, activation)
            for before, width in zip(inputs, widths, strict=True)
        )
        self.pool = POOLINGS[pooling, spatial_dims](2)
        self.global_pool = nn.GlobalAvgPool()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits, (N, num_classes), of images (N, *spatial, in_channels).

        Raises:
            ValueError: If the input has other axes or channels or is too small.
        """
        self._check(input)
        hidden = input
        for index, level in enumerate(self.levels):
            hidden = level(self.pool(hidden) if index else hidden)
        return self.head(self.dropout(self.global_pool(hidden)))

    def _check(self, input: Tensor) -> None:
        check_input("CNN", input, self.in_channels, self.spatial_dims, "(N, *spatial, in_channels)")
        least = 2 ** (len(self.levels) - 1)
        if min(input.shape[1:-1]) < least:
            raise ValueError(
                f"CNN: input has shape {input.shape}; with {len(self.levels)} levels every spatial "
                f"size must be at least {least}; use larger images or fewer features"
            )
