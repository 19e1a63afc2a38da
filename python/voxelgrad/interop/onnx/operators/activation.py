"""Elementwise functions of one input, softmax, dropout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Value, same_format
from voxelgrad.tensor import Tensor

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _elementwise(function: Callable[[Tensor, Call], Tensor]) -> Handler:
    """Return a handler that leaves the layout as it is."""

    def run(call: Call) -> Value:
        value = call.value(0)
        return Value(function(value.tensor(value.layout), call), value.layout)

    return run


def _leaky_relu(input: Tensor, call: Call) -> Tensor:
    return ops.leaky_relu(input, call.attribute("alpha", 0.01))


def _elu(input: Tensor, call: Call) -> Tensor:
    return ops.elu(input, call.attribute("alpha", 1.0))


def _selu(input: Tensor, call: Call) -> Tensor:
    alpha, gamma = call.attribute("alpha", _SELU_ALPHA), call.attribute("gamma", _SELU_GAMMA)
    return ops.mul(ops.elu(input, alpha), gamma)


def _hard_sigmoid(input: Tensor, call: Call) -> Tensor:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    return ops.clip(ops.add(ops.mul(input, alpha), beta), 0.0, 1.0)


def _hard_swish(input: Tensor, call: Call) -> Tensor:
    return input * ops.clip(input * (1.0 / 6.0) + 0.5, 0.0, 1.0)


def _clip(call: Call) -> Value:
    """Cut to [min, max], in either order: where min is the greater, everything becomes max."""
    value = call.value(0)
    low = call.number(1, "min", -np.inf)
    high = call.number(2, "max", np.inf)
    if not value.is_float:
        array = value.array()
        limits = np.iinfo(array.dtype)
        ends = max(low, limits.min), min(high, limits.max)
        return Value(np.minimum(np.maximum(array, int(ends[0])), int(ends[1])).astype(array.dtype))
    return Value(ops.clip(value.tensor(value.layout), min(low, high), high), value.layout)


def _prelu(call: Call) -> Value:
    value, slope = call.value(0), call.value(1)
    if call.opset < 7 and slope.ndim == 1 and value.ndim > 2:
        # Before sets had broadcasting, slopes belonged to the channels.
        slope = Value(slope.tensor().reshape(-1, *(1,) * (value.ndim - 2)))
    if value.ndim < 3:
        return Value(ops.prelu(*same_format(value.tensor(), slope.tensor())))
    # Against an image (N, C, *spatial) a slope (C, 1, 1) lacks the leading axis.
    aligned = slope.tensor().reshape((1,) * (value.ndim - slope.ndim) + slope.shape)
    operands = same_format(value.tensor(LAST), LAST.store(aligned))
    return Value(ops.prelu(*operands), LAST)


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Handler:
    def run(call: Call) -> Value:
        value = call.value(0)
        if call.opset < 13:
            return Value(_softmax_of_rows(function, call, value))
        axis = call.axis(call.attribute("axis", -1), value.ndim)
        place = value.layout.axes(value.ndim).index(axis)
        return Value(function(value.tensor(value.layout), place), value.layout)

    return run


def _softmax_of_rows(function: Callable[[Tensor, int], Tensor], call: Call, value: Value) -> Tensor:
    """Before set 13 all axes from ``axis`` on were one."""
    axis = call.axis(call.attribute("axis", 1), value.ndim)
    rows = int(np.prod(value.shape[:axis]))
    flat = value.tensor(PLAIN).reshape(rows, -1)
    return function(flat, -1).reshape(value.shape)


def _dropout(call: Call) -> tuple[Value, Value | None]:
    """Drop in training, or where the node itself asks for it; with ONNX's mask if it has a seed."""
    value = call.value(0)
    input = value.tensor(value.layout)
    ratio = call.number(1, "ratio", 0.5)
    asked = call.array(2)
    training = call.training or (asked is not None and bool(asked.item()))
    if not training or ratio == 0.0:
        kept = np.ones(value.shape, np.bool_) if call.wants(1) else None
        return Value(input, value.layout), None if kept is None else Value(kept)
    if "seed" not in call.node.attributes and not call.wants(1):
        return Value(ops.dropout(input, ratio), value.layout), None
    mask = _mask(call, value, ratio)
    scale = Value(Tensor(mask.astype(input.dtype) / np.asarray(1.0 - ratio, input.dtype)))
    return Value(input * scale.tensor(value.layout), value.layout), Value(mask)


def _mask(call: Call, value: Value, ratio: float) -> np.ndarray:
    """Return what is kept, in ONNX's order; a seed draws what its reference implementation does."""
    seed = call.attribute("seed")
    if seed is None:
        ones = Tensor(np.ones(value.shape, value.data.dtype))
        return np.asarray(ops.dropout(ones, ratio).numpy() > 0)
    generator = np.random.RandomState(int(seed))
    return np.asarray(generator.uniform(0.0, 1.0, value.shape) >= ratio)


OPERATORS: dict[str, Handler] = {
    "Abs": _elementwise(lambda input, call: ops.abs(input)),
    "Clip": _clip,
    "Dropout": _dropout,
    "Elu": _elementwise(_elu),
    "Exp": _elementwise(lambda input, call: ops.exp(input)),
    "HardSigmoid": _elementwise(_hard_sigmoid),
    "HardSwish": _elementwise(_hard_swish),
    "LeakyRelu": _elementwise(_leaky_relu),
    "Log": _elementwise(lambda input, call: ops.log(input)),
    "LogSoftmax": _softmax(ops.log_softmax),
    "PRelu": _prelu,
    "Relu": _elementwise(lambda input, call: ops.relu(input)),
    "Selu": _elementwise(_selu),
    "Sigmoid": _elementwise(lambda input, call: ops.sigmoid(input)),
    "Softmax": _softmax(ops.softmax),
    "Softplus": _elementwise(lambda input, call: ops.softplus(input)),
    "Tanh": _elementwise(lambda input, call: ops.tanh(input)),
}
