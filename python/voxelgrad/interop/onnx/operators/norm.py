"""Normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.fusion import ACTIVATION, SLOPE
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Value
from voxelgrad.interop.onnx.operators.shape import expanded
from voxelgrad.tensor import Tensor


def _activation(call: Call) -> tuple[Any, ...]:
    """Return what ops take for the activation that ``fusion`` has put into the norm."""
    kind = call.attribute(ACTIVATION)
    return () if kind is None else (kind, call.attribute(SLOPE, 0.01))


def _batch_norm(call: Call) -> tuple[Value | None, ...]:
    """Normalise by the running statistics, or by the batch's where the node or the model trains."""
    value = call.value(0)
    layout = LAST if value.ndim > 2 else PLAIN
    input, eps = value.tensor(layout), float(call.attribute("epsilon", 1e-5))
    keep = float(call.attribute("momentum", 0.9))
    weight, bias = call.tensor(1), call.tensor(2)
    mean, variance = call.tensor(3).numpy(), call.tensor(4).numpy()
    if call.attribute("training_mode", 0):
        return _training_batch_norm(call, Value(input, layout), (weight, bias), keep, eps)
    output = ops.batch_norm(
        input, mean, variance, weight, bias, call.training, 1.0 - keep, eps, *_activation(call)
    )
    return (Value(output, layout),)


def _training_batch_norm(
    call: Call, value: Value, scale: tuple[Tensor, Tensor], keep: float, eps: float
) -> tuple[Value | None, ...]:
    """Return the output and the new statistics; ONNX keeps the biased variance."""
    input = value.tensor(value.layout)
    channels = input.shape[-1]
    mean, variance = np.zeros((2, channels), input.dtype)
    output = ops.batch_norm(input, mean, variance, *scale, training=True, momentum=1.0, eps=eps)
    count = input.size // channels
    variance *= (count - 1) / count
    new_mean = call.tensor(3).numpy() * keep + mean * (1.0 - keep)
    new_variance = call.tensor(4).numpy() * keep + variance * (1.0 - keep)
    statistics = (new_mean, new_variance)
    return (
        Value(output, value.layout),
        *(Value(Tensor(s.astype(input.dtype))) for s in statistics),
    )


def _instance_norm(call: Call) -> Value:
    eps = float(call.attribute("epsilon", 1e-5))
    tensors = call.image(), call.tensor(1), call.tensor(2)
    return Value(ops.instance_norm(*tensors, eps, *_activation(call)), LAST)


def _group_norm(call: Call) -> Value:
    """Normalise groups of channels; before set 21 scale and bias were per group."""
    input, groups = call.image(), int(call.attribute("num_groups", 0))
    weight, bias = call.tensor(1), call.tensor(2)
    if weight.shape == (groups,) and bias.shape == (groups,) and call.opset < 21:
        ones = Tensor(np.ones((1, input.shape[-1] // groups), input.dtype))
        weight = (weight.reshape(groups, 1) * ones).reshape(-1)
        bias = (bias.reshape(groups, 1) * ones).reshape(-1)
    eps = float(call.attribute("epsilon", 1e-5))
    return Value(ops.group_norm(input, groups, weight, bias, eps, *_activation(call)), LAST)


def _layer_norm(call: Call) -> tuple[Value | None, ...]:
    input = call.tensor(0)
    axis = call.axis(call.attribute("axis", -1), input.ndim)
    shape, eps = input.shape[axis:], float(call.attribute("epsilon", 1e-5))
    weight, bias = (_broadcast(tensor, shape) for tensor in (call.optional(1), call.optional(2)))
    output = Value(ops.layer_norm(input, shape, weight, bias, eps, *_activation(call)))
    if not call.wants(1) and not call.wants(2):
        return (output,)
    axes = tuple(range(axis, input.ndim))
    mean = ops.mean(input, axes, keepdims=True)
    variance = ops.mean(ops.square(input - mean), axes, keepdims=True)
    return output, Value(mean), Value(ops.div(1.0, ops.sqrt(variance + eps)))


def _broadcast(tensor: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """Return ``tensor`` with all of ``shape``, which ONNX lets it leave to broadcasting."""
    if tensor is None or tensor.shape == shape:
        return tensor
    if tensor.size == math.prod(shape):
        return tensor.reshape(shape)
    return expanded(tensor, shape)


OPERATORS: dict[str, Handler] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
}
