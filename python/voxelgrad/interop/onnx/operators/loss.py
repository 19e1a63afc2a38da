"""Losses over class scores (N, C, *spatial) with labels (N, *spatial)."""

from __future__ import annotations

import math

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler, one_of
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Value
from voxelgrad.tensor import Tensor


def _scores(value: Value) -> Tensor:
    """Return the scores as (positions, C); a plain tensor of many axes is turned as a matrix."""
    shape = value.shape
    if len(shape) < 2:
        raise ValueError(f"scores have shape {shape}; they must be (N, C, *spatial)")
    if value.layout == PLAIN:
        flat = value.tensor().reshape(shape[0], shape[1], math.prod(shape[2:]))
        value = Value(flat)
    return value.tensor(LAST).reshape(-1, shape[1])


def _negative_log_likelihood(
    call: Call, log_probabilities: Tensor, shape: tuple[int, ...]
) -> Value:
    labels, weights = call.array(1), call.optional(2)
    classes = shape[1]
    if labels is None or labels.dtype.kind not in "iu" or labels.shape != (shape[0], *shape[2:]):
        raise ValueError(f"labels must be integers of shape {(shape[0], *shape[2:])}")
    ignored = call.attribute("ignore_index")
    flat = labels.reshape(-1)
    counted = np.ones(flat.shape, bool) if ignored is None else flat != ignored
    used = np.where(counted, flat, 0)
    if used.size and not (used.min() >= 0 and used.max() < classes):
        raise ValueError(f"labels range from {flat.min()} to {flat.max()}, of {classes} classes")
    chosen = np.zeros((flat.size, classes), log_probabilities.dtype)
    chosen[np.arange(flat.size), used] = counted
    picks = Tensor(chosen) if weights is None else Tensor(chosen) * weights
    losses = ops.sum(log_probabilities * picks, -1) * -1.0
    reduction = one_of("reduction", call.attribute("reduction", "mean"), ("none", "sum", "mean"))
    if reduction == "none":
        return Value(losses.reshape(labels.shape))
    total = ops.sum(losses)
    return Value(total if reduction == "sum" else total / ops.sum(picks))


def _nll_loss(call: Call) -> Value:
    value = call.value(0)
    return _negative_log_likelihood(call, _scores(value), value.shape)


def _softmax_cross_entropy(call: Call) -> tuple[Value, Value | None]:
    value = call.value(0)
    shape = value.shape
    log_probabilities = ops.log_softmax(_scores(value))
    loss = _negative_log_likelihood(call, log_probabilities, shape)
    if not call.wants(1):
        return loss, None
    rows = log_probabilities.reshape(shape[0], math.prod(shape[2:]), shape[1])
    return loss, Value(Value(rows, LAST).tensor().reshape(shape))


OPERATORS: dict[str, Handler] = {
    "NegativeLogLikelihoodLoss": _nll_loss,
    "SoftmaxCrossEntropyLoss": _softmax_cross_entropy,
}
