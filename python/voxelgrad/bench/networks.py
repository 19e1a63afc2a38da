"""The five networks of the comparison, in voxelgrad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import voxelgrad as vg
from voxelgrad import backends, nn
from voxelgrad.models.summary import summary

MODES = ("training", "inference")


@dataclass(frozen=True)
class Network:
    """One network and its input.

    Attributes:
        name: unet2d, unet3d, cnn, mlp or lenet.
        input_shape: (N, *spatial, C); for the MLP (N, features).
        classes: Outputs.
        dense: Whether there is a label for every pixel, and not one for each image.
    """

    name: str
    input_shape: tuple[int, ...]
    classes: int
    dense: bool

    def resized(self, batch: int | None, size: int | None) -> Network:
        """Return the same with another batch or spatial size; ``lenet`` and ``mlp`` keep theirs."""
        n, *spatial, channels = self.input_shape
        if size is not None and self.name in ("unet2d", "unet3d", "cnn"):
            spatial = [size for _ in spatial]
        return replace(self, input_shape=(batch or n, *spatial, channels))

    def batch(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return random inputs of ``input_shape`` and labels."""
        rng = np.random.default_rng(0)
        image = rng.standard_normal(self.input_shape, dtype=np.float32)
        labels = image.shape[:-1] if self.dense else image.shape[:1]
        return image, rng.integers(0, self.classes, labels)

    def build(self) -> nn.Module:
        """Return the network with fresh weights."""
        vg.manual_seed(0)
        return _BUILDERS[self.name]()

    def flops(self, mode: str) -> int:
        """Return the operations of direct convolution; a training step counts three passes."""
        forward = summary(self.build(), self.input_shape).flops
        return forward * 3 if mode == "training" else forward

    def as_json(self) -> dict[str, Any]:
        """Return what `Network` takes."""
        return asdict(self)


NETWORKS = (
    Network("unet2d", (8, 240, 240, 4), 4, True),
    Network("unet3d", (1, 96, 96, 96, 4), 4, True),
    Network("cnn", (32, 128, 128, 4), 2, False),
    Network("mlp", (256, 64), 2, False),
    Network("lenet", (64, 28, 28, 1), 10, False),
)


def _lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


_BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "unet2d": lambda: vg.models.UNet(4, 4),
    "unet3d": lambda: vg.models.UNet(
        4, 4, spatial_dims=3, features=(32, 64, 128, 256, 320), norm="instance"
    ),
    "cnn": lambda: vg.models.CNN(4, 2),
    "mlp": lambda: vg.models.MLP(64, 2, hidden=(256, 256)),
    "lenet": _lenet,
}


def prepare_model(
    network: Network, mode: str, settings: Mapping[str, Any]
) -> dict[str, Callable[[], object]]:
    """Return a training step or an inference of ``network``.

    Args:
        network: Which one.
        mode: training or inference.
        settings: ``device`` cpu or cuda, where the step's loss is not read; ``algorithm`` forces a
            convolution algorithm of the CPU by name; ``dtype`` is autocast's; ``compile`` asks for
            compiled steps.
    """
    device, dtype = settings.get("device", "cpu"), settings.get("dtype", "float32")
    backends.load("cpu").set_conv_algorithm(settings.get("algorithm") or "")
    image, label = (backends.move("bench", array, device) for array in network.batch())
    model = network.build().to(device)
    optimizer = vg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    if settings.get("compile"):
        return {mode: _compiled(mode, model, optimizer, image, label, dtype)}

    def training() -> object:
        optimizer.zero_grad()
        with vg.autocast(dtype):
            loss = vg.ops.cross_entropy(model(vg.Tensor(image)), vg.Tensor(label))
        loss.backward()
        optimizer.step()
        return loss.item() if device == "cpu" else loss

    def inference() -> object:
        with vg.no_grad(), vg.autocast(dtype):
            return model(vg.Tensor(image))

    if mode == "training":
        return {mode: training}
    model.eval()
    return {mode: inference}


def _compiled(
    mode: str,
    model: nn.Module,
    optimizer: vg.optim.Optimizer,
    image: Any,
    label: Any,
    dtype: str,
) -> Callable[[], object]:
    step = vg.compile(model, vg.ops.cross_entropy, optimizer)
    predict = vg.compile(model)

    def run() -> object:
        with vg.autocast(dtype):
            return step(image, label) if mode == "training" else predict(image)

    return run
