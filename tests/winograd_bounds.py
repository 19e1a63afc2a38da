"""The error of Winograd convolution F(4x4, 3x3), bounded by its transforms.

Every result is a sum of products A^T [(G w G^T) . (B^T x B)] A; with absolute values in all places
the same formula gives the majorant, and the rounding error is at most gamma_n times that, n being
the longest chain of additions: the channels (or tiles) summed, and those of the three transforms
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1; for this algorithm
Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
networks", 2020).
"""

from __future__ import annotations

import numpy as np

from op_case import OpCase
from rounding import Arrays, Bounds, gamma

P, Q = np.sqrt(0.5), np.sqrt(2.0)  # the points are 0, P, -P, Q, -Q and infinity
B = np.array(
    [
        [1, 0, -2.5, 0, 1, 0],
        [0, -2 * P, -2, P, 1, 0],
        [0, 2 * P, -2, -P, 1, 0],
        [0, -Q / 2, -0.5, Q, 1, 0],
        [0, Q / 2, -0.5, -Q, 1, 0],
        [0, 1, 0, -2.5, 0, 1],
    ]
)
G = np.array(
    [
        [1, 0, 0],
        [-2 / 3, -2 / 3 * P, -1 / 3],
        [-2 / 3, 2 / 3 * P, -1 / 3],
        [1 / 6, Q / 6, 1 / 3],
        [1 / 6, -Q / 6, 1 / 3],
        [0, 0, 1],
    ]
)
A = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, P, -P, Q, -Q, 0],
        [0, 0.5, 0.5, 2, 2, 0],
        [0, P / 2, -P / 2, 2 * Q, -2 * Q, 1],
    ]
)

TRANSFORMS = 36  # additions in a row in the three two-dimensional transforms
TILE, PATCH = 4, 6


