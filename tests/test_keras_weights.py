"""Keras's weights from hand-written files of all three formats: every array where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn
from voxelgrad.dtypes import BFLOAT16

pytest.importorskip("h5py", reason="writes HDF5 files")

from keras_files import hdf5, layer, named, numbered, sequential, zipped

load_weights = vg.interop.keras.load_weights


def random(*shape: int) -> np.ndarray:
    size = int(np.prod(shape))
    return np.random.default_rng(size).standard_normal(shape).astype(np.float32)


KERNEL, BIAS, DENSE = random(3, 3, 2, 4), random(4), random(4, 5)
GAMMA, BETA, MEAN = random(4) + 2, random(4) + 3, random(4) + 4
VARIANCE = np.abs(random(4)) + 1
CONFIG = sequential(
    layer("Conv2D", "first", filters=4, kernel_size=[3, 3]),
    layer("BatchNormalization", "norm"),
    layer("Dense", "last", units=5, use_bias=False),
)


def the_file(kind: str) -> bytes:
    """The same network in each format; its layers' names sort in another order than they come."""
    if kind == ".h5":
        return named(
            {
                "first": {"first/kernel:0": KERNEL, "first/bias:0": BIAS},
                "norm": {
                    "norm/gamma:0": GAMMA,
                    "norm/beta:0": BETA,
                    "norm/moving_mean:0": MEAN,
                    "norm/moving_variance:0": VARIANCE,
                },
                "last": {"last/kernel:0": DENSE},
            }
        )
    weights = numbered(
        {
            "layers/conv2d": [KERNEL, BIAS],
            "layers/batch_normalization": [GAMMA, BETA, MEAN, VARIANCE],
            "layers/dense": [DENSE],
        }
    )
    return weights if kind == ".weights.h5" else zipped(CONFIG, weights)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm(4), nn.GlobalAvgPool(), nn.Linear(4, 5, bias=False)
    )


@pytest.mark.parametrize("kind", [".keras", ".weights.h5", ".h5"])
def test_every_format_fills_the_model(kind: str, tmp_path: Path) -> None:
    model, path = network(), tmp_path / f"network{kind}"
    path.write_bytes(the_file(kind))
    report = load_weights(model, path)
    assert report.complete
    state = model.state_dict()
    np.testing.assert_array_equal(state["0.weight"], KERNEL.transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(state["0.bias"], BIAS)
    np.testing.assert_array_equal(state["1.weight"], GAMMA)
    np.testing.assert_array_equal(state["1.bias"], BETA)
    np.testing.assert_array_equal(state["1.running_mean"], MEAN)
    np.testing.assert_array_equal(state["1.running_var"], VARIANCE)
    np.testing.assert_array_equal(state["3.weight"], DENSE.T)


def saved(tmp_path: Path, content: bytes, name: str = "x.weights.h5") -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("module", "arrays"),
    [
        (nn.Conv1d(2, 4, 3), {"kernel": random(3, 2, 4)}),
        (nn.Conv3d(2, 4, 3), {"kernel": random(3, 3, 3, 2, 4)}),
        (nn.Conv2d(4, 6, 3, groups=2), {"kernel": random(3, 3, 2, 6)}),
        (nn.ConvTranspose2d(2, 4, 2), {"kernel": random(2, 2, 4, 2)}),
        (nn.ConvTranspose3d(2, 4, 2), {"kernel": random(2, 2, 2, 4, 2)}),
    ],
)
def test_kernels_are_turned(module: Any, arrays: dict[str, Any], tmp_path: Path) -> None:
    bias = random(module.out_channels)
    file = named({"a": {"a/kernel:0": arrays["kernel"], "a/bias:0": bias}})
    load_weights(module, saved(tmp_path, file), {"a/kernel": "weight", "a/bias": "bias"})
    out_axis = -2 if "Transpose" in type(module).__name__ else -1
    kernel = arrays["kernel"]
    for out in range(module.out_channels):
        channel = kernel.take(out, out_axis)
        np.testing.assert_array_equal(module.weight.numpy()[out], channel)
    np.testing.assert_array_equal(module.bias.numpy(), bias)


@pytest.mark.parametrize("name", ["depthwise_kernel", "kernel"])
def test_a_depthwise_kernel_is_turned(name: str, tmp_path: Path) -> None:
    """Output channel ``c * multiplier + m`` is channel ``c`` under the kernel ``[..., c, m]``."""
    model, kernel = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=False)), random(3, 3, 3, 2)
    load_weights(model, saved(tmp_path, named({"dw": {f"dw/{name}:0": kernel}})))
    weight = model.state_dict()["0.weight"]
    for channel in range(3):
        for m in range(2):
            np.testing.assert_array_equal(weight[2 * channel + m, ..., 0], kernel[..., channel, m])


def test_a_convolution_of_single_channels_is_taken_with_groups(tmp_path: Path) -> None:
    model, kernel = nn.Conv2d(3, 6, 3, groups=3, bias=False), random(3, 3, 1, 6)
    file = named({"c": {"c/kernel": kernel}})
    load_weights(model, saved(tmp_path, file), {"c/kernel": "weight"})
    np.testing.assert_array_equal(model.weight.numpy(), kernel.transpose(3, 0, 1, 2))


def test_a_shared_slope_loses_its_axes(tmp_path: Path) -> None:
    model, slope = nn.Sequential(nn.PReLU(4)), random(1, 1, 4)
    load_weights(model, saved(tmp_path, numbered({"layers/p_re_lu": [slope]})))
    np.testing.assert_array_equal(model.state_dict()["0.weight"], slope.reshape(4))


