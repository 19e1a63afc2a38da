"""The same U-Net in PyTorch, with the same names, to compare losses, time and memory with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(x)))


class TorchUNet(nn.Module):
    """voxelgrad's classic 2D UNet with batch norm, channels first."""

    def __init__(self, in_channels: int, out_channels: int, features: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([Block(in_channels, features[0])])
        self.upsample = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for above, below in pairwise(features):
            self.encoder.append(Block(above, below))
        for above, below in reversed(list(pairwise(features))):
            self.upsample.append(nn.ConvTranspose2d(below, above, 2, 2))
            self.decoder.append(Block(2 * above, above))
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                skips.append(x)
                x = torch.max_pool2d(x, 2)
            x = block(x)
        for upsample, block in zip(self.upsample, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), upsample(x)], dim=1))
        return self.head(x)


def copy_weights(state: dict[str, np.ndarray], model: TorchUNet) -> None:
    """Copy a voxelgrad state dict into the PyTorch twin, turning the layout of the weights."""
    converted = {}
    for name, array in state.items():
        if array.ndim == 4 and name.startswith("upsample"):
            array = array.transpose(3, 0, 1, 2)  # (out, kh, kw, in) -> (in, out, kh, kw)
        elif array.ndim == 4:
            array = array.transpose(0, 3, 1, 2)  # (out, kh, kw, in) -> (out, in, kh, kw)
        converted[name] = torch.from_numpy(np.ascontiguousarray(array))
    missing = model.load_state_dict(converted, strict=False)
    wrong = [n for n in missing.missing_keys if not n.endswith("num_batches_tracked")]
    if wrong or missing.unexpected_keys:
        raise RuntimeError(f"names differ: {wrong} {missing.unexpected_keys}")
