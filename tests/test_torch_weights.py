"""PyTorch's weights: the same outputs after loading, whatever file, names and layout they have."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn

pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

import safetensors.torch as safetensors_torch
import torch

from torch_networks import ClassicUNet, ResNet18
from torch_twins import ResNet, trained

weights = vg.interop.torch
UNET_NAMES = {
    "inc": "encoder.0",
    "down1.1": "encoder.1",
    "down2.1": "encoder.2",
    "up1": "upsample.0",
    "conv1": "decoder.0",
    "up2": "upsample.1",
    "conv2": "decoder.1",
    "outc": "head",
}
LAYER_NAMES = {"0": "conv1", "1": "norm1", "3": "conv2", "4": "norm2"}


def unet_mapping() -> dict[str, str]:
    """Names of ClassicUNet to those of ours, layer by layer."""
    mapping = {}
    for theirs, ours in UNET_NAMES.items():
        if ours.startswith(("encoder", "decoder")):
            mapping.update({f"{theirs}.{k}": f"{ours}.{v}" for k, v in LAYER_NAMES.items()})
        else:
            mapping[theirs] = ours
    return mapping


def assert_same_output(ours: nn.Module, theirs: Any, channels: int = 3, size: int = 32) -> None:
    x = np.random.default_rng(0).standard_normal((2, size, size, channels)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))).numpy()
    output = ours.eval()(vg.Tensor(x)).numpy()
    expected = np.moveaxis(expected, 1, -1)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_resnet_computes_the_same_from_a_file(ending: str, protocol: int, tmp_path: Path) -> None:
    theirs, path = trained(ResNet18(width=8)), tmp_path / f"resnet.{ending}"
    if ending == "pt":
        torch.save(theirs.state_dict(), path, pickle_protocol=protocol)
    else:
        safetensors_torch.save_file(theirs.state_dict(), path)
    ours = ResNet(8)
    report = weights.load_state_dict(ours, path)
    assert report.complete
    assert all(name.endswith("num_batches_tracked") for name in report.ignored)
    assert_same_output(ours, theirs)


@pytest.mark.parametrize("by", ["mapping", "order"])
def test_a_unet_with_other_names_is_mapped(by: str, tmp_path: Path) -> None:
    theirs, ours = trained(ClassicUNet(3, 2)), vg.models.UNet(3, 2, features=(8, 16, 32))
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "loss": [0.5]}, tmp_path / "unet.pth")
    settings: Any = {"by": "order"} if by == "order" else {"mapping": unet_mapping()}
    report = weights.load_state_dict(ours, tmp_path / "unet.pth", **settings)
    assert report.fitted["upsample.1.weight"] == "module.up2.weight"
    assert "upsample.1.weight <- module.up2.weight" in str(report) or len(report.fitted) > 20
    assert_same_output(ours, theirs)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_every_convolution_goes_there_and_back(kind: str, axes: int, groups: int) -> None:
    ours = getattr(nn, f"{kind}{axes}d")(4, 6, 3, groups=groups)
    theirs = getattr(torch.nn, f"{kind}{axes}d")(4, 6, 3, groups=groups)
    weights.load_state_dict(ours, theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((2, *(5,) * axes, 4)).astype(np.float32)
    with torch.no_grad():
        expected = np.moveaxis(theirs(torch.from_numpy(np.moveaxis(x, -1, 1))).numpy(), 1, -1)
    np.testing.assert_allclose(ours(vg.Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    back = weights.to_torch_state_dict(ours)
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(back[name], tensor.numpy())


def test_a_flattened_image_is_reordered() -> None:
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 6 * 5, 7)
    )
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 5, 7))
    with pytest.raises(ValueError, match=r"2\.weight follows a Flatten.*PyTorch.*flattened="):
        weights.to_torch_state_dict(ours)
    with pytest.raises(ValueError, match=r"2\.weight.*follows a Flatten"):
        weights.load_state_dict(ours, theirs.state_dict())
    image = {"2.weight": (4, 6, 5)}
    weights.load_state_dict(ours, theirs.state_dict(), flattened=image)
    x = np.random.default_rng(0).standard_normal((2, 8, 7, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.moveaxis(x, -1, 1))).numpy()
    np.testing.assert_allclose(ours(vg.Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    back = weights.to_torch_state_dict(ours, flattened=image)
    np.testing.assert_array_equal(back["2.weight"], theirs[2].weight.detach().numpy())
    with pytest.raises(ValueError, match="120 columns"):
        weights.load_state_dict(ours, theirs.state_dict(), flattened={"2.weight": (4, 5, 5)})


def test_a_single_pixel_needs_no_order() -> None:
    layers = [nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(4, 2)]
    assert weights.to_torch_state_dict(nn.Sequential(nn.Conv2d(3, 4, 3), *layers))


def test_weights_go_back_to_pytorch(tmp_path: Path) -> None:
    ours, theirs = vg.models.UNet(3, 2, features=(8, 16, 32)), ClassicUNet(3, 2).eval()
    names = {ours: theirs for theirs, ours in weights_names(ours, theirs).items()}
    weights.save(tmp_path / "back.safetensors", ours, names)
    theirs.load_state_dict(safetensors_torch.load_file(tmp_path / "back.safetensors"))
    assert_same_output(ours, theirs)
    with pytest.raises(ValueError, match="does not fit"):
        weights.load_state_dict(ours, tmp_path / "back.safetensors")


def weights_names(ours: nn.Module, theirs: Any) -> dict[str, str]:
    """Name of theirs -> name of ours."""
    probe = vg.models.UNet(3, 2, features=(8, 16, 32))
    report = weights.load_state_dict(probe, theirs.state_dict(), unet_mapping())
    return {source: target for target, source in report.fitted.items()}


def test_our_own_files_are_not_taken_for_pytorchs(tmp_path: Path) -> None:
    vg.save(tmp_path / "ours.safetensors", vg.models.MLP(2, 2))
    with pytest.raises(ValueError, match=r"use voxelgrad\.load"):
        weights.read(tmp_path / "ours.safetensors")


@pytest.mark.parametrize(
    "name",
    [
        *("float64", "float32", "float16", "bfloat16"),
        *("int64", "int32", "int16", "int8", "uint8", "bool", "uint16"),
    ],
)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_every_dtype_is_read(name: str, ending: str, tmp_path: Path) -> None:
    tensor, path = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(torch, name)), tmp_path / "x"
    torch.save({"a": tensor}, path) if ending == "pt" else safetensors_torch.save_file(
        {"a": tensor}, path
    )
    array = weights.read(path)["a"]
    assert array.dtype.name == name
    np.testing.assert_array_equal(array.astype(np.float64), [[0, 1, 1], [1, 0, 1]])


def test_views_of_one_storage_are_read_as_such(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = OrderedDict(a=whole, b=whole.T, c=whole[1:, ::2], d=whole[2, 3], e=whole[:0])
    tensors["f"] = torch.nn.Parameter(whole)
    torch.save(tensors, tmp_path / "views.pt")
    arrays = weights.read(tmp_path / "views.pt")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(arrays[name], tensor.detach().numpy())
    assert np.shares_memory(arrays["a"], arrays["b"])
    arrays["a"][0, 0] = 7
    assert arrays["b"][0, 0] == 7


def test_half_precision_weights_become_float32() -> None:
    ours, theirs = nn.Linear(3, 2), torch.nn.Linear(3, 2).to(torch.float16)
    weights.load_state_dict(ours, theirs.state_dict())
    assert ours.weight.dtype == np.float32
    np.testing.assert_array_equal(ours.weight.numpy(), theirs.weight.detach().numpy())


def test_the_state_dict_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    network, path = torch.nn.Linear(2, 1), tmp_path / "checkpoint.pt"
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    ema = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    state = {"state_dict": network.state_dict(), "ema": ema, "optimizer": optimizer.state_dict()}
    torch.save(state, path)
    assert list(weights.read(path)) == ["weight", "bias"]
    np.testing.assert_array_equal(weights.read(path, key="ema")["bias"], ema["bias"].numpy())
    with pytest.raises(ValueError, match="key='other'; there are 'state_dict', 'ema'"):
        weights.read(path, key="other")
    torch.save({"first": ema, "second": dict(ema)}, path)
    with pytest.raises(ValueError, match="several dictionaries of tensors, 'first', 'second'"):
        weights.read(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(ValueError, match="no dictionary of tensors"):
        weights.read(path)


def test_nothing_changes_unless_all_fits_or_it_is_asked_for() -> None:
    ours = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = ours.state_dict()
    state = {"0.weight": np.ones((2, 3)), "1.weight": np.ones((3, 2)), "2.weight": np.ones(1)}
    with pytest.raises(ValueError, match=r"the state dict does not fit this Sequential") as caught:
        weights.load_state_dict(ours, state)
    for part in ("1 of the model's 4", "(3, 2)", "(2, 2)", "0.bias", "2.weight", "strict=False"):
        assert part in str(caught.value)
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    report = weights.load_state_dict(ours, state, strict=False)
    assert (list(report.fitted), list(report.unfit)) == (["0.weight"], ["1.weight"])
    assert (report.missing, report.unexpected) == (["0.bias", "1.bias"], ["2.weight"])
    np.testing.assert_array_equal(ours.state_dict()["0.weight"], np.ones((2, 3)))


def test_layers_whose_numbers_differ_are_not_paired_by_order() -> None:
    theirs = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 3), torch.nn.Linear(2, 2)]
    ours = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    state = {f"a.{name}": x for name, x in torch.nn.Sequential(*theirs).state_dict().items()}
    report = weights.load_state_dict(ours, state, by="order", strict=False)
    assert list(report.fitted) == ["1.weight", "1.bias"]


def test_bfloat16_tensors_of_a_state_dict_are_refused_with_the_way_out() -> None:
    theirs = torch.nn.Linear(3, 2).to(torch.bfloat16)
    with pytest.raises(TypeError, match=r"load_state_dict: .*bfloat16.*to float32"):
        weights.load_state_dict(nn.Linear(3, 2), theirs.state_dict())


def test_a_prefix_selects() -> None:
    state = {"net.weight": np.ones((1, 2)), "net.bias": np.ones(1), "loss.weight": np.ones(3)}
    ours = nn.Linear(2, 1)
    report = weights.load_state_dict(ours, state, prefix="net.")
    assert report.ignored == ["loss.weight"]
    np.testing.assert_array_equal(ours.weight.numpy(), [[1, 1]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "shape"}, "by is 'shape'"),
        ({"by": "order", "mapping": {"a": "b"}}, "mapping goes by name"),
        ({"mapping": {"bais": "bias"}}, "mapping names 'bais'"),
        ({"mapping": {"weight": "bias"}}, r"leads to \['bias'\] more than once"),
        ({"flattened": {"bias": (1, 1)}}, "not the weight of a linear layer"),
    ],
)
def test_wrong_arguments_are_refused(settings: Any, message: str) -> None:
    state = {"weight": np.ones((1, 2)), "bias": np.ones(1)}
    with pytest.raises(ValueError, match=message):
        weights.load_state_dict(nn.Linear(2, 1), state, **settings)