class Named(nn.Module):
    """Two equal layers whose names say which is which."""

    def __init__(self) -> None:
        self.second = nn.Linear(3, 3)
        self.first = nn.Linear(3, 3)


def two_layers(names: dict[str, str] | None = None) -> tuple[list[np.ndarray], bytes]:
    kernels = [random(3, 3), random(3, 3) + 10]
    groups = {f"layers/dense{end}": [k, k[0]] for end, k in zip(("", "_1"), kernels, strict=True)}
    return kernels, numbered(groups, names)


def test_equal_names_win_over_the_order(tmp_path: Path) -> None:
    names = {"layers/dense": "first", "layers/dense_1": "second"}
    (first, second), file = two_layers(names)
    model = Named()
    report = load_weights(model, saved(tmp_path, file))
    np.testing.assert_array_equal(model.first.weight.numpy(), first.T)
    np.testing.assert_array_equal(model.second.weight.numpy(), second.T)
    assert report.fitted["first.weight"] == "first/kernel"
    load_weights(model, saved(tmp_path, file), by="order")
    np.testing.assert_array_equal(model.second.weight.numpy(), first.T)


@pytest.mark.parametrize(
    "mapping",
    [
        {"dense": "second", "dense_1": "first"},
        {
            "dense/kernel": "second.weight",
            "dense/bias": "second.bias",
            "dense_1": "first",
        },
    ],
)
def test_layers_and_arrays_are_mapped(mapping: dict[str, str], tmp_path: Path) -> None:
    (first, second), file = two_layers()
    model = Named()
    report = load_weights(model, saved(tmp_path, file), mapping)
    np.testing.assert_array_equal(model.second.weight.numpy(), first.T)
    np.testing.assert_array_equal(model.first.bias.numpy(), second[0])
    assert "second.weight <- dense/kernel" in str(report)


def test_many_layers_keep_their_order(tmp_path: Path) -> None:
    """``dense_10`` comes after ``dense_2``."""
    kernels = [random(2, 2) + number for number in range(12)]
    groups = {f"layers/dense{f'_{n}' if n else ''}": [k] for n, k in enumerate(kernels)}
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in kernels))
    load_weights(model, saved(tmp_path, numbered(groups)))
    for number, kernel in enumerate(kernels):
        np.testing.assert_array_equal(model.state_dict()[f"{number}.weight"], kernel.T)


def test_the_description_says_which_arrays_a_norm_has(tmp_path: Path) -> None:
    """Three numbered arrays: only the description tells shift from scale."""
    arrays = numbered({"layers/batch_normalization": [BETA, MEAN, VARIANCE]})
    config = sequential(layer("BatchNormalization", "batch_normalization", scale=False))
    model = nn.Sequential(nn.BatchNorm(4))
    mapping = {"batch_normalization": "0"}
    path = saved(tmp_path, zipped(config, arrays), "x.keras")
    report = load_weights(model, path, mapping, strict=False)
    assert report.missing == ["0.weight"]
    np.testing.assert_array_equal(model.state_dict()["0.bias"], BETA)
    with pytest.raises(ValueError, match="missing in the source"):
        load_weights(model, saved(tmp_path, arrays), mapping)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "bfloat16"])
def test_other_formats_of_numbers_become_the_models(dtype: str, tmp_path: Path) -> None:
    model, kernel = nn.Linear(3, 2, bias=False), random(3, 2)
    stored = kernel.astype(BFLOAT16 if dtype == "bfloat16" else dtype)

    def write(file: Any) -> None:
        file["layers/dense/vars/0"] = stored
        if dtype == "bfloat16":
            file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"

    load_weights(model, saved(tmp_path, hdf5(write)), {"dense/kernel": "weight"})
    np.testing.assert_array_equal(model.weight.numpy(), stored.astype(np.float32).T)


def test_what_is_no_weight_is_reported(tmp_path: Path) -> None:
    file = numbered(
        {
            "layers/dense": [random(2, 2), random(2)],
            "layers/dropout/seed_generator": [np.zeros(2, np.uint32)],
            "optimizer": [random(2, 2)],
        }
    )
    report = load_weights(nn.Sequential(nn.Linear(2, 2)), saved(tmp_path, file))
    assert report.ignored == ["dropout/seed_generator/0"]


def test_nothing_changes_unless_everything_fits(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Linear(4, 6))
    before = model.state_dict()
    path = saved(tmp_path, the_file(".h5"), "x.h5")
    mapping = {"first": "0", "last": "1"}
    with pytest.raises(ValueError, match="so nothing was changed") as caught:
        load_weights(model, path, mapping)
    message = str(caught.value)
    assert message.startswith(f"load_weights: {path} does not fit this Sequential")
    assert "1.weight: last/kernel has shape (4, 5), the model needs (4, 6) (in Keras's" in message
    assert "norm/gamma" in message and "missing in the source (1):\n  1.bias" in message
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    report = load_weights(model, path, mapping, strict=False)
    assert set(report.fitted) == {"0.weight", "0.bias"}
    np.testing.assert_array_equal(model.state_dict()["0.bias"], BIAS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "shape"}, r'by is \'shape\'; choose "name", "order" or None'),
        ({"by": "order", "mapping": {"a": "b"}}, "mapping goes by name"),
        ({"mapping": {"nowhere": "0"}}, "mapping names 'nowhere', which the source does not have"),
        ({"mapping": {"first": "0", "last": "0"}}, r"leads to \['0\.weight'\] more than once"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, the_file(".h5"), "x.h5")
    with pytest.raises(ValueError, match=rf"^load_weights: .*{message}"):
        load_weights(network(), path, **arguments)
