"""bfloat16 tensors: conversion, the rule for parameters, autocast."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest

import voxelgrad as vg
from instruction_sets import VECTOR
from voxelgrad.backends import cpu
from voxelgrad.data import ArrayDataset

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 3.4e38, 1.00390625], np.float32)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("count", [0, 1, 7, 33, 40_000, 9_000_001])
def test_rounding_is_that_of_ml_dtypes(isa: str, count: int) -> None:
    x = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    x[: SPECIAL.size] = SPECIAL[:count]
    before = cpu.isa_name()
    cpu.set_isa(isa)
    try:
        narrow = vg.Tensor(x).astype("bfloat16")
        wide = narrow.astype("float32").numpy()
    finally:
        cpu.set_isa(before)
    expected = x.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(narrow.numpy().astype(np.float32), expected.astype(np.float32))
    np.testing.assert_array_equal(wide, expected.astype(np.float32))


def test_the_gradient_of_a_cast_comes_back_in_the_first_format() -> None:
    x = vg.Tensor(np.ones(5, np.float32), requires_grad=True)
    x.astype("bfloat16").backward(np.arange(5).astype(ml_dtypes.bfloat16))
    assert x.grad is not None and x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), np.arange(5))


def test_a_cast_to_the_same_format_is_the_tensor_itself() -> None:
    x = vg.Tensor(np.ones(5, np.float32))
    assert x.astype("float32") is x


@pytest.mark.parametrize("dtype", ["int8", "float16", "half"])
def test_other_formats_are_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"{dtype}.*float32, float64 or bfloat16"):
        vg.Tensor([1.0]).astype(dtype)


def test_autocast_knows_two_formats() -> None:
    with pytest.raises(ValueError, match="choose bfloat16 or float32"):
        vg.autocast("float64")


def test_a_bfloat16_weight_is_refused() -> None:
    image = np.zeros((1, 4, 4, 2), ml_dtypes.bfloat16)
    weight = np.zeros((3, 3, 3, 2), ml_dtypes.bfloat16)
    with pytest.raises(TypeError, match=r"weight is bfloat16.*float32"):
        vg.ops.conv2d(vg.Tensor(image), vg.Tensor(weight))


def test_autocast_rounds_images_and_leaves_parameters() -> None:
    vg.manual_seed(0)
    model = vg.models.UNet(2, 3, features=(8, 16))
    image = np.random.default_rng(0).standard_normal((2, 16, 16, 2)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, (2, 16, 16))
    with vg.autocast("bfloat16"):
        logits = model(vg.Tensor(image))
        loss = vg.ops.cross_entropy(logits, labels)
    assert logits.dtype == ml_dtypes.bfloat16
    assert loss.dtype == np.float32
    loss.backward()
    for parameter in model.parameters():
        assert parameter.dtype == np.float32
        assert parameter.grad is not None and parameter.grad.dtype == np.float32


def test_autocast_ends_with_its_block_and_can_be_switched_off_inside() -> None:
    x, w = vg.Tensor(np.ones((1, 4), np.float32)), vg.Tensor(np.ones((3, 4), np.float32))
    with vg.autocast():
        assert vg.ops.linear(x, w).dtype == ml_dtypes.bfloat16
        with vg.autocast("float32"):
            assert vg.ops.linear(x, w).dtype == np.float32
    assert vg.ops.linear(x, w).dtype == np.float32


def test_autocast_does_not_reach_other_threads() -> None:
    x, w = vg.Tensor(np.ones((1, 4), np.float32)), vg.Tensor(np.ones((3, 4), np.float32))
    found = []
    with vg.autocast():
        thread = threading.Thread(target=lambda: found.append(vg.ops.linear(x, w).dtype))
        thread.start()
        thread.join()
    assert found == [np.float32]


def test_a_network_trained_in_bfloat16_learns_what_float32_learns() -> None:
    images = np.random.default_rng(2).standard_normal((8, 16, 16, 1)).astype(np.float32)
    labels = (images[..., 0] > 0).astype(np.int64)
    losses = {}
    for precision in ("float32", "bf16"):
        vg.manual_seed(3)
        model = vg.models.UNet(1, 2, features=(8, 16))
        learner = vg.train.Learner(
            model,
            ArrayDataset(list(images), list(labels)),
            vg.nn.CrossEntropyLoss(),
            vg.optim.Adam(model.parameters(), lr=0.01),
            precision=precision,
        )
        losses[precision] = [row["train_loss"] for row in learner.fit(15)]
        prediction = next(learner.predict(images))
        assert prediction.probabilities.dtype == np.float32
    assert losses["bf16"][-1] < 0.5 * losses["bf16"][0]
    # Each forward pass rounds every image to 8 binary digits a few times over.
    assert losses["bf16"][0] == pytest.approx(losses["float32"][0], rel=0.02)
