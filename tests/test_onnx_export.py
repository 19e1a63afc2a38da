"""Every model of ours as an ONNX file: onnxruntime and our own import compute the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn, ops
from voxelgrad.models import CNN, MLP, UNet

onnx = pytest.importorskip("onnx", reason="writes ONNX files, and onnx is not installed")

from onnx_files import run_onnxruntime  # noqa: E402 - needs onnx

interop = vg.interop.onnx
TOLERANCE = 1e-4  # what was promised; both sides compute in float32 with other orders of sums


class Everything(nn.Module):
    """The ops that the models do not use, one after the other."""

    def forward(self, input: vg.Tensor) -> vg.Tensor:
        image = ops.pad(input, ((0, 0), (1, 2), (0, 1), (0, 0)), "reflect")
        image = ops.max_pool2d(image, 3, 2, padding=[(0, 1), (1, 1)], ceil_mode=True)
        image = ops.avg_pool2d(image, 3, 1, padding=1, count_include_pad=False)
        image = ops.prelu(image, vg.Tensor(np.full(image.shape[-1], 0.2, np.float32)))
        image = ops.clip(image, -1.5, 2.0) + ops.mean(image, (1, 2), keepdims=True)
        image = ops.square(image) / (ops.abs(image) + 1.0)
        image = ops.log_softmax(ops.interpolate(image, (7, 9), mode="cubic"))
        return ops.sum(image[:, 1:4], (1, 2)) * 0.1


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "UNet 2D": (lambda: UNet(4, 3, features=(4, 8, 16)), (1, 16, 16, 4), (2, 24, 20, 4)),
    "UNet 2D, group norm": (
        lambda: UNet(1, 2, features=(8, 16), norm="group"),
        (1, 8, 8, 1),
        (3, 10, 12, 1),
    ),
    "UNet 2D, no norm": (
        lambda: UNet(1, 1, features=(4, 8), norm="none", downsampling="average", activation="elu"),
        (1, 8, 8, 1),
        (2, 6, 12, 1),
    ),
    "UNet 3D": (
        lambda: UNet(2, 3, spatial_dims=3, norm="instance", features=(4, 8, 16)),
        (1, 8, 8, 8, 2),
        (2, 8, 12, 16, 2),
    ),
    "UNet 1D": (lambda: UNet(2, 3, spatial_dims=1, features=(4, 8)), (1, 8, 2), (2, 12, 2)),
    "CNN": (lambda: CNN(3, 5, features=(4, 8, 16), dropout=0.3), (1, 16, 16, 3), (4, 13, 10, 3)),
    "CNN 3D, max": (
        lambda: CNN(1, 2, features=(4, 8), spatial_dims=3, pooling="max"),
        (1, 4, 4, 4, 1),
        (2, 5, 6, 7, 1),
    ),
    "MLP": (lambda: MLP(12, 4, hidden=(9,)), (1, 12), (7, 12)),
    "MLP on images": (lambda: MLP(24, 4, hidden=(9,)), (1, 2, 3, 4), (7, 2, 3, 4)),
    "Sequential": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
            nn.LayerNorm(8),
            nn.Tanh(),
            nn.Upsample(scale_factor=2, mode="linear"),
            nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
            nn.GroupNorm(2, 4),
            nn.Softplus(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
            nn.Softmax(),
        ),
        (1, 8, 8, 4),
        (3, 12, 8, 4),
    ),
    "all other ops": (Everything, (2, 10, 9, 3), (2, 10, 9, 3)),
}


def trained(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> nn.Module:
    """Return a model whose running statistics are no longer 0 and 1."""
    vg.manual_seed(1)
    model = make()
    with vg.no_grad():
        model.train()(vg.Tensor(image(shape, 5)))
    return model.eval()


def image(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("opset", (17, 21))
@pytest.mark.parametrize("name", CASES)
def test_exported_models_compute_the_same_everywhere(name: str, opset: int, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="compares with onnxruntime")
    make, small, other = CASES[name]
    model, path = trained(make, other), tmp_path / "model.onnx"
    interop.export(model, path, small, opset=opset)
    x = image(other, 6)
    with vg.no_grad():
        expected = model(vg.Tensor(x)).numpy()
        again = interop.load(path)(x).numpy()
    np.testing.assert_allclose(run_onnxruntime(path, x), expected, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ("UNet 2D", "UNet 3D", "CNN"))
def test_an_exported_model_turns_no_image(name: str, tmp_path: Path) -> None:
    make, small, _ = CASES[name]
    interop.export(make(), tmp_path / "m.onnx", small)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert not [node for node in graph.node if node.op_type == "Transpose"]


def test_weights_keep_their_names(tmp_path: Path) -> None:
    model = CNN(1, 2, features=(4,))
    interop.export(model, tmp_path / "m.onnx", (1, 4, 4, 1))
    names = {weight.name for weight in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert names == set(model.state_dict())


def test_axes_that_an_op_has_fixed_stay_fixed(tmp_path: Path) -> None:
    interop.export(MLP(24, 4), tmp_path / "m.onnx", (1, 2, 3, 4))
    assert str(interop.load(tmp_path / "m.onnx").inputs[0]) == "input: float32 (batch, 2, 3, 4)"
    interop.export(CNN(3, 2, features=(4,)), tmp_path / "m.onnx", (1, 8, 8, 3), dynamic=False)
    assert str(interop.load(tmp_path / "m.onnx").inputs[0]) == "input: float32 (1, 8, 8, 3)"


def test_export_leaves_the_mode_of_every_module(tmp_path: Path) -> None:
    model = CNN(1, 2, features=(4,)).train()
    model.head.eval()
    interop.export(model, tmp_path / "m.onnx", (1, 4, 4, 1))
    assert model.training and not model.head.training


def test_what_cannot_be_exported_is_refused_and_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"earlier")
    with pytest.raises(ValueError, match=r"adaptive_avg_pool2d.*windows of several sizes"):
        interop.export(nn.AdaptiveAvgPool2d(2), path, (1, 5, 4, 1))
    with pytest.raises(ValueError, match="opset is 16; choose 17"):
        interop.export(nn.ReLU(), path, (1, 5), opset=16)
    with pytest.raises(ValueError, match="input_shape is"):
        interop.export(nn.ReLU(), path, (0, 5))
    assert path.read_bytes() == b"earlier"
