"""Networks of other people's kinds, exported by PyTorch: same output here, and they train on."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import ops

pytest.importorskip("onnx", reason="reads ONNX files, and onnx is not installed")
pytest.importorskip("onnxscript", reason="PyTorch's exporter needs it")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="exports with PyTorch, which is not installed")
    import torch_networks as networks

from onnx_files import first, last

TOLERANCE = 1e-4

CASES: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]] = {
    "ResNet-18": (lambda: networks.ResNet18(3, 5, width=8), (2, 3, 40, 48), (3, 3, 64, 40)),
    "milesial U-Net, bilinear": (
        lambda: networks.MilesialUNet(3, 2, bilinear=True),
        (2, 3, 22, 18),
        (1, 3, 17, 24),
    ),
    "milesial U-Net, transposed": (
        lambda: networks.MilesialUNet(1, 2, bilinear=False),
        (2, 1, 16, 22),
        (3, 1, 20, 18),
    ),
    "MONAI U-Net 3D": (lambda: networks.MonaiUNet(2, 3), (2, 2, 8, 16, 12), (1, 2, 12, 8, 16)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """A network whose running statistics are no longer 0 and 1, and two shapes of images."""
    make, shape, other = CASES[request.param]
    torch.manual_seed(3)
    network = make()
    with torch.no_grad():
        network.train()(torch.randn(*other))
    return network.eval(), shape, other


def export(network: Any, shape: tuple[int, ...], path: Path, dynamo: bool) -> None:
    """Export with every size but the channels open, by PyTorch's new or old exporter."""
    axes = [axis for axis in range(len(shape)) if axis != 1]
    if dynamo:
        sizes = {axis: torch.export.Dim.DYNAMIC for axis in axes}
        settings = {"dynamic_shapes": (sizes,), "verbose": False}
    else:
        names = {axis: f"size_{axis}" for axis in axes}
        settings = {"input_names": ["input"], "dynamic_axes": {"input": names}}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network, (torch.randn(*shape),), path, dynamo=dynamo, opset_version=18, **settings
            )
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("dynamo", (True, False), ids=("new exporter", "old exporter"))
def test_an_import_computes_what_torch_does_for_any_size(
    case: Any, dynamo: bool, tmp_path: Path
) -> None:
    network, shape, other = case
    export(network, shape, tmp_path / "m.onnx", dynamo)
    model = vg.interop.onnx.load(tmp_path / "m.onnx")
    for sizes in (shape, other):
        x = torch.randn(*sizes)
        with torch.no_grad(), vg.no_grad():
            expected = last(network(x).numpy())
            found = model(last(x.numpy())).numpy()
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_an_import_has_torchs_gradients_and_trains_on(case: Any, tmp_path: Path) -> None:
    network, shape, _ = case
    export(network, shape, tmp_path / "m.onnx", dynamo=False)
    model = vg.interop.onnx.load(tmp_path / "m.onnx")
    x = torch.randn(*shape, requires_grad=True)
    images = vg.Tensor(last(x.detach().numpy()), requires_grad=True)
    scores = model(images)
    bright = np.asarray(images.numpy()[..., 0] > 0)
    labels = (bright if scores.ndim > 2 else np.arange(len(bright)) % 2).astype(np.int64)
    loss = ops.cross_entropy(scores, labels)
    loss.backward()
    torch.nn.functional.cross_entropy(network(x), torch.tensor(labels)).backward()
    assert images.grad is not None and x.grad is not None
    scale = float(x.grad.abs().max())
    np.testing.assert_allclose(
        first(images.grad.numpy()) / scale, x.grad.numpy() / scale, rtol=TOLERANCE, atol=TOLERANCE
    )
    optimizer = vg.optim.Adam(model.train().parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = ops.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
