"""Bounds for the losses, to first order: what errors of log-probabilities become."""

from __future__ import annotations

import numpy as np

from op_case import OpCase
from rounding import Arrays, Bounds, gamma, softmax_parts


def _rows(case: OpCase, arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Return one-hot labels (..., K) and the weights (...) of the rows, 0 for those ignored."""
    logits, labels, class_weight = (*arrays, None)[:3]
    counted = labels != case.params.get("ignore_index", -100)
    safe = np.where(counted, labels, 0)
    weights = np.ones(logits.shape[-1]) if class_weight is None else class_weight
    one_hot = (labels[..., None] == np.arange(logits.shape[-1])).astype(float)
    return one_hot, np.where(counted, weights[safe], 0.0)


def cross_entropy(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Mean of -log p, gradient p - one_hot: log p is off by the relative error of p."""
    one_hot, weights = _rows(case, arrays)
    p, relative = softmax_parts(arrays[0], -1)
    share = weights / weights.sum()
    loss = (share * (one_hot * -np.log(p)).sum(axis=-1)).sum()
    error = (share * relative.max(axis=-1)).sum() + gamma(case.terms) * loss
    terms = 2.0 * relative * p + gamma(case.terms) * np.abs(p - one_hot)
    return [error, np.abs(grad) * share[..., None] * terms]


def focal(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Mean of (1 - p)^g -log p for g = 0 or g >= 1.

    Its first derivative with respect to log p is at most 1 + g, its second at most
    (1 + g)^2 (1 + |log p|); 1 - p has the absolute error of p.
    """
    one_hot, weights = _rows(case, arrays)
    p, relative = softmax_parts(arrays[0], -1)
    share = weights / weights.sum()
    order = 1.0 + case.params["gamma"]
    depth = 1.0 + (one_hot * -np.log(p)).sum(axis=-1)
    row_error = relative.max(axis=-1) + gamma(case.terms)
    terms = (3.0 * order**2 * depth * row_error)[..., None] * (p + one_hot)
    return [
        (share * 2.0 * order * depth * row_error).sum(),
        np.abs(grad) * share[..., None] * terms,
    ]


def dice(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """1 - mean of (2 I + s) / (P + Y + s): sums of positive terms, so relative errors add up.

    Its derivative with respect to p is at most ``slope``; through the softmax it becomes
    p * (d - sum d p).
    """
    one_hot, weights = _rows(case, arrays)
    p, relative = softmax_parts(arrays[0], -1)
    smooth, batch = case.params.get("smooth", 1e-5), case.params.get("batch", True)
    counted = weights[..., None] > 0.0
    axes = tuple(range(0 if batch else 1, p.ndim - 1))
    total = np.where(counted, p + one_hot, 0.0).sum(axis=axes, keepdims=True) + smooth
    overlap = 2.0 * np.where(counted, p * one_hot, 0.0).sum(axis=axes, keepdims=True) + smooth
    first = 0 if case.params.get("include_background", True) else 1
    slope = (2.0 * one_hot / total + 2.0 * overlap / total**2) * counted
    slope[..., :first] = 0.0
    slope /= (p.shape[-1] - first) * (1 if batch else p.shape[0])
    relative_total = gamma(case.terms) + relative.max()
    through = p * (slope + (slope * p).sum(axis=-1, keepdims=True))
    return [4.0 * relative_total * np.ones(()), 6.0 * relative_total * np.abs(grad) * through]


def dice_and_cross_entropy(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """The sum of both losses."""
    both = zip(dice(case, arrays, grad), cross_entropy(case, arrays, grad), strict=True)
    return [first + second for first, second in both]


def binary_cross_entropy(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Softplus of x and -x: off by a few roundings of |x| + 1; the sigmoid by those of 1."""
    x = np.abs(arrays[0])
    scale = 1.0 + case.params["pos_weight"]
    error = gamma(case.terms) * scale * (x + 1.0).mean()
    return [error, gamma(0) * scale * np.abs(grad) / x.size * np.ones_like(x)]


def distance(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Differences are off by a rounding of the larger operand."""
    size = np.abs(arrays[0]) + np.abs(arrays[1])
    share = np.abs(grad) / size.size
    if case.op == "l1_loss":
        return [gamma(case.terms) * size.mean(), gamma(0) * share * np.ones_like(size)]
    return [gamma(case.terms) * (size**2).mean(), gamma(0) * 2.0 * share * size]
