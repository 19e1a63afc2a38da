"""Interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.interop.onnx.exporters.writer import Item, Writer
from voxelgrad.interop.onnx.layout import LAST
from voxelgrad.ops.interpolate import Interpolate, Resample


def _interpolate(writer: Writer, function: Interpolate, items: list[Any]) -> Item:
    value = writer.first(items[0])
    size, target = items[0].shape[1:-1], function.output_size
    shape = (value.shape[0], *target, value.shape[-1])
    settings: dict[str, Any] = {"mode": function.mode, "nearest_mode": "floor"}
    if function.mode == "nearest":
        settings["coordinate_transformation_mode"] = "asymmetric"
    elif function.align_corners:
        settings["coordinate_transformation_mode"] = "align_corners"
    else:
        settings["coordinate_transformation_mode"] = "half_pixel"
    scales = [out / n for n, out in zip(size, target, strict=True)]
    if function.scale_factor is not None and all(
        n * s == round(n * s) for n, s in zip(size, scales, strict=True)
    ):
        names = [value.name, "", writer.constant(np.asarray([1.0, 1.0, *scales], np.float32))]
        return writer.node("Resize", names, shape, LAST, **settings)
    writer.size_is_fixed = True
    writer.batch_is_fixed = True
    sizes = writer.integers([value.shape[0], value.shape[-1], *target])
    return writer.node("Resize", [value.name, "", "", sizes], shape, LAST, **settings)


def _resample(writer: Writer, function: Resample, items: list[Any]) -> Item:
    """Write each axis as a matrix product, the axis turned to the end for it."""
    value = writer.first(items[0])
    writer.size_is_fixed = True
    shape = list(value.shape)
    for position, taps in enumerate(function.taps):
        length = shape[1 + position]
        matrix = np.zeros((len(taps.starts) - 1, length))
        rows = np.repeat(np.arange(len(matrix)), np.diff(taps.starts))
        np.add.at(matrix, (rows, taps.positions), taps.weights)
        shape[1 + position] = len(matrix)
        perm = list(range(value.ndim))
        perm[2 + position], perm[-1] = perm[-1], perm[2 + position]
        turned = writer.node("Transpose", [value.name], tuple(shape), LAST, perm=perm)
        dtype = np.float64 if function.backend.__name__.endswith("reference") else np.float32
        weights = writer.constant(matrix.T.astype(dtype))
        product = writer.node("MatMul", [turned.name, weights], tuple(shape), LAST)
        value = writer.node("Transpose", [product.name], tuple(shape), LAST, perm=perm)
    return value


EXPORTERS = {Interpolate: _interpolate, Resample: _resample}
