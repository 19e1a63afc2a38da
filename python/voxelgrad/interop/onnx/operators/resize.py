"""Resize and its forerunner Upsample: a linear map along each spatial axis."""

from __future__ import annotations

import math

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler, one_of
from voxelgrad.interop.onnx.layout import LAST, Value
from voxelgrad.interop.onnx.operators.resize_axis import TRANSFORMS, AxisResize
from voxelgrad.interop.onnx.operators.spatial import check_rank
from voxelgrad.tensor import Tensor

_MODES = ("nearest", "linear", "cubic")
_POLICIES = ("stretch", "not_larger", "not_smaller")


def _resize(call: Call) -> Value:
    value = call.value(0)
    input = call.image()
    check_rank(input)
    axes = _axes(call, value.shape)
    quick = _by_kernel(input, axes)
    if quick is not None:
        return Value(quick, LAST)
    output = ops.resample(input, [axis.taps() for axis in axes])
    if axes[0].transform == "tf_crop_and_resize":
        output = _extrapolated(output, axes, float(call.attribute("extrapolation_value", 0.0)))
    return Value(output, LAST)


def _axes(call: Call, shape: tuple[int, ...]) -> list[AxisResize]:
    """Return the resizing of every spatial axis."""
    older = call.opset < 11
    mode = one_of("mode", call.attribute("mode", "nearest"), _MODES)
    transform = one_of(
        "coordinate_transformation_mode",
        call.attribute("coordinate_transformation_mode", "asymmetric" if older else "half_pixel"),
        TRANSFORMS,
    )
    sizes, scales = _extents(call, shape)
    if sizes[:2] != list(shape[:2]):
        raise ValueError(f"the output's shape is {sizes}; only spatial axes can be resized")
    if min(sizes) < 1:
        raise ValueError(f"the output's shape is {sizes}; no axis may be empty")
    call.check_growth(sizes)
    regions = _regions(call, len(shape))
    return [
        AxisResize(
            length=shape[axis],
            size=sizes[axis],
            scale=scales[axis],
            mode=mode,
            transform=transform,
            rounding="floor" if older else call.attribute("nearest_mode", "round_prefer_floor"),
            region=regions[axis],
            cubic=float(call.attribute("cubic_coeff_a", -0.75)),
            exclude_outside=bool(call.attribute("exclude_outside", 0)),
            antialias=bool(call.attribute("antialias", 0)),
        )
        for axis in range(2, len(shape))
    ]


def _listed_axes(call: Call, ndim: int) -> list[int]:
    return [call.axis(int(a), ndim) for a in call.attribute("axes", range(ndim))]


def _extents(call: Call, shape: tuple[int, ...]) -> tuple[list[int], list[float]]:
    """Return size and scale of all axes."""
    first = 1 if call.opset < 11 else 2
    given = call.array(first)
    listed = call.attribute("scales") if given is None else given.tolist()
    wanted = None if call.opset < 11 else call.ints(3)
    axes = _listed_axes(call, len(shape))
    if bool(listed) == bool(wanted):
        raise ValueError("either scales or sizes must be given, and not both")
    values = [float(v) for v in (listed or wanted or [])]
    if len(values) != len(axes) or not all(0.0 < v < math.inf for v in values):
        raise ValueError(f"scales or sizes are {values}; give a positive one for each axis {axes}")
    sizes, scales = list(shape), [1.0] * len(shape)
    if listed:
        for axis, scale in zip(axes, values, strict=True):
            # Scales are float32 in the file: 0.33333334 of 3 elements is 1 in that format.
            scales[axis] = scale
            sizes[axis] = math.floor(np.float32(scale) * np.float32(shape[axis]))
        return sizes, scales
    policy = one_of(
        "keep_aspect_ratio_policy",
        call.attribute("keep_aspect_ratio_policy", "stretch"),
        _POLICIES,
    )
    ratios = [v / shape[axis] for axis, v in zip(axes, values, strict=True)]
    if policy != "stretch":
        common = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [common] * len(axes)
        values = [math.floor(common * shape[axis] + 0.5) for axis in axes]
    for axis, size, ratio in zip(axes, values, ratios, strict=True):
        sizes[axis], scales[axis] = int(size), ratio
    return sizes, scales


def _regions(call: Call, ndim: int) -> list[tuple[float, float]]:
    """Return the region of interest of all axes: the whole, unless it is given."""
    regions = [(0.0, 1.0)] * ndim
    given = call.array(1) if call.opset >= 11 else None
    if given is None or given.size == 0:
        return regions
    axes = _listed_axes(call, ndim)
    if given.size != 2 * len(axes):
        raise ValueError(f"roi has {given.size} numbers; it must have {2 * len(axes)}")
    flat = given.reshape(-1)
    for position, axis in enumerate(axes):
        regions[axis] = (float(flat[position]), float(flat[len(axes) + position]))
    return regions


def _by_kernel(input: Tensor, axes: list[AxisResize]) -> Tensor | None:
    """Return what ``ops.interpolate`` makes of it, if it computes the same, else None."""
    sizes = tuple(axis.size for axis in axes)
    exact = all(axis.scale * axis.length == axis.size for axis in axes)
    mode, transform = axes[0].mode, axes[0].transform
    if not exact or axes[0].antialias or axes[0].exclude_outside:
        return None
    if mode == "nearest" and transform == "asymmetric" and axes[0].rounding == "floor":
        return ops.interpolate(input, sizes)
    if mode != "linear":
        return None
    if transform == "align_corners":
        return ops.interpolate(input, sizes, mode="linear", align_corners=True)
    if transform == "half_pixel" or (transform == "pytorch_half_pixel" and min(sizes) > 1):
        return ops.interpolate(input, sizes, mode="linear")
    return None


def _extrapolated(output: Tensor, axes: list[AxisResize], value: float) -> Tensor:
    """Put ``value`` where an output lies beyond the input along any axis."""
    inside = np.ones((1,), bool)
    for axis in axes:
        inside = np.multiply.outer(inside, ~axis.outside())
    kept = inside[..., None].astype(output.dtype)
    return ops.add(output * Tensor(kept), Tensor((1.0 - kept) * kept.dtype.type(value)))


OPERATORS: dict[str, Handler] = {"Resize": _resize, "Upsample": _resize}
