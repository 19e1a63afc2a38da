"""Nearest, (bi-, tri-) linear and any other interpolation: one matrix per spatial axis."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from voxelgrad.backends.reference._common import Array, Ints, apply_along_spatial, float64


def _source_position(i: int, size_out: int, size_in: int, align_corners: bool) -> float:
    """Return where output voxel ``i`` lies in the input, in voxels of the input."""
    if align_corners:
        return i * (size_in - 1) / (size_out - 1) if size_out > 1 else 0.0
    return min(max((i + 0.5) * size_in / size_out - 0.5, 0.0), size_in - 1.0)


def _matrix(size_out: int, size_in: int, mode: str, align_corners: bool) -> Array:
    """Return (size_out, size_in): row i holds the weights of the inputs of output voxel i."""
    matrix = np.zeros((size_out, size_in))
    for i in range(size_out):
        if mode == "nearest":
            matrix[i, i * size_in // size_out] = 1.0
            continue
        position = _source_position(i, size_out, size_in, align_corners)
        low = int(position)
        matrix[i, low] += 1.0 - (position - low)
        matrix[i, min(low + 1, size_in - 1)] += position - low
    return matrix


def _matrices(spatial_out: Ints, spatial_in: Ints, mode: str, align_corners: bool) -> list[Array]:
    if mode not in ("nearest", "linear"):
        raise ValueError(f"interpolate: mode {mode!r} is unknown; choose 'nearest' or 'linear'")
    return [
        _matrix(o, i, mode, align_corners) for o, i in zip(spatial_out, spatial_in, strict=True)
    ]


def interpolate_forward(input: Array, output: Array, mode: str, align_corners: bool) -> None:
    """Write ``input`` (N, *spatial, C) resampled to the extents of ``output``.

    Args:
        input: Image (N, *spatial, C).
        output: Image (N, *new_spatial, C).
        mode: ``"nearest"`` takes voxel floor(i * in / out); ``"linear"`` weighs the two neighbours.
        align_corners: Linear only: corner voxels coincide; else the images' outer edges do
            (half-pixel centres).

    Raises:
        ValueError: If there is no such mode.
    """
    matrices = _matrices(output.shape[1:-1], input.shape[1:-1], mode, align_corners)
    output[...] = apply_along_spatial(input, matrices)


def interpolate_backward(
    grad_output: Array, grad_input: Array, mode: str, align_corners: bool
) -> None:
    """Write the gradient of ``interpolate_forward``: the transposed matrices.

    Raises:
        ValueError: If there is no such mode.
    """
    matrices = _matrices(grad_output.shape[1:-1], grad_input.shape[1:-1], mode, align_corners)
    grad_input[...] = apply_along_spatial(grad_output, [matrix.T for matrix in matrices])


def _table_matrix(starts: Array, positions: Array, weights: Array, size_in: int) -> Array:
    """Return the matrix of which row i has the weights of entries starts[i] to starts[i + 1]."""
    matrix = np.zeros((len(starts) - 1, size_in))
    for i, (begin, end) in enumerate(pairwise(starts)):
        np.add.at(matrix[i], positions[begin:end], float64(weights[begin:end]))
    return matrix


def resample(
    input: Array,
    output: Array,
    starts: list[Array],
    positions: list[Array],
    weights: list[Array],
) -> None:
    """Write ``input`` (N, *spatial, C) multiplied along each spatial axis by a sparse matrix.

    Row i of the matrix of an axis has ``weights[t]`` in column ``positions[t]`` for t from
    ``starts[i]`` to ``starts[i + 1]``.
    """
    tables = zip(starts, positions, weights, input.shape[1:-1], strict=True)
    output[...] = apply_along_spatial(input, [_table_matrix(*table) for table in tables])
