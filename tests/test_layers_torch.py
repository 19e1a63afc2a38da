"""Every layer computes what PyTorch's layer of the same settings computes, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn

torch = pytest.importorskip("torch")

LAYERS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 9, 4)),
    ("Conv2d", (4, 6, 3), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}, (2, 9, 8, 4)),
    ("Conv3d", (4, 6, 3), {"padding": 1, "bias": False}, (2, 4, 5, 6, 4)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, (2, 5, 4)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 5, 4, 4)),
    ("ConvTranspose3d", (4, 6, 2), {"stride": 2}, (2, 3, 4, 5, 4)),
    ("Linear", (5, 3), {}, (2, 4, 5)),
    ("GroupNorm", (2, 6), {"eps": 1e-3}, (2, 4, 5, 6)),
    ("LayerNorm", ((5, 6),), {}, (2, 4, 5, 6)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 9, 3)),
    ("MaxPool2d", (2,), {}, (2, 7, 6, 3)),
    ("MaxPool2d", (3, 2, 1), {"dilation": 2, "ceil_mode": True}, (2, 10, 9, 3)),
    ("PReLU", (3,), {}, (2, 4, 5, 3)),
    ("MaxPool3d", ((1, 2, 2),), {}, (2, 3, 4, 5, 3)),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (2, 9, 3)),
    ("AvgPool2d", (3,), {"padding": 1}, (2, 9, 7, 3)),
    ("AvgPool3d", (2,), {"ceil_mode": True}, (2, 4, 4, 5, 3)),
    ("AdaptiveAvgPool1d", (4,), {}, (2, 9, 3)),
    ("AdaptiveAvgPool2d", ((3, 2),), {}, (2, 7, 5, 3)),
    ("AdaptiveAvgPool3d", (2,), {}, (2, 5, 4, 3, 3)),
    ("ReLU", (), {}, (2, 3)),
    ("LeakyReLU", (0.2,), {}, (2, 3)),
    ("ELU", (0.5,), {}, (2, 3)),
    ("Sigmoid", (), {}, (2, 3)),
    ("Tanh", (), {}, (2, 3)),
    ("Softplus", (), {}, (2, 3)),
    ("Identity", (), {}, (2, 3)),
]


def to_torch(array: np.ndarray[Any, Any]) -> Any:
    """Move the channels to the second axis where there is space."""
    return torch.from_numpy(np.moveaxis(array, -1, 1).copy() if array.ndim > 2 else array.copy())


def weight_to_torch(layer: nn.Module, weight: np.ndarray[Any, Any]) -> Any:
    """(out, *kernel, in / groups) -> PyTorch's order of the same layer."""
    if "ConvTranspose" not in type(layer).__name__:
        return to_torch(weight)
    # PyTorch: (in, out, *kernel), groups apart; these tests use one group.
    return torch.from_numpy(np.moveaxis(weight, (0, -1), (1, 0)).copy())


@pytest.mark.parametrize(
    ("name", "arguments", "settings", "shape"), LAYERS, ids=[layer[0] for layer in LAYERS]
)
def test_layer(name: str, arguments: Any, settings: Any, shape: tuple[int, ...]) -> None:
    ours = getattr(nn, name)(*arguments, **settings).astype(np.float64)
    theirs = getattr(torch.nn, name)(*arguments, **settings).double()
    random = np.random.default_rng(1)
    for label, parameter in ours.named_parameters():
        parameter.data[...] = random.normal(size=parameter.shape)
        value = (
            weight_to_torch(ours, parameter.data)
            if "Conv" in name and label == "weight"
            else torch.from_numpy(parameter.data.copy())
        )
        getattr(theirs, label).data = value
    input = random.normal(size=shape)
    output = ours(vg.Tensor(input)).numpy()
    if name in ("Linear", "LayerNorm"):
        expected = theirs(torch.from_numpy(input)).detach().numpy()
    else:
        expected = theirs(to_torch(input)).detach().numpy()
        expected = np.moveaxis(expected, 1, -1) if expected.ndim > 2 else expected
    np.testing.assert_allclose(output, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_batch_norm_in_training_and_evaluation(rank: int) -> None:
    ours = nn.BatchNorm(3, momentum=0.3).astype(np.float64)
    theirs = getattr(torch.nn, f"BatchNorm{rank}d")(3, momentum=0.3).double()
    random = np.random.default_rng(2)
    for batch in range(3):
        ours.train(batch < 2)
        theirs.train(batch < 2)
        input = random.normal(1.0, 2.0, (4, *(5, 4, 3)[:rank], 3))
        output = ours(vg.Tensor(input)).numpy()
        expected = np.moveaxis(theirs(to_torch(input)).detach().numpy(), 1, -1)
        np.testing.assert_allclose(output, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), rtol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm(affine: bool) -> None:
    ours = nn.InstanceNorm(3, affine=affine).astype(np.float64)
    theirs = torch.nn.InstanceNorm2d(3, affine=affine).double()
    input = np.random.default_rng(3).normal(size=(2, 5, 4, 3))
    expected = np.moveaxis(theirs(to_torch(input)).detach().numpy(), 1, -1)
    np.testing.assert_allclose(ours(vg.Tensor(input)).numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "theirs"),
    [
        ({"scale_factor": 2, "mode": "nearest"}, {"scale_factor": 2, "mode": "nearest"}),
        ({"scale_factor": 2, "mode": "linear"}, {"scale_factor": 2, "mode": "bilinear"}),
        ({"scale_factor": 2, "mode": "cubic"}, {"scale_factor": 2, "mode": "bicubic"}),
        (
            {"size": (7, 9), "mode": "linear", "align_corners": True},
            {"size": (7, 9), "mode": "bilinear", "align_corners": True},
        ),
    ],
)
def test_upsample(settings: Any, theirs: Any) -> None:
    input = np.random.default_rng(4).normal(size=(2, 4, 5, 3))
    expected = np.moveaxis(torch.nn.Upsample(**theirs)(to_torch(input)).numpy(), 1, -1)
    output = nn.Upsample(**settings)(vg.Tensor(input)).numpy()
    np.testing.assert_allclose(output, expected, rtol=1e-10, atol=1e-12)


