"""The networks of ``torch_networks`` in voxelgrad, under the same names."""

from __future__ import annotations

from typing import Any

import torch

import voxelgrad as vg
from voxelgrad import nn


def trained(network: Any) -> Any:
    """Give every array of a network numbers of its own, and some to its running statistics."""
    generator = torch.Generator().manual_seed(0)
    for name, array in network.state_dict().items():
        if array.is_floating_point():
            noise = torch.rand(array.shape, generator=generator) * 0.4
            array += noise + 0.5 if name.endswith("running_var") else noise - 0.2
    return network.eval()


class Block(nn.Module):
    """The residual block of ResNet-18."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm(after)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            conv = nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm(after))

    def forward(self, x: vg.Tensor) -> vg.Tensor:
        hidden = vg.ops.relu(self.bn1(self.conv1(x)))
        return vg.ops.relu(self.bn2(self.conv2(hidden)) + self.downsample(x))


class ResNet(nn.Module):
    """ResNet-18 of a narrow width, with torchvision's names."""

    def __init__(self, width: int) -> None:
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = width
        for stage in range(4):
            after = width * 2**stage
            first = Block(before, after, 1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, Block(after, after, 1)))
            before = after
        self.pool = nn.GlobalAvgPool()
        self.fc = nn.Linear(before, 10)

    def forward(self, x: vg.Tensor) -> vg.Tensor:
        x = self.maxpool(vg.ops.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.pool(x))


class DoubleConv(nn.Sequential):
    """(Convolution, batch norm, ReLU) twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for before in (inputs, outputs):
            layers += [nn.Conv2d(before, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm(outputs), nn.ReLU()]
        super().__init__(*layers)


class MilesialUNet(nn.Module):
    """A U-Net that pads what it has enlarged to the size of the skip; bilinear or transposed."""

    def __init__(self, channels: int, classes: int, bilinear: bool, width: int = 8) -> None:
        self.inc = DoubleConv(channels, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(2 * width, 4 * width))
        self.up1: nn.Module = nn.ConvTranspose2d(4 * width, 4 * width, 2, 2)
        self.up2: nn.Module = nn.ConvTranspose2d(2 * width, 2 * width, 2, 2)
        if bilinear:
            self.up1 = nn.Upsample(scale_factor=2, mode="linear", align_corners=True)
            self.up2 = nn.Upsample(scale_factor=2, mode="linear", align_corners=True)
        self.conv1 = DoubleConv(6 * width, 2 * width)
        self.conv2 = DoubleConv(3 * width, width)
        self.outc = nn.Conv2d(width, classes, 1)

    def forward(self, x: vg.Tensor) -> vg.Tensor:
        first = self.inc(x)
        second = self.down1(first)
        third = self.down2(second)
        x = self.conv1(_join(second, self.up1(third)))
        return self.outc(self.conv2(_join(first, self.up2(x))))


def _join(skip: vg.Tensor, x: vg.Tensor) -> vg.Tensor:
    missing = [a - b for a, b in zip(skip.shape[1:3], x.shape[1:3], strict=True)]
    sides = [(n // 2, n - n // 2) for n in missing]
    return vg.ops.concat([skip, vg.ops.pad(x, [(0, 0), *sides, (0, 0)])])


class ResidualUnit3d(nn.Module):
    """A strided convolution unit with a residual, instance norm and learned ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        self.unit = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, stride, 1),
            nn.InstanceNorm(outputs, affine=False),
            nn.PReLU(),
            nn.Conv3d(outputs, outputs, 3, 1, 1),
            nn.InstanceNorm(outputs, affine=False),
            nn.PReLU(outputs),
        )
        kernel = 3 if stride > 1 else 1
        self.residual = nn.Conv3d(inputs, outputs, kernel, stride, int(stride > 1))

    def forward(self, x: vg.Tensor) -> vg.Tensor:
        return self.unit(x) + self.residual(x)


class MonaiUNet(nn.Module):
    """A residual U-Net over volumes, transposed convolutions going up."""

    def __init__(self, channels: int, classes: int, width: int = 4) -> None:
        self.down1 = ResidualUnit3d(channels, width, 2)
        self.down2 = ResidualUnit3d(width, 2 * width, 2)
        self.bottom = ResidualUnit3d(2 * width, 4 * width, 1)
        self.up2 = nn.Sequential(
            nn.ConvTranspose3d(6 * width, width, 3, 2, 1, 1),
            nn.InstanceNorm(width, affine=False),
            nn.PReLU(),
        )
        self.up1 = nn.ConvTranspose3d(2 * width, classes, 3, 2, 1, 1)

    def forward(self, x: vg.Tensor) -> vg.Tensor:
        first = self.down1(x)
        second = self.down2(first)
        x = self.up2(vg.ops.concat([second, self.bottom(second)]))
        return self.up1(vg.ops.concat([first, x]))
