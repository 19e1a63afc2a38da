"""Networks that Keras itself saved: the same outputs, from every format, and they train on."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn

for package in ("keras", "torch", "h5py"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(
            f"compares with Keras on PyTorch; {package} is missing", allow_module_level=True
        )

keras = vg.interop.keras
NAMES = [
    "cnn",
    "separable",
    "shared",
    "signal",
    "unet_bilinear",
    "unet_nearest",
    "unet_transposed",
    "volume",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Keras, in a process of its own, has saved the networks."""
    place = tmp_path_factory.mktemp("keras")
    script = Path(__file__).parent / "keras_networks.py"
    settings = {"KERAS_BACKEND": "torch", "KERAS_HOME": str(place / "settings")}
    subprocess.run(
        [sys.executable, str(script), str(place)],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
    )
    assert sorted(path.stem for path in place.glob("*.npz")) == ["channels_first", *NAMES]
    return place


def data(folder: Path, name: str, letter: str) -> list[np.ndarray]:
    with np.load(folder / f"{name}.npz") as arrays:
        return [arrays[key] for key in sorted(arrays) if key.startswith(letter)]


def outputs(model: nn.Module, inputs: list[np.ndarray]) -> list[np.ndarray]:
    given: Any = model(*inputs)
    listed = given if isinstance(given, tuple) else (given,)
    return [np.asarray(tensor.numpy()) for tensor in listed]


def assert_as_keras(model: nn.Module, folder: Path, name: str) -> None:
    """Within 1e-5 of the largest output: float32 sums in another order."""
    found, expected = outputs(model, data(folder, name, "x")), data(folder, name, "y")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_outputs_are_those_of_keras(name: str, ending: str, folder: Path) -> None:
    assert_as_keras(keras.load(folder / f"{name}.{ending}"), folder, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_comes_back(name: str, folder: Path, tmp_path: Path) -> None:
    vg.save(tmp_path / "x.safetensors", keras.load(folder / f"{name}.keras"))
    assert_as_keras(vg.load(tmp_path / "x.safetensors"), folder, name)


@pytest.mark.parametrize("name", NAMES)
def test_weights_alone_fill_the_network(name: str, folder: Path) -> None:
    model = keras.load(folder / f"{name}.keras")
    before = model.state_dict()
    for parameter in model.parameters():
        parameter.data[:] = 0
    for buffer in model.buffers():
        buffer[:] = 0
    keras.load_weights(model, folder / f"{name}.weights.h5", mapping_of(model))
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def mapping_of(model: Any) -> dict[str, str]:
    """Layers of the file -> layers of the model that have arrays.

    Of a norm without a scale the file has three numbered arrays, and does not say which.
    """
    mapping = {}
    for name, attribute in model._names.items():
        layouts = getattr(model.layers, attribute).layouts
        if list(layouts) == ["bias", "running_mean", "running_var"]:
            mapping |= {f"{name}/{i}": f"layers.{attribute}.{k}" for i, k in enumerate(layouts)}
        elif layouts:
            mapping[name] = f"layers.{attribute}"
    return mapping


@pytest.mark.parametrize("name", ["cnn", "shared", "unet_transposed", "volume"])
def test_it_trains_on(name: str, folder: Path) -> None:
    model, inputs = keras.load(folder / f"{name}.keras"), data(folder, name, "x")
    goal = vg.Tensor(np.zeros_like(data(folder, name, "y")[0]))
    vg.manual_seed(0)
    model.train()
    optimizer = vg.optim.Adam(model.parameters(), lr=0.01)
    statistics = [array.copy() for array in model.buffers()]
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        result: Any = model(*inputs)
        loss = vg.ops.mse_loss(result[0] if isinstance(result, tuple) else result, goal)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    moved = [not np.array_equal(a, b) for a, b in zip(statistics, model.buffers(), strict=True)]
    # The norm of "shared" is applied with training=False: its statistics stay.
    assert all(moved) if name != "shared" else not any(moved)


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5"])
def test_weights_go_into_a_model_of_ours(ending: str, folder: Path) -> None:
    """Keras's U-Net is built with voxelgrad's layers; equal layers are paired by their order."""

    class UNet(nn.Module):
        def __init__(self) -> None:
            self.down1, self.norm1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm(4, eps=1e-3)
            self.down2, self.norm2 = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm(8, eps=1e-3)
            self.bottom = nn.Conv2d(8, 16, 3, padding=1)
            self.up1, self.up2 = nn.Conv2d(24, 8, 3, padding=1), nn.Conv2d(12, 4, 3, padding=1)
            self.head = nn.Conv2d(4, 3, 1)
            self.pool, self.enlarge = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)

        def forward(self, x: vg.Tensor) -> vg.Tensor:
            first = self.norm1(vg.ops.relu(self.down1(x)))
            second = self.norm2(vg.ops.relu(self.down2(self.pool(first))))
            x = vg.ops.relu(self.bottom(self.pool(second)))
            x = vg.ops.leaky_relu(self.up1(vg.ops.concat([second, self.enlarge(x)])), 0.3)
            x = vg.ops.leaky_relu(self.up2(vg.ops.concat([first, self.enlarge(x)])), 0.3)
            return vg.ops.sigmoid(self.head(x))

    model = UNet()
    report = keras.load_weights(model, folder / f"unet_nearest.{ending}")
    assert report.complete and len(report.fitted) == 20
    assert_as_keras(model.eval(), folder, "unet_nearest")


def test_channels_first_is_refused_but_its_weights_are_taken(folder: Path) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            self.conv, self.norm = nn.Conv2d(3, 4, 3, 2), nn.BatchNorm(4, eps=1e-3)
            self.flatten, self.head = nn.Flatten(), nn.Linear(48, 5)

        def forward(self, x: vg.Tensor) -> vg.Tensor:
            padded = vg.ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
            return self.head(self.flatten(self.norm(self.conv(padded))))

    path = folder / "channels_first.keras"
    with pytest.raises(ValueError, match="data_format is 'channels_first'"):
        keras.load(path)
    model = Network()
    keras.load_weights(model, path)
    (x,), (expected,) = data(folder, "channels_first", "x"), data(folder, "channels_first", "y")
    found = model.eval()(vg.Tensor(np.ascontiguousarray(np.moveaxis(x, 1, -1)))).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_inputs_are_told(folder: Path) -> None:
    model = keras.load(folder / "shared.keras")
    assert [str(port) for port in model.inputs] == [
        "a: float32 (?, 12, 12, 2)",
        "b: float32 (?, 12, 12, 2)",
    ]
    assert [port.name for port in model.outputs] == ["sum", "softmax"]
    with pytest.raises(
        ValueError, match=r"shared\.keras: 1 inputs were given; it takes a: float32"
    ):
        model(data(folder, "shared", "x")[0])


def test_other_sizes_are_taken(folder: Path) -> None:
    model = keras.load(folder / "unet_transposed.keras")
    assert model(np.zeros((1, 16, 40, 2), np.float32)).shape == (1, 16, 40, 3)


def test_it_is_exported_as_onnx(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = keras.load(folder / "unet_transposed.keras")
    vg.interop.onnx.export(model, tmp_path / "x.onnx", (1, 32, 24, 2))
    assert_as_keras(vg.interop.onnx.load(tmp_path / "x.onnx"), folder, "unet_transposed")
