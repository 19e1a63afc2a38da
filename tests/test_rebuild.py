"""What is cheap to compute again is not kept for the backward pass."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad.backends import cpu
from voxelgrad.models.blocks import ConvBlock

FORMATS = {"float32": 4, "bfloat16": 2}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_output_of_a_norm_is_not_kept_for_the_convolution_after_it(
    norm: str, dtype: str
) -> None:
    block = ConvBlock(16, 16, 2, norm, "leaky_relu")
    image = np.random.default_rng(0).standard_normal((1, 256, 256, 16), np.float32)
    gc.collect()  # what earlier tests left must not go meanwhile
    before = cpu.memory_statistics()["in_use"]
    with vg.autocast(dtype):
        output = block(vg.Tensor(image))
    kept = cpu.memory_statistics()["in_use"] - before
    # Both convolutions' results and the output; under autocast the rounded input, too.
    arrays = 3 if dtype == "float32" else 4
    assert kept // (image.size * FORMATS[dtype]) == arrays
    output.sum().backward()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_it_is_made_again_to_the_same_bits(norm: str, dtype: str) -> None:
    block = ConvBlock(5, 24, 3, norm, "relu")
    image = np.random.default_rng(1).standard_normal((2, 7, 6, 5, 5), np.float32)
    with vg.autocast(dtype):
        output = block(vg.Tensor(image))
    assert output.node is not None and str(output.dtype) == dtype
    assert output.node.rebuild().tobytes() == output.data.tobytes()
