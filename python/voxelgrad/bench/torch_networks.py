"""The five networks in PyTorch, channels first; their parameters come in voxelgrad's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from voxelgrad.bench.networks import Network
from voxelgrad.bench.torch_device import captured
from voxelgrad.bench.torch_kernels import in_layout


class Block(nn.Module):
    """Twice convolution 3, norm, activation."""

    def __init__(self, axes: int, before: int, width: int, stride: int, instance: bool) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.conv1 = conv(before, width, 3, stride, padding=1, bias=False)
        self.norm1 = _norm(axes, width, instance)
        self.conv2 = conv(width, width, 3, padding=1, bias=False)
        self.norm2 = _norm(axes, width, instance)
        self.activation = nn.LeakyReLU(0.01) if instance else nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        x = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(x)))


class TorchUNet(nn.Module):
    """voxelgrad's UNet: the classic 2D one, or with ``instance`` the strided kind."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: tuple[int, ...],
        axes: int = 2,
        instance: bool = False,
    ) -> None:
        super().__init__()
        up = nn.ConvTranspose2d if axes == 2 else nn.ConvTranspose3d
        head = nn.Conv2d if axes == 2 else nn.Conv3d
        pool = nn.MaxPool2d if axes == 2 else nn.MaxPool3d
        stride = 2 if instance else 1
        self.encoder = nn.ModuleList([Block(axes, in_channels, features[0], 1, instance)])
        self.decoder = nn.ModuleList()
        self.upsample = nn.ModuleList()
        for above, below in pairwise(features):
            self.encoder.append(Block(axes, above, below, stride, instance))
        for above, below in reversed(list(pairwise(features))):
            self.upsample.append(up(below, above, 2, 2))
            self.decoder.append(Block(axes, 2 * above, above, 1, instance))
        self.pool = nn.Identity() if instance else pool(2)
        self.head = head(features[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                skips.append(x)
                x = self.pool(x)
            x = block(x)
        for upsample, block in zip(self.upsample, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), upsample(x)], dim=1))
        return self.head(x)


class TorchCNN(nn.Module):
    """voxelgrad's CNN in 2D with batch norm and average pooling."""

    def __init__(self, in_channels: int, classes: int, features: tuple[int, ...]) -> None:
        super().__init__()
        pairs = pairwise((in_channels, *features))
        self.levels = nn.ModuleList(Block(2, before, width, 1, False) for before, width in pairs)
        self.head = nn.Linear(features[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        for index, level in enumerate(self.levels):
            x = level(nn.functional.avg_pool2d(x, 2) if index else x)
        return self.head(x.mean((2, 3)))


def build(name: str) -> nn.Module:
    """Return the twin of a network with fresh weights."""
    if name == "unet2d":
        return TorchUNet(4, 4, (32, 64, 128, 256, 512))
    if name == "unet3d":
        return TorchUNet(4, 4, (32, 64, 128, 256, 320), axes=3, instance=True)
    if name == "cnn":
        return TorchCNN(4, 2, (32, 64, 128, 256))
    if name == "mlp":
        hidden = [nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(256, 2))
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def prepare_model(
    network: Network, mode: str, settings: Mapping[str, Any]
) -> dict[str, Callable[[], object]]:
    """Return a training step or an inference of the twin of ``network``.

    Args:
        network: Which one.
        mode: training or inference.
        settings: ``threads``; ``layout`` nchw or channels_last; ``compile`` is a mode of
            torch.compile; ``dtype`` is autocast's; ``device`` cpu or cuda, where the step's loss is
            not read and ``graph`` captures it as a CUDA graph, ``tuned`` fuses the optimizer.
    """
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    device = settings.get("device", "cpu")
    image, label = (torch.from_numpy(array).to(device) for array in network.batch())
    x = in_layout(image.movedim(-1, 1), settings)
    model = build(network.name).train(mode == "training").to(device)
    if settings.get("layout") == "channels_last":
        for parameter in model.parameters():
            parameter.data = in_layout(parameter.data, settings)
    fused = True if settings.get("tuned") else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=fused)
    compiled = settings.get("compile")
    run: Callable[[Any], Any] = torch.compile(model, mode=compiled) if compiled else model

    def autocast() -> Any:
        bf16 = settings.get("dtype") == "bfloat16"
        return torch.autocast(device, torch.bfloat16, enabled=bf16)

    def training() -> object:
        optimizer.zero_grad()
        with autocast():
            loss = nn.functional.cross_entropy(run(x), label)
        loss.backward()
        optimizer.step()
        return loss.item() if device == "cpu" else loss

    def inference() -> object:
        with torch.inference_mode(), autocast():
            return run(x)

    function: Callable[[], object] = training if mode == "training" else inference
    return {mode: captured(function) if settings.get("graph") else function}


def _norm(axes: int, width: int, instance: bool) -> nn.Module:
    if instance:
        return (nn.InstanceNorm2d if axes == 2 else nn.InstanceNorm3d)(width, affine=True)
    return (nn.BatchNorm2d if axes == 2 else nn.BatchNorm3d)(width)
