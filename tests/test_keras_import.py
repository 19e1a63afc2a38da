"""Networks from hand-written descriptions of Keras: what is built, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import ops
from voxelgrad.cli import main

pytest.importorskip("h5py", reason="writes HDF5 files")

from keras_files import (
    DENSE,
    entry,
    functional,
    layer,
    named,
    node,
    numbered,
    sequential,
    small,
    zipped,
)

load = vg.interop.keras.load


def random(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(int(np.prod(shape)))
    return rng.standard_normal(shape).astype(np.float32)


def network(tmp_path: Path, *layers: dict[str, Any], arrays: Any = None) -> Any:
    """Load a Sequential; it has one dense layer at least, so that there are weights."""
    weights = arrays or {"layers/dense": [np.eye(3, dtype=np.float32)]}
    path = tmp_path / "network.keras"
    path.write_bytes(zipped(sequential(*layers), numbered(weights)))
    return load(path)


def test_a_network_of_keras_2_is_built(tmp_path: Path) -> None:
    """Connections as lists, alpha, an axis in a list, names with ``:0``; no modules."""

    def old(kind: str, name: str, *refs: str, **settings: Any) -> dict[str, Any]:
        nodes = [[[ref, 0, 0, {}] for ref in refs]] if refs else []
        return {
            "class_name": kind,
            "config": {"name": name, **settings},
            "name": name,
            "inbound_nodes": nodes,
        }

    config = {
        "class_name": "Model",
        "config": {
            "name": "model",
            "layers": [
                old("InputLayer", "x", batch_input_shape=[None, 6, 5, 2]),
                old("Conv2D", "c", "x", kernel_size=[3, 3], padding="same", activation="linear"),
                old("BatchNormalization", "n", "c", axis=[3], epsilon=0.01, momentum=0.9),
                old("LeakyReLU", "l", "n", alpha=0.1),
                old("Concatenate", "both", "x", "l", axis=3),
            ],
            "input_layers": [["x", 0, 0]],
            "output_layers": [["both", 0, 0]],
        },
    }
    kernel, bias = random(3, 3, 2, 4), random(4)
    norm = [random(4) + k for k in range(3)] + [np.abs(random(4)) + 1]
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = {
        "c": {"c/kernel:0": kernel, "c/bias:0": bias},
        "n": {f"n/{name}:0": array for name, array in zip(names, norm, strict=True)},
    }
    (tmp_path / "old.h5").write_bytes(named(arrays, config))
    model = load(tmp_path / "old.h5")
    x = random(2, 6, 5, 2)
    hidden = ops.conv2d(
        vg.Tensor(x), vg.Tensor(kernel.transpose(3, 0, 1, 2)), vg.Tensor(bias), 1, 1
    )
    gamma, beta, mean, variance = norm
    expected = (hidden.numpy() - mean) / np.sqrt(variance + 0.01) * gamma + beta
    expected = np.where(expected > 0, expected, 0.1 * expected)
    found = model(x).numpy()
    np.testing.assert_array_equal(found[..., :2], x)
    np.testing.assert_allclose(found[..., 2:], expected, rtol=1e-4, atol=1e-4)
    assert model.layer("n").momentum == 0.9


def test_a_list_of_layers_is_a_sequential(tmp_path: Path) -> None:
    first = layer("Dense", "dense", units=3, use_bias=False, batch_input_shape=[None, 3])
    config = {"class_name": "Sequential", "config": [first]}
    kernel = random(3, 3)
    (tmp_path / "x.h5").write_bytes(named({"dense": {"dense/kernel:0": kernel}}, config))
    model, x = load(tmp_path / "x.h5"), random(2, 3)
    np.testing.assert_allclose(model(x).numpy(), x @ kernel, rtol=1e-5, atol=1e-6)
    assert [str(port) for port in model.inputs] == ["dense: float32 (?, 3)"]


@pytest.mark.parametrize(
    ("size", "pads"), [(7, (1, 1)), (8, (0, 1)), (1, (1, 1))], ids=["odd", "even", "one pixel"]
)
def test_same_padding_depends_on_the_size(size: int, pads: tuple[int, int], tmp_path: Path) -> None:
    """Stride 2, kernel 3: an even image is padded at its end only."""
    kernel, x = random(3, 3, 2, 4), random(1, size, size, 2)
    conv = layer("Conv2D", "c", kernel_size=[3, 3], strides=[2, 2], padding="same", use_bias=False)
    model = network(tmp_path, entry(None, None, 2), conv, arrays={"layers/conv2d": [kernel]})
    padded = np.pad(x, ((0, 0), pads, pads, (0, 0)))
    expected = ops.conv2d(vg.Tensor(padded), vg.Tensor(kernel.transpose(3, 0, 1, 2)), stride=2)
    np.testing.assert_allclose(model(x).numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_an_average_leaves_padding_out(tmp_path: Path) -> None:
    pool = layer("AveragePooling1D", "p", pool_size=[3], strides=[2], padding="same")
    model = network(tmp_path, entry(None, 3), pool, DENSE)
    x = np.repeat(np.arange(8, dtype=np.float32)[:, None], 3, 1)[None]
    np.testing.assert_allclose(model(x).numpy()[0, :, 0], [1, 3, 5, 6.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", [0, 0, 2]),
        ({"class_name": "function", "config": "relu", "module": "builtins"}, [0, 0, 2]),
        ({"class_name": "LeakyReLU", "config": {"negative_slope": 0.5}}, [-0.5, 0, 2]),
        ({"class_name": "ReLU", "config": {"max_value": 1.5}}, [0, 0, 1.5]),
        ("relu6", [0, 0, 2]),
        ("leaky_relu", [-0.2, 0, 2]),
        ("softsign", [-0.5, 0, 2 / 3]),
        ("silu", [-1 / (1 + np.e), 0, 2 / (1 + np.exp(-2))]),
        ("mish", [-np.tanh(np.log1p(np.exp(-1))), 0, 2 * np.tanh(np.log1p(np.exp(2)))]),
        ("selu", [1.0507009873554805 * 1.6732632423543772 * (1 / np.e - 1), 0, 2.101401975]),
        ("exponential", [1 / np.e, 1, np.exp(2)]),
        (None, [-1, 0, 2]),
    ],
)
def test_activations_are_found(activation: Any, expected: list[float], tmp_path: Path) -> None:
    dense = layer("Dense", "dense", units=3, use_bias=False, activation=activation)
    found = network(tmp_path, entry(3), dense)(np.array([[-1, 0, 2]], np.float32)).numpy()
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)


def test_a_shared_layer_has_its_weights_once(tmp_path: Path) -> None:
    dense = {**DENSE, "inbound_nodes": node("in") + node("dense")}
    config = functional([entry(3), dense], ["in", 0, 0], ["dense", 1, 0])
    (tmp_path / "x.keras").write_bytes(zipped(config, numbered({"layers/dense": [2 * np.eye(3)]})))
    model = load(tmp_path / "x.keras")
    np.testing.assert_array_equal(model(np.ones((1, 3), np.float32)).numpy(), [[4, 4, 4]])
    assert model.num_parameters() == 9


@pytest.mark.parametrize("flag", [True, False, None])
def test_an_application_says_how_it_runs(flag: bool | None, tmp_path: Path) -> None:
    dropout = {**layer("Dropout", "drop", rate=0.9), "inbound_nodes": node("dense", training=flag)}
    path = tmp_path / "x.keras"
    path.write_bytes(zipped(small(dropout, output="drop"), numbered({"layers/dense": [np.eye(3)]})))
    model, ones = load(path), np.ones((50, 3), np.float32)
    for training in (True, False):
        dropped = bool((model.train(training)(ones).numpy() == 0).any())
        assert dropped == (training if flag is None else flag)


def test_spatial_dropout_drops_whole_channels(tmp_path: Path) -> None:
    drop = layer("SpatialDropout2D", "drop", rate=0.5)
    model = network(tmp_path, entry(4, 4, 3), drop, DENSE)
    x = np.ones((40, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(model(x).numpy(), x)
    found = model.train()(x).numpy().reshape(40, 16, 3)
    assert set(np.unique(found)) == {0.0, 2.0}
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize(
    "activation",
    [
        layer("ReLU", "a"),
        layer("ReLU", "a", negative_slope=0.2),
        layer("ReLU", "a", max_value=0.5),
        layer("LeakyReLU", "a", negative_slope=0.1),
        layer("Activation", "a", activation="relu"),
        layer("Activation", "a", activation="tanh"),
    ],
)
def test_a_norm_takes_its_activation_in(activation: dict[str, Any], tmp_path: Path) -> None:
    """The same output and gradients as with a hook, which needs to see what lies between."""
    arrays = {"layers/batch_normalization": [np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)]}
    model = network(tmp_path, entry(3), layer("BatchNormalization", "n"), activation, arrays=arrays)
    model.train()
    seen: list[vg.Tensor] = []
    outputs, gradients = [], []
    for hooked in (False, True):
        if hooked:
            model.layer("n").register_forward_hook(lambda m, i, output: seen.append(output))
        x = vg.Tensor(random(6, 3), requires_grad=True)
        output = model(x)
        output.backward(vg.Tensor(random(6, 3)))
        outputs.append(output.numpy())
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)
    assert len(seen) == 1


def test_a_norm_that_is_used_twice_is_left_alone(tmp_path: Path) -> None:
    def joined(kind: str, name: str, *refs: str) -> dict[str, Any]:
        return {**layer(kind, name), "inbound_nodes": node(*refs)}

    layers = [
        entry(3),
        joined("BatchNormalization", "n", "in"),
        joined("ReLU", "a", "n"),
        joined("Add", "s", "n", "a"),
    ]
    config = functional(layers, [["in", 0, 0]], [["s", 0, 0]])
    arrays = [np.ones(3), np.zeros(3), np.zeros(3), np.ones(3) - 1e-3]
    path = tmp_path / "x.keras"
    path.write_bytes(zipped(config, numbered({"layers/batch_normalization": arrays})))
    x = random(5, 3)
    expected = x + np.maximum(x, 0)
    np.testing.assert_allclose(load(path)(x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_operations_are_counted(tmp_path: Path) -> None:
    kinds = [
        layer("Conv2D", "c", kernel_size=[3, 3], use_bias=False),
        layer("SeparableConv2D", "s", kernel_size=[3, 3], use_bias=False),
        layer("Conv2DTranspose", "t", kernel_size=[2, 2], strides=[2, 2], use_bias=False),
        DENSE,
    ]
    arrays = {
        "layers/conv2d": [random(3, 3, 2, 4)],
        "layers/separable_conv2d": [random(3, 3, 4, 1), random(1, 1, 4, 5)],
        "layers/conv2d_transpose": [random(2, 2, 3, 5)],
        "layers/dense": [random(3, 3)],
    }
    model = network(tmp_path, entry(8, 8, 2), *kinds, arrays=arrays)
    assert model.layer("c").flops((1, 8, 8, 2), (1, 6, 6, 4)) == 2 * 36 * 72
    assert model.layer("s").flops((1, 6, 6, 4), (1, 4, 4, 5)) == 2 * 16 * (36 + 20)
    assert model.layer("t").flops((1, 4, 4, 5), (1, 8, 8, 3)) == 2 * 16 * 60
    assert model.layer("dense").flops((1, 8, 8, 3), (1, 8, 8, 3)) == 2 * 64 * 9
    total = 2 * (36 * 72 + 16 * (36 + 20) + 16 * 60 + 64 * 9)
    assert f"{total / 1000:.1f} K" in str(model.summary((1, 8, 8, 2)))


def test_names_that_python_does_not_allow_are_kept_apart(tmp_path: Path) -> None:
    names = ("a-1", "a_1", "1x", "forward")
    layers = [layer("Dense", name, units=3, use_bias=False) for name in names]
    groups = ("dense", "dense_1", "dense_2", "dense_3")
    arrays = {
        f"layers/{group}": [(k + 1) * np.eye(3, dtype=np.float32)] for k, group in enumerate(groups)
    }
    model = network(tmp_path, entry(3), *layers, arrays=arrays)
    np.testing.assert_array_equal(model(np.ones((1, 3), np.float32)).numpy(), np.full((1, 3), 24))
    vg.save(tmp_path / "x.safetensors", model)
    again = vg.load(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(again(np.ones((1, 3), np.float32)).numpy(), np.full((1, 3), 24))


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([DENSE], (2, 4), r"network\.keras: layer 'dense' \(Dense\): linear: "),
        (
            [layer("ZeroPadding2D", "z", padding=1 << 20), DENSE],
            (1, 4, 4, 3),
            r"layer 'z' \(ZeroPadding2D\): a result of shape .* look damaged",
        ),
        (
            [layer("UpSampling2D", "u", size=1 << 20), DENSE],
            (1, 4, 4, 3),
            "a result of shape",
        ),
        (
            [layer("Cropping2D", "c", cropping=2), DENSE],
            (1, 4, 4, 3),
            r"layer 'c' \(Cropping2D\): cropping is .*; nothing is left of \(1, 4, 4, 3\)",
        ),
        (
            [layer("MaxPooling2D", "m"), DENSE],
            (4, 4, 3),
            r"its input has shape \(4, 4, 3\); it must have 4 axes: batch, 2 of space, channels",
        ),
        (
            [layer("LayerNormalization", "n", axis=[1], scale=False, center=False), DENSE],
            (2, 4, 3),
            r"axis is \[1\] for an input of shape \(2, 4, 3\); voxelgrad normalises the last axes",
        ),
        ([layer("Concatenate", "c", axis=9), DENSE], (2, 3), r"layer 'c' \(Concatenate\): concat"),
    ],
)
def test_a_layer_that_cannot_run_says_so(
    layers: list[Any], shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    model = network(tmp_path, entry(3), *layers)
    with pytest.raises(ValueError, match=message):
        model(np.zeros(shape, np.float32))


@pytest.mark.parametrize("ending", ["keras", "H5"])
def test_the_command_line_imports(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = random(3, 3)
    source, out = tmp_path / f"x.{ending}", tmp_path / "x.safetensors"
    if ending == "keras":
        source.write_bytes(zipped(small(), numbered({"layers/dense": [kernel]})))
    else:
        source.write_bytes(named({"dense": {"dense/kernel:0": kernel}}, small()))
    assert main(["import", str(source), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "input in: float32 (?, 3)",
        "output dense: float32",
        "9 trainable values",
        str(out),
    ]
    x = random(2, 3)
    np.testing.assert_allclose(vg.load(out)(x).numpy(), x @ kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.keras", b"", "cannot read {path}: it is neither an HDF5 file"),
        ("x.h5", None, "cannot read {path}: No such file or directory; check the path"),
        ("x.weights.h5", numbered({"layers/dense": [np.eye(3)]}), "it holds weights only"),
        ("x.keras", zipped(sequential(layer("Lambda", "bad")), b""), "cannot read {path}: "),
    ],
)
def test_the_command_line_gives_one_line_of_error(
    name: str,
    content: bytes | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / name, tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert main(["import", str(path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("voxelgrad: error: ") and error.count("\n") == 1
    assert message.format(path=path) in error
    assert not out.exists()
