"""The U-Net for segmentation, in its classic and its nnU-Net kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from voxelgrad import nn
from voxelgrad.models.blocks import (
    ACTIVATIONS,
    CONVOLUTIONS,
    NORMS,
    POOLINGS,
    TRANSPOSED,
    ConvBlock,
    check_input,
    checked_features,
    choose,
)
from voxelgrad.models.model import Model, register
from voxelgrad.nn.arguments import at_least
from voxelgrad.tensor import Tensor


@register
class UNet(Model):
    """Segmentation network: (N, *spatial, in_channels) -> logits (N, *spatial, out_channels).

    Every level is twice (convolution 3 padded by 1, norm, activation). Going down, the image is
    halved from level to level; going up, a transposed convolution 2 with stride 2 doubles it, the
    result is concatenated with the skip from the way down (skip first), and two convolutions
    follow. A convolution 1 gives the logits. Convolutions before a norm have no bias: it would
    cancel.

    The norm chooses the kind, unless ``downsampling`` and ``activation`` say otherwise:

    - "batch", "group" or "none": the classic U-Net, max-pooling and ReLU (Ronneberger et al. 2015);
    - "instance": the nnU-Net kind, where the first convolution of each lower level has stride 2 in
      place of the pooling, and leaky ReLU 0.01 (Isensee et al. 2021).

    Args:
        in_channels: Channels of the image, for example 4 for T1, T1CE, T2 and FLAIR.
        out_channels: Classes, background included; 1 for a single logit.
        spatial_dims: Number of spatial axes, 1 to 3.
        features: Channels of the levels, from full size down; two levels or more.
        norm: batch, instance, group or none.
        downsampling: max, average or strided; None lets the norm choose.
        activation: relu, leaky_relu or elu; None lets the norm choose.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 2,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        norm: str = "batch",
        downsampling: str | None = None,
        activation: str | None = None,
    ) -> None:
        at_least("UNet", "in_channels", in_channels, 1)
        at_least("UNet", "out_channels", out_channels, 1)
        widths = checked_features("UNet", "features", features, 2)
        choose("UNet", "spatial_dims", spatial_dims, tuple(CONVOLUTIONS))
        choose("UNet", "norm", norm, NORMS)
        downsampling = downsampling or ("strided" if norm == "instance" else "max")
        activation = activation or ("leaky_relu" if norm == "instance" else "relu")
        choose("UNet", "downsampling", downsampling, ("max", "average", "strided"))
        choose("UNet", "activation", activation, ACTIVATIONS)
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            spatial_dims=spatial_dims,
            features=widths,
            norm=norm,
            downsampling=downsampling,
            activation=activation,
        )
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        strided = downsampling == "strided"

        def block(before: int, width: int, stride: int = 1) -> ConvBlock:
            return ConvBlock(before, width, spatial_dims, norm, activation, stride)

        self.encoder = nn.ModuleList([block(in_channels, widths[0])])
        self.decoder = nn.ModuleList()
        self.upsample = nn.ModuleList()
        for above, below in pairwise(widths):
            self.encoder.append(block(above, below, 2 if strided else 1))
        for above, below in reversed(list(pairwise(widths))):
            self.upsample.append(TRANSPOSED[spatial_dims](below, above, 2, 2))
            self.decoder.append(block(2 * above, above))
        self.pool = nn.Identity() if strided else POOLINGS[downsampling, spatial_dims](2)
        self.head = CONVOLUTIONS[spatial_dims](widths[0], out_channels, 1)

    @property
    def divisor(self) -> int:
        """What every spatial size of the input must be a multiple of: 2^(levels - 1)."""
        return int(2 ** (len(self.encoder) - 1))

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits, (N, *spatial, out_channels), of images (N, *spatial, in_channels).

        Raises:
            ValueError: If the input has other axes or channels, or a size that does not divide.
        """
        self._check(input)
        skips = []
        hidden = self.encoder[0](input)
        for level in list(self.encoder)[1:]:
            skips.append(hidden)
            hidden = level(self.pool(hidden))
        for upsample, level in zip(self.upsample, self.decoder, strict=True):
            both = [skips.pop(), upsample(hidden)]
            del hidden  # what is below
            hidden = level(both)
        return self.head(hidden)

    def _check(self, input: Tensor) -> None:
        check_input(
            "UNet", input, self.in_channels, self.spatial_dims, "(N, *spatial, in_channels)"
        )
        spatial, divisor = input.shape[1:-1], self.divisor
        if any(size % divisor or size < 1 for size in spatial):
            padded = tuple(max(1, -(-size // divisor)) * divisor for size in spatial)
            raise ValueError(
                f"UNet: input has spatial size {spatial}; with {len(self.encoder)} levels every "
                f"size must be a multiple of {divisor}; pad the image to {padded}"
            )
