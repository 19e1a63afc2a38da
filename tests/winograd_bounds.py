"""The error of Winograd convolution F(m x m, 3x3), bounded by its transforms.

Every result is a sum of products A^T [(G w G^T) . (B^T x B)] A; with absolute values in all places
the same formula gives the majorant, and the rounding error is at most gamma_n times that, n being
the longest chain of additions: the channels (or tiles) summed, and those of the three transforms
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1; for this algorithm
Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
networks", 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import polynomial

from op_case import OpCase
from rounding import Arrays, Bounds, gamma

KERNEL = 3


@dataclass(frozen=True)
class Form:
    """F(tile x tile, taps x taps) by these finite points and, if they are too few, infinity."""

    tile: int
    points: tuple[float, ...]
    taps: int = KERNEL

    @property
    def patch(self) -> int:
        return self.tile + self.taps - 1

    @property
    def infinity(self) -> bool:
        """Whether infinity is one of the points."""
        return len(self.points) < self.patch

    @property
    def transforms(self) -> int:
        """Additions in a row in the three two-dimensional transforms, at most."""
        return 6 * self.patch

    def _others(self, k: int) -> tuple[float, ...]:
        return self.points[:k] + self.points[k + 1 :]

    @cached_property
    def input(self) -> np.ndarray:
        """B^T: the products of x - q over all points but the row's."""
        rows = [polynomial.polyfromroots(self._others(k)) for k in range(len(self.points))]
        if not self.infinity:
            return np.array(rows)
        return np.array([*([*row, 0] for row in rows), polynomial.polyfromroots(self.points)])

    @cached_property
    def weight(self) -> np.ndarray:
        """G: powers of the row's point over its distances from the others."""
        rows = [
            [p**i / np.prod([p - q for q in self._others(k)]) for i in range(self.taps)]
            for k, p in enumerate(self.points)
        ]
        return np.array([*rows, np.eye(self.taps)[-1]] if self.infinity else rows)

    @cached_property
    def output(self) -> np.ndarray:
        """A^T: powers of the column's point."""
        infinity = np.eye(self.tile)[-1:] if self.infinity else np.empty((0, self.tile))
        return np.concatenate([np.vander(self.points, self.tile, increasing=True), infinity]).T

    def matrices(self, absolute: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        b, g, a = self.input, self.weight, self.output
        return (np.abs(b), np.abs(g), np.abs(a)) if absolute else (b, g, a)


P, Q = np.sqrt(0.5), np.sqrt(2.0)
FORMS = {
    "winograd4": Form(4, (0, P, -P, Q, -Q)),
    "winograd5": Form(5, (0, 0.5, -0.5, 1, -1, 2, -2)),
    "winograd6": Form(6, (0, 0.5, -0.5, 1, -1, 2, -2)),
}


# F(group, 3) over groups of slices, for three taps in depth, by the number of slices.
GROUPS = {2: Form(2, (0, 1, -1)), 4: FORMS["winograd4"]}


def patches(
    form: Form, x: np.ndarray, padding: tuple[int, ...], out: tuple[int, int]
) -> np.ndarray:
    """Cut (N, D, H, W, C) into overlapping (N, D', rows, columns, C, patch, patch), zero-padded.

    A negative padding crops.
    """
    tile = form.tile
    rows, columns = (-(-size // tile) for size in out)
    cut = [
        slice(max(0, -p), size - max(0, -p)) for p, size in zip(padding, x.shape[1:4], strict=True)
    ]
    x = x[:, cut[0], cut[1], cut[2]]
    depth, height, width = (max(0, p) for p in padding)
    more = form.taps - 1
    spare = (tile * rows + more - x.shape[2] - height, tile * columns + more - x.shape[3] - width)
    pads = [(0, 0), (depth, depth), (height, max(0, spare[0])), (width, max(0, spare[1])), (0, 0)]
    size = (form.patch, form.patch)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, pads), size, (2, 3))
    return windows[:, :, : tile * rows : tile, : tile * columns : tile]


def tiles(tile: int, y: np.ndarray) -> np.ndarray:
    """Cut (N, D, H, W, C) into (N, D, rows, columns, C, tile, tile), padded with zeros."""
    rows, columns = (-(-size // tile) for size in y.shape[2:4])
    pads = [(0, tile * rows - y.shape[2]), (0, tile * columns - y.shape[3])]
    y = np.pad(y, [(0, 0), (0, 0), *pads, (0, 0)])
    cut = y.reshape(*y.shape[:2], rows, tile, columns, tile, y.shape[-1])
    return cut.transpose(0, 1, 2, 4, 6, 3, 5)


def groups_of(slices: np.ndarray, each: int, size: int, depth: int) -> np.ndarray:
    """Return slice size * p + s of every group p as (s, N, p, ...), s < each; slices (N, D, ...).

    The groups cover ``depth`` slices.
    """
    groups = -(-depth // size)
    missing = max(0, size * groups + each - size - slices.shape[1])
    padded = np.pad(slices, [(0, 0), (0, missing), *[(0, 0)] * (slices.ndim - 2)])
    return np.stack([padded[:, s : s + size * groups : size] for s in range(each)])


def summed_taps(frequencies: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Multiply (N, D, ..., C, p, p) with (K, taps, C, p, p) and sum over taps."""
    taps = weight.shape[1]
    depth = frequencies.shape[1] - taps + 1
    return sum(
        np.einsum("ndrcijk,oijk->ndrcojk", frequencies[:, t : t + depth], weight[:, t])
        for t in range(taps)
    )


def multiplied_groups(
    frequencies: np.ndarray, weight: np.ndarray, group: int, absolute: bool
) -> np.ndarray:
    """Return what ``summed_taps`` does for three taps by F(group, 3)."""
    form = GROUPS[group]
    b, g, a = form.matrices(absolute)
    depth = frequencies.shape[1] - 2
    parts = np.tensordot(b, groups_of(frequencies, form.patch, group, depth), 1)
    turned = np.tensordot(g, np.moveaxis(weight, 1, 0), 1)
    products = [
        np.einsum("ndrcijk,oijk->ndrcojk", part, w) for part, w in zip(parts, turned, strict=True)
    ]
    slices = np.moveaxis(np.tensordot(a, np.stack(products), 1), 0, 2)
    return slices.reshape(slices.shape[0], -1, *slices.shape[3:])[:, :depth]


def forward(
    form: Form,
    x: np.ndarray,
    w: np.ndarray,
    padding: tuple[int, ...],
    group: int,
    absolute: bool,
) -> np.ndarray:
    """Convolve (N, D, H, W, C) with (K, kd, r, r, C) by tiles; with absolute matrices if asked.

    ``group`` slices are transformed together; with 1 taps in depth are summed.
    """
    b, g, a = form.matrices(absolute)
    height, width = (x.shape[2 + i] + 2 * padding[1 + i] - form.taps + 1 for i in range(2))
    frequencies = b @ patches(form, x, padding, (height, width)) @ b.T
    weight = g @ w.transpose(0, 1, 4, 2, 3) @ g.T
    if group > 1:
        products = multiplied_groups(frequencies, weight, group, absolute)
    else:
        products = summed_taps(frequencies, weight)
    out = a @ products @ a.T
    out = out.transpose(0, 1, 2, 5, 3, 6, 4)
    whole = out.reshape(
        *out.shape[:2], out.shape[2] * form.tile, out.shape[4] * form.tile, out.shape[-1]
    )
    return whole[:, :, :height, :width]


def weight_gradient(
    form: Form,
    x: np.ndarray,
    grad: np.ndarray,
    padding: tuple[int, ...],
    taps: int,
    group: int,
    absolute: bool = True,
) -> np.ndarray:
    """Return the gradient (K, kd, r, r, C) by tiles, with absolute matrices if asked."""
    b, g, a = form.matrices(absolute)
    frequencies = b @ patches(form, x, padding, (grad.shape[2], grad.shape[3])) @ b.T
    turned = a.T @ tiles(form.tile, grad) @ a
    depth = grad.shape[1]
    if group > 1:
        depth_b, depth_g, depth_a = GROUPS[group].matrices(absolute)
        fine = np.tensordot(depth_b, groups_of(frequencies, group + 2, group, depth), 1)
        coarse = np.tensordot(depth_a.T, groups_of(turned, group, group, depth), 1)
    else:
        fine = np.stack([frequencies[:, t : t + depth] for t in range(taps)])
        coarse = np.stack([turned] * taps)
    sums = np.stack(
        [
            np.einsum("ndrcijk,ndrcojk->oijk", one, other)
            for one, other in zip(fine, coarse, strict=True)
        ]
    )
    if group > 1:
        sums = np.tensordot(depth_g.T, sums, 1)
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


def groups_taken(x: np.ndarray, w: np.ndarray, padding: tuple[int, ...]) -> list[int]:
    """Return how many slices may be transformed together; 1: taps in depth are summed."""
    slices = x.shape[1] + 2 * padding[0] - 2
    return [1, *(group for group in GROUPS if w.shape[1] == KERNEL and slices > 1)]


def winograd_bounds(case: OpCase, arrays: Arrays, grad: np.ndarray, name: str = "") -> Bounds:
    """Return bounds for the output and the gradients of input, weight and, if given, bias.

    ``name`` is that of the algorithm; without one every form's errors are allowed.
    """
    forms = [FORMS[name]] if name in FORMS else FORMS.values()
    x, w, _, padding = as_three_dimensional(case, arrays, grad)
    each = [
        bounds_of_form(form, case, arrays, grad, group)
        for form in forms
        for group in groups_taken(x, w, padding)
    ]
    return [np.max(bounds, axis=0) for bounds in zip(*each, strict=True)]


def bounds_of_form(
    form: Form, case: OpCase, arrays: Arrays, grad: np.ndarray, group: int
) -> Bounds:
    """Return what ``winograd_bounds`` does for one form and groups of that many slices."""
    x, w, g, padding = as_three_dimensional(case, arrays, grad)
    x, w, g = np.abs(x), np.abs(w), np.abs(g)
    taps = w.shape[1]
    turned = np.flip(w, (1, 2, 3)).transpose(4, 1, 2, 3, 0)
    back = tuple(k - 1 - p for k, p in zip(w.shape[1:4], padding, strict=True))
    tile_count = np.prod(g.shape[:2]) * np.prod([-(-n // form.tile) for n in g.shape[2:4]])
    transforms = form.transforms + max(depth.transforms for depth in GROUPS.values())
    output = forward(form, x, w, padding, group, True) * gamma(x.shape[-1] * taps + transforms)
    grad_x = forward(form, g, turned, back, group, True) * gamma(w.shape[0] * taps + transforms)
    grad_w = weight_gradient(form, x, g, padding, taps, group) * gamma(tile_count + transforms)
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
