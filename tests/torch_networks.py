"""Networks of other people's kinds, written in PyTorch: what users bring along."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut, as in ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Any) -> Any:
        shortcut = x if self.downsample is None else self.downsample(x)
        hidden = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(hidden)) + shortcut)


class ResNet18(nn.Module):
    """Stem, four stages of two blocks, global average, linear: the names are torchvision's."""

    def __init__(self, channels: int = 3, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = width
        for stage in range(4):
            after, stride = width * 2**stage, 1 if stage == 0 else 2
            blocks = [ResidualBlock(before, after, stride), ResidualBlock(after, after, 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            before = after
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class DoubleConv(nn.Sequential):
    """(Convolution, batch norm, ReLU) twice, as in the widespread U-Net of milesial."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for before in (inputs, outputs):
            layers += [nn.Conv2d(before, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class MilesialUNet(nn.Module):
    """A U-Net that pads what it has enlarged to the size of the skip; bilinear or transposed."""

    def __init__(self, channels: int, classes: int, bilinear: bool, width: int = 8) -> None:
        super().__init__()
        self.inc = DoubleConv(channels, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(2 * width, 4 * width))
        if bilinear:
            self.up1: nn.Module = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.up2: nn.Module = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up1 = nn.ConvTranspose2d(4 * width, 4 * width, 2, 2)
            self.up2 = nn.ConvTranspose2d(2 * width, 2 * width, 2, 2)
        self.conv1 = DoubleConv(6 * width, 2 * width)
        self.conv2 = DoubleConv(3 * width, width)
        self.outc = nn.Conv2d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        first = self.inc(x)
        second = self.down1(first)
        third = self.down2(second)
        x = self.conv1(self.join(second, self.up1(third)))
        x = self.conv2(self.join(first, self.up2(x)))
        return self.outc(x)

    def join(self, skip: Any, x: Any) -> Any:
        height, width = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        sides = [width // 2, width - width // 2, height // 2, height - height // 2]
        return torch.cat([skip, nn.functional.pad(x, sides)], dim=1)


class ResidualUnit3d(nn.Module):
    """A strided convolution unit with a residual, instance norm and learned ReLU, as in MONAI."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.unit = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, stride, 1),
            nn.InstanceNorm3d(outputs),
            nn.PReLU(),
            nn.Conv3d(outputs, outputs, 3, 1, 1),
            nn.InstanceNorm3d(outputs),
            nn.PReLU(outputs),
        )
        self.residual = nn.Conv3d(inputs, outputs, 3 if stride > 1 else 1, stride, int(stride > 1))

    def forward(self, x: Any) -> Any:
        return self.unit(x) + self.residual(x)


class MonaiUNet(nn.Module):
    """A residual U-Net over volumes, transposed convolutions going up."""

    def __init__(self, channels: int, classes: int, width: int = 4) -> None:
        super().__init__()
        self.down1 = ResidualUnit3d(channels, width, 2)
        self.down2 = ResidualUnit3d(width, 2 * width, 2)
        self.bottom = ResidualUnit3d(2 * width, 4 * width, 1)
        self.up2 = nn.Sequential(
            nn.ConvTranspose3d(6 * width, width, 3, 2, 1, 1), nn.InstanceNorm3d(width), nn.PReLU()
        )
        self.up1 = nn.ConvTranspose3d(2 * width, classes, 3, 2, 1, 1)

    def forward(self, x: Any) -> Any:
        first = self.down1(x)
        second = self.down2(first)
        x = self.up2(torch.cat([second, self.bottom(second)], dim=1))
        return self.up1(torch.cat([first, x], dim=1))


class ClassicUNet(nn.Module):
    """A U-Net whose transposed convolutions halve the channels; the names are milesial's."""

    def __init__(self, channels: int, classes: int, width: int = 8) -> None:
        super().__init__()
        self.inc = DoubleConv(channels, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(2 * width, 4 * width))
        self.up1 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.conv1 = DoubleConv(4 * width, 2 * width)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.conv2 = DoubleConv(2 * width, width)
        self.outc = nn.Conv2d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        first = self.inc(x)
        second = self.down1(first)
        x = self.up1(self.down2(second))
        x = self.up2(self.conv1(torch.cat([second, x], dim=1)))
        return self.outc(self.conv2(torch.cat([first, x], dim=1)))
