"""Operators that voxelgrad has no op for, made of those it has."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler, one_of
from voxelgrad.interop.onnx.layout import LAST, Value, same_format
from voxelgrad.interop.onnx.operators.arithmetic import aligned, common_layout
from voxelgrad.interop.onnx.operators.shape import expanded
from voxelgrad.tensor import Tensor

# M. Abramowitz, I. Stegun, Handbook of mathematical functions, 1964, formula 7.1.26: within 1.5e-7.
_ERF_SLOPE = 0.3275911
_ERF_COEFFICIENTS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def _erf_of_positive(x: Tensor) -> Tensor:
    t = ops.div(1.0, ops.add(ops.mul(x, _ERF_SLOPE), 1.0))
    polynomial = ops.mul(t, _ERF_COEFFICIENTS[0])
    for coefficient in _ERF_COEFFICIENTS[1:]:
        polynomial = ops.mul(ops.add(polynomial, coefficient), t)
    return ops.sub(1.0, ops.mul(polynomial, ops.exp(ops.mul(ops.square(x), -1.0))))


def erf(x: Tensor) -> Tensor:
    """Return the error function, to within 1.5e-7: the positive side, and the negative mirrored."""
    positive, negative = ops.relu(x), ops.relu(ops.mul(x, -1.0))
    return ops.sub(_erf_of_positive(positive), _erf_of_positive(negative))


def _erf(call: Call) -> Value:
    value = call.value(0)
    return Value(erf(value.tensor(value.layout)), value.layout)


def _gelu(call: Call) -> Value:
    """Return x times the normal distribution's share below x, or its approximation by tanh."""
    value = call.value(0)
    x = value.tensor(value.layout)
    kind = one_of("approximate", call.attribute("approximate", "none"), ("none", "tanh"))
    if kind == "none":
        share = erf(ops.mul(x, math.sqrt(0.5)))
    else:
        cubic = ops.mul(ops.mul(ops.square(x), x), 0.044715)
        share = ops.tanh(ops.mul(ops.add(x, cubic), math.sqrt(2.0 / math.pi)))
    return Value(ops.mul(ops.mul(x, 0.5), ops.add(share, 1.0)), value.layout)


def _mish(call: Call) -> Value:
    value = call.value(0)
    x = value.tensor(value.layout)
    return Value(ops.mul(x, ops.tanh(ops.softplus(x))), value.layout)


def _block(call: Call) -> int:
    size = int(call.attribute("blocksize", 0))
    if size < 1 or call.value(0).ndim != 4:
        raise ValueError(f"blocksize is {size}; it must be positive, and the input an image")
    return size


def _depth_to_space(call: Call) -> Value:
    """Spread the channels over blocks of pixels."""
    size, image = _block(call), call.image()
    samples, height, width, channels = image.shape
    mode = one_of("mode", call.attribute("mode", "DCR"), ("DCR", "CRD"))
    if channels % size**2:
        raise ValueError(f"blocksize is {size}; its square must divide {channels} channels")
    left = channels // size**2
    if mode == "DCR":
        split, order = (size, size, left), (0, 1, 3, 2, 4, 5)
    else:
        split, order = (left, size, size), (0, 1, 4, 2, 5, 3)
    blocks = ops.transpose(image.reshape(samples, height, width, *split), order)
    return Value(blocks.reshape(samples, height * size, width * size, left), LAST)


def _space_to_depth(call: Call) -> Value:
    """Gather blocks of pixels into channels."""
    size, image = _block(call), call.image()
    samples, height, width, channels = image.shape
    if height % size or width % size:
        raise ValueError(f"blocksize is {size}; it must divide the size {height} x {width}")
    rows, columns = height // size, width // size
    blocks = image.reshape(samples, rows, size, columns, size, channels)
    turned = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    return Value(turned.reshape(samples, rows, columns, size * size * channels), LAST)


def _largest_of_rows(rows: Tensor) -> Tensor:
    """Return the maximum of each row of (rows, length)."""
    return ops.global_max_pool(rows.reshape(*rows.shape, 1)).reshape(rows.shape[0])


def _reduce_max(sign: float) -> Handler:
    def run(call: Call) -> Value:
        value, keepdims = call.value(0), bool(call.attribute("keepdims", 1))
        axes = tuple(call.axis(a, value.ndim) for a in call.ints(1, "axes") or range(value.ndim))
        if not value.is_float:
            function = np.max if sign > 0 else np.min
            return Value(np.asarray(function(value.array(), axis=axes, keepdims=keepdims)))
        left = [axis for axis in range(value.ndim) if axis not in axes]
        kept = [value.shape[axis] for axis in left]
        turned = ops.transpose(ops.mul(value.tensor(), sign), (*left, *axes))
        largest = _largest_of_rows(turned.reshape(math.prod(kept), -1))
        single = [1 if axis in axes else n for axis, n in enumerate(value.shape)]
        return Value(ops.mul(largest, sign).reshape(single if keepdims else kept))

    return run


def _maximum(sign: float) -> Handler:
    def pair(a: Value, b: Value) -> Value:
        if not a.is_float and not b.is_float:
            function = np.maximum if sign > 0 else np.minimum
            return Value(function(a.array(), b.array()))
        layout = common_layout(a, b)
        first, second = same_format(aligned(a, b, layout), aligned(b, a, layout))
        shape = np.broadcast_shapes(first.shape, second.shape)
        flat = [ops.mul(expanded(t, shape), sign).reshape(-1, 1) for t in (first, second)]
        largest = _largest_of_rows(ops.concat(flat, 1))
        return Value(ops.mul(largest, sign).reshape(shape), layout)

    def run(call: Call) -> Value:
        return reduce(pair, [call.value(index) for index in range(len(call.inputs))])

    return run


OPERATORS: dict[str, Handler] = {
    "DepthToSpace": _depth_to_space,
    "Erf": _erf,
    "Gelu": _gelu,
    "Max": _maximum(1.0),
    "Min": _maximum(-1.0),
    "Mish": _mish,
    "ReduceMax": _reduce_max(1.0),
    "ReduceMin": _reduce_max(-1.0),
    "SpaceToDepth": _space_to_depth,
}
