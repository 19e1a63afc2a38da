"""Adjoint identities of convolution at shapes of a real network, too large for gradcheck.

<conv(x; w), g> = <x, backward_data(g; w)> = <w, backward_weight(g, x)>: three independent kernels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import voxelgrad as vg
from rounding import gamma

SHAPES = [
    ("conv2d", (2, 60, 61, 33), (64, 3, 3, 33), {"padding": 1}),
    ("conv2d", (1, 120, 119, 4), (32, 3, 3, 4), {"padding": 1}),
    ("conv2d", (2, 57, 64, 32), (48, 3, 3, 32), {"stride": 2, "padding": 1}),
    ("conv2d", (2, 40, 40, 64), (128, 1, 1, 64), {}),
    ("conv2d", (2, 50, 51, 40), (40, 5, 5, 1), {"padding": 2, "groups": 40}),
    ("conv2d", (2, 50, 51, 32), (64, 3, 3, 8), {"padding": 2, "dilation": 2, "groups": 4}),
    ("conv3d", (1, 20, 21, 22, 16), (32, 3, 3, 3, 16), {"padding": 1}),
    ("conv3d", (1, 24, 24, 24, 4), (32, 3, 3, 3, 4), {"stride": 2, "padding": 1}),
    ("conv1d", (4, 2000, 12), (24, 9, 12), {"padding": 4}),
    ("conv_transpose2d", (2, 30, 31, 64), (32, 2, 2, 64), {"stride": 2}),
    ("conv_transpose2d", (2, 30, 31, 48), (20, 3, 3, 48), {"stride": 2, "padding": 1}),
    ("conv_transpose3d", (1, 11, 12, 13, 32), (16, 2, 2, 2, 32), {"stride": 2}),
]


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a.astype(np.float64), b.astype(np.float64)))


@pytest.mark.parametrize(("op", "shape", "weight_shape", "settings"), SHAPES)
def test_backward_passes_are_the_adjoints_of_forward(
    op: str, shape: tuple[int, ...], weight_shape: tuple[int, ...], settings: dict[str, int]
) -> None:
    rng = np.random.default_rng(11)
    x = vg.Tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)
    w = vg.Tensor(rng.standard_normal(weight_shape).astype(np.float32), requires_grad=True)
    convolve = getattr(vg.ops, op)
    y = convolve(x, w, **settings)
    g = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(g)

    products = [_inner(y.numpy(), g), _inner(x.data, x.grad.data), _inner(w.data, w.grad.data)]
    with vg.no_grad():
        size = convolve(vg.Tensor(np.abs(x.data)), vg.Tensor(np.abs(w.data)), **settings).numpy()
    # The longest sum is that of a weight's gradient: over all voxels of the batch.
    longest = max(int(np.prod(g.shape[:-1])), int(np.prod(weight_shape[1:])))
    bound = 2.0 * gamma(longest) * _inner(size, np.abs(g))
    for first, second in pairwise(products):
        assert abs(first - second) <= bound
