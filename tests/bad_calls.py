"""Calls with bad arguments, and what their one error must say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import voxelgrad as vg
from voxelgrad import ops
from voxelgrad.data import ArrayDataset, DataLoader


def floats(*shape: int) -> vg.Tensor:
    return vg.Tensor(np.zeros(shape, np.float32))


def ints(*shape: int, value: int = 0) -> Any:
    return np.full(shape, value, np.int64)


def conv(padding: Any = 0, weight: tuple[int, ...] = (2, 3, 3, 1), **options: Any) -> vg.Tensor:
    return ops.conv2d(floats(1, 6, 6, 1), floats(*weight), padding=padding, **options)


def nan_images() -> Any:
    images = np.zeros((2, 4, 4, 1), np.float32)
    images[1, 0, 0, 0] = np.nan
    return images


# name: (what is done, error, parts that its message must have)
CALLS: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    "channels differ": (
        lambda: conv(weight=(2, 3, 3, 5)),
        ValueError,
        ("conv2d", "weight", "(2, 3, 3, 5)", "channels"),
    ),
    "too few axes": (
        lambda: ops.conv2d(floats(6, 6, 1), floats(2, 3, 3, 1)),
        ValueError,
        ("conv2d", "input", "(6, 6, 1)"),
    ),
    "kernel larger than image": (
        lambda: conv(weight=(2, 9, 9, 1)),
        ValueError,
        ("conv2d", "9"),
    ),
    "negative padding": (lambda: conv(padding=-1), ValueError, ("conv2d", "padding", "-1")),
    "stride zero": (lambda: conv(stride=0), ValueError, ("conv2d", "stride", "0")),
    "groups do not divide": (lambda: conv(groups=3), ValueError, ("conv2d", "groups", "3")),
    "empty image": (
        lambda: ops.conv2d(floats(1, 0, 6, 1), floats(2, 3, 3, 1)),
        ValueError,
        ("conv2d", "(1, 0, 6, 1)"),
    ),
    "empty pooling": (
        lambda: ops.max_pool2d(floats(1, 0, 0, 1), 2),
        ValueError,
        ("max_pool2d", "(1, 0, 0, 1)"),
    ),
    "mixed dtypes": (
        lambda: floats(2) + vg.Tensor(np.zeros(2)),
        TypeError,
        ("float32", "float64", "astype"),
    ),
    "integer image": (
        lambda: ops.relu(vg.Tensor(ints(2))),
        TypeError,
        ("relu", "int64", "astype"),
    ),
    "text as data": (lambda: vg.Tensor("scan"), TypeError, ("Tensor", "<U4")),
    "shapes do not broadcast": (lambda: floats(2, 3) + floats(4), ValueError, ("(2, 3)", "(4,)")),
    "label shape": (
        lambda: ops.cross_entropy(floats(1, 4, 4, 2), ints(1, 4, 5)),
        ValueError,
        ("cross_entropy", "labels", "(1, 4, 5)"),
    ),
    "label dtype": (
        lambda: ops.cross_entropy(floats(3, 2), np.zeros(3, np.float32)),
        TypeError,
        ("cross_entropy", "labels", "float32"),
    ),
    "label outside the classes": (
        lambda: ops.cross_entropy(floats(3, 2), ints(3, value=2)),
        ValueError,
        ("label", "2"),
    ),
    "negative label": (
        lambda: ops.dice_ce_loss(floats(1, 2, 2, 2), ints(1, 2, 2, value=-1)),
        ValueError,
        ("label", "-1"),
    ),
    "model with other channels": (
        lambda: vg.models.UNet(3, 2, features=(2, 4))(floats(1, 8, 8, 1)),
        ValueError,
        ("UNet", "(1, 8, 8, 1)", "in_channels=3"),
    ),
    "model size": (
        lambda: vg.models.UNet(1, 2, features=(2, 4))(floats(1, 7, 8, 1)),
        ValueError,
        ("UNet", "(7, 8)", "multiple of 2"),
    ),
    "nan in an image": (
        lambda: ArrayDataset(nan_images()),
        ValueError,
        ("images[1]", "NaN"),
    ),
    "no images": (lambda: ArrayDataset([]), ValueError, ("images is empty",)),
    "zero-sized images": (
        lambda: ArrayDataset(np.zeros((1, 0, 4, 1), np.float32)),
        ValueError,
        ("images[0]", "(0, 4, 1)"),
    ),
    "masks of another size": (
        lambda: ArrayDataset(np.zeros((1, 4, 4, 1), np.float32), ints(1, 4, 5)),
        ValueError,
        ("labels[0]", "(4, 5)", "(4, 4)"),
    ),
    "fewer masks than images": (
        lambda: ArrayDataset(np.zeros((2, 4, 4, 1), np.float32), ints(1, 4, 4)),
        ValueError,
        ("labels has 1 entries for 2 images",),
    ),
    "fractions as masks": (
        lambda: ArrayDataset(np.zeros((1, 4, 4, 1), np.float32), np.full((1, 4, 4), 0.5)),
        ValueError,
        ("labels[0]", "0.5"),
    ),
    "images of several sizes in a batch": (
        lambda: next(iter(DataLoader(ArrayDataset([np.zeros((4, 4, 1)), np.zeros((5, 4, 1))]), 2))),
        ValueError,
        ("(4, 4, 1)", "(5, 4, 1)", "crop or pad"),
    ),
    "batch size zero": (
        lambda: DataLoader(ArrayDataset(np.zeros((1, 4, 4, 1))), batch_size=0),
        ValueError,
        ("batch_size is 0",),
    ),
    "learning rate below zero": (
        lambda: vg.optim.SGD([vg.Tensor([1.0], requires_grad=True)], lr=-1.0),
        ValueError,
        ("SGD", "lr is -1.0"),
    ),
}