def test_softmax_flatten_and_global_pool() -> None:
    input = np.random.default_rng(5).normal(size=(2, 4, 5, 3))
    tensor = vg.Tensor(input)
    expected = torch.softmax(torch.from_numpy(input), -1).numpy()
    np.testing.assert_allclose(nn.Softmax()(tensor).numpy(), expected, rtol=1e-12)
    assert nn.Flatten()(tensor).shape == (2, 60)
    np.testing.assert_allclose(nn.GlobalAvgPool()(tensor).numpy(), input.mean((1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(nn.GlobalMaxPool()(tensor).numpy(), input.max((1, 2)))


def test_dropout_drops_in_training_only() -> None:
    vg.manual_seed(0)
    layer, input = nn.Dropout(0.25), vg.Tensor(np.ones((100, 100)))
    output = layer(input).numpy()
    assert set(np.unique(output).tolist()) == {0.0, 1.0 / 0.75}
    # 10000 draws: the standard error of the share is 0.43 %; 3 % is more than six of them.
    assert (output == 0.0).mean() == pytest.approx(0.25, abs=0.03)
    assert (layer.eval()(input).numpy() == 1.0).all()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()),
        (nn.CrossEntropyLoss(ignore_index=2), torch.nn.CrossEntropyLoss(ignore_index=2)),
        (nn.FocalLoss(gamma=0.0), torch.nn.CrossEntropyLoss()),
        (
            nn.CrossEntropyLoss(class_weight=np.array([0.5, 1.0, 2.0])),
            torch.nn.CrossEntropyLoss(torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)),
        ),
    ],
)
def test_losses_of_labels(ours: nn.Module, theirs: Any) -> None:
    random = np.random.default_rng(6)
    logits, labels = random.normal(size=(2, 4, 5, 3)), random.integers(0, 3, (2, 4, 5))
    expected = theirs(to_torch(logits), torch.from_numpy(labels)).item()
    assert ours(vg.Tensor(logits), labels).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.MSELoss(), torch.nn.MSELoss()),
        (nn.L1Loss(), torch.nn.L1Loss()),
        (nn.BCEWithLogitsLoss(), torch.nn.BCEWithLogitsLoss()),
        (
            nn.BCEWithLogitsLoss(pos_weight=3.0),
            torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)),
        ),
    ],
)
def test_losses_of_targets(ours: nn.Module, theirs: Any) -> None:
    random = np.random.default_rng(7)
    input, target = random.normal(size=(4, 3)), random.integers(0, 2, (4, 3)).astype(np.float64)
    expected = theirs(torch.from_numpy(input), torch.from_numpy(target)).item()
    assert ours(vg.Tensor(input), vg.Tensor(target)).item() == pytest.approx(expected, rel=1e-10)


def test_dice_ce_is_dice_plus_cross_entropy() -> None:
    random = np.random.default_rng(8)
    logits, labels = vg.Tensor(random.normal(size=(2, 4, 5, 3))), random.integers(0, 3, (2, 4, 5))
    parts = nn.DiceLoss()(logits, labels).item() + nn.CrossEntropyLoss()(logits, labels).item()
    assert nn.DiceCELoss()(logits, labels).item() == pytest.approx(parts, rel=1e-12)


def test_dice_by_hand() -> None:
    random = np.random.default_rng(9)
    logits, labels = random.normal(size=(2, 4, 5, 3)), random.integers(0, 3, (2, 4, 5))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    y = np.eye(3)[labels]
    dice = (2 * (p * y).sum((0, 1, 2)) + 1e-5) / ((p + y).sum((0, 1, 2)) + 1e-5)
    loss = nn.DiceLoss()(vg.Tensor(logits), labels).item()
    assert loss == pytest.approx(1 - dice.mean(), rel=1e-10)
    foreground = nn.DiceLoss(include_background=False)(vg.Tensor(logits), labels).item()
    assert foreground == pytest.approx(1 - dice[1:].mean(), rel=1e-10)
