"""bfloat16 tensors: conversion, the rule for parameters, autocast."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import voxelgrad as vg
from instruction_sets import VECTOR
from voxelgrad.backends import cpu

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