def patches(x: np.ndarray, padding: tuple[int, ...], out: tuple[int, int]) -> np.ndarray:
    """Cut (N, D, H, W, C) into overlapping (N, D', rows, columns, C, 6, 6), padded with zeros.

    A negative padding crops.
    """
    rows, columns = (-(-size // TILE) for size in out)
    cut = [
        slice(max(0, -p), size - max(0, -p)) for p, size in zip(padding, x.shape[1:4], strict=True)
    ]
    x = x[:, cut[0], cut[1], cut[2]]
    depth, height, width = (max(0, p) for p in padding)
    spare = (TILE * rows + 2 - x.shape[2] - height, TILE * columns + 2 - x.shape[3] - width)
    pads = [(0, 0), (depth, depth), (height, max(0, spare[0])), (width, max(0, spare[1])), (0, 0)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, pads), (PATCH, PATCH), (2, 3))
    return windows[:, :, : TILE * rows : TILE, : TILE * columns : TILE]


def tiles(y: np.ndarray) -> np.ndarray:
    """Cut (N, D, H, W, C) into (N, D, rows, columns, C, 4, 4), padded with zeros."""
    rows, columns = (-(-size // TILE) for size in y.shape[2:4])
    pads = [(0, TILE * rows - y.shape[2]), (0, TILE * columns - y.shape[3])]
    y = np.pad(y, [(0, 0), (0, 0), *pads, (0, 0)])
    cut = y.reshape(*y.shape[:2], rows, TILE, columns, TILE, y.shape[-1])
    return cut.transpose(0, 1, 2, 4, 6, 3, 5)


def forward(x: np.ndarray, w: np.ndarray, padding: tuple[int, ...], absolute: bool) -> np.ndarray:
    """Convolve (N, D, H, W, C) with (K, kd, 3, 3, C) by tiles; with absolute matrices if asked."""
    b, g, a = (np.abs(m) if absolute else m for m in (B, G, A))
    height, width = (x.shape[2 + i] + 2 * padding[1 + i] - 2 for i in range(2))
    frequencies = b @ patches(x, padding, (height, width)) @ b.T
    weight = g @ w.transpose(0, 1, 4, 2, 3) @ g.T
    taps = w.shape[1]
    depth = frequencies.shape[1] - taps + 1
    products = sum(
        np.einsum("ndrcijk,oijk->ndrcojk", frequencies[:, t : t + depth], weight[:, t])
        for t in range(taps)
    )
    out = a @ products @ a.T
    out = out.transpose(0, 1, 2, 5, 3, 6, 4)
    whole = out.reshape(*out.shape[:2], out.shape[2] * TILE, out.shape[4] * TILE, out.shape[-1])
    return whole[:, :, :height, :width]


def weight_gradient(
    x: np.ndarray, grad: np.ndarray, padding: tuple[int, ...], taps: int, absolute: bool
) -> np.ndarray:
    """Return the gradient (K, kd, 3, 3, C) by tiles; with absolute matrices if asked."""
    b, g, a = (np.abs(m) if absolute else m for m in (B, G, A))
    frequencies = b @ patches(x, padding, (grad.shape[2], grad.shape[3])) @ b.T
    turned = a.T @ tiles(grad) @ a
    depth = grad.shape[1]
    sums = [
        np.einsum("ndrcijk,ndrcojk->oijk", frequencies[:, t : t + depth], turned)
        for t in range(taps)
    ]
    return np.stack([(g.T @ s @ g).transpose(0, 2, 3, 1) for s in sums], axis=1)


def split_padding(case: OpCase, rank: int) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Return the padding that both ends of an axis have, and what each end has more.

    The more is added to the input before it is convolved.
    """
    padding = case.params.get("padding", 0)
    listed = (padding,) * rank if isinstance(padding, int) else padding
    pairs = [(p, p) if isinstance(p, int) else p for p in listed]
    even = tuple(min(pair) for pair in pairs)
    return even, [(b - e, a - e) for (b, a), e in zip(pairs, even, strict=True)]


def as_three_dimensional(
    case: OpCase, arrays: Arrays, grad: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return input, weight, output gradient and padding of the plain convolution that ``case`` is.

    What one end of an axis is padded more is in the input.
    A transposed convolution of stride 1 is one with the weight turned round.
    """
    x, w = arrays[0], arrays[1]
    rank = x.ndim - 2
    padding, more = split_padding(case, rank)
    x = np.pad(x, [(0, 0), *more, (0, 0)])
    if case.op.startswith("conv_transpose"):
        padding = tuple(k - 1 - p for k, p in zip(w.shape[1:-1], padding, strict=True))
        w = np.flip(w, tuple(range(1, rank + 1)))
    if rank == 2:
        x, w, grad, padding = x[:, None], w[:, None], grad[:, None], (0, *padding)
    return x, w, grad, padding


def accepts(case: OpCase) -> bool:
    """Whether Winograd's algorithm takes the case: kernel (depth, 3, 3), stride 1, one group."""
    if not case.op.startswith("conv") or case.args[1].shape[1:-1][-2:] != (3, 3):
        return False
    settings = [case.params.get(name, 1) for name in ("stride", "dilation", "groups")]
    return all(np.all(np.asarray(value) == 1) for value in settings)


def winograd_bounds(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Return bounds for the output and the gradients of input, weight and, if given, bias."""
    x, w, g, padding = as_three_dimensional(case, arrays, grad)
    x, w, g = np.abs(x), np.abs(w), np.abs(g)
    taps = w.shape[1]
    turned = np.flip(w, (1, 2, 3)).transpose(4, 1, 2, 3, 0)
    back = tuple(k - 1 - p for k, p in zip(w.shape[1:4], padding, strict=True))
    tile_count = g.shape[0] * g.shape[1] * -(-g.shape[2] // TILE) * -(-g.shape[3] // TILE)
    output = forward(x, w, padding, True) * gamma(x.shape[-1] * taps + TRANSFORMS)
    grad_x = forward(g, turned, back, True) * gamma(w.shape[0] * taps + TRANSFORMS)
    grad_w = weight_gradient(x, g, padding, taps, True) * gamma(tile_count + TRANSFORMS)
    if case.op.startswith("conv_transpose"):
        grad_w = np.flip(grad_w, (1, 2, 3))
    if arrays[0].ndim == 4:
        output, grad_x, grad_w = output[:, 0], grad_x[:, 0], grad_w[:, 0]
    _, more = split_padding(case, arrays[0].ndim - 2)
    inner = [slice(b, n - a) for (b, a), n in zip(more, grad_x.shape[1:-1], strict=True)]
    bounds = [output, grad_x[(slice(None), *inner)], grad_w]
    if len(arrays) > 2 and arrays[2] is not None:
        pixels = tuple(range(grad.ndim - 1))
        bounds[0] = bounds[0] + gamma(0) * np.abs(arrays[2])
        bounds.append(gamma(grad.size // grad.shape[-1]) * np.abs(grad).sum(axis=pixels))
    return bounds
