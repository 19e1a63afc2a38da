"""Losses over logits and labels: cross-entropy, focal, and binary cross-entropy; distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from voxelgrad.ops._arguments import as_class_weight, as_labels, as_tensor, check_same_device
from voxelgrad.ops.cast import Widened
from voxelgrad.tensor import Array, Tensor


class _MeanLoss(Widened):
    """A weighted mean: the backend gives totals, the sum of losses and the sum of weights."""

    __slots__ = ("op",)
    op: str

    def _make_totals(self) -> Array:
        totals: Array = self.backend.empty((2,), np.float64)
        return totals

    def _mean(self, totals: Array, dtype: Any) -> Array:
        """Return sum of losses / sum of weights as an array of shape ()."""
        output: Array = self.backend.empty((), dtype)
        self.backend.mean_of_totals(self.op, totals, output)
        return output


class CrossEntropy(_MeanLoss):
    """Mean of ``-log softmax(logits)[label]``, weighted by class."""

    __slots__ = ("class_weight", "ignore_index", "labels")

    def __init__(self, labels: Any, class_weight: Any, ignore_index: int) -> None:
        self.op = "cross_entropy"
        self.labels = labels
        self.class_weight = class_weight
        self.ignore_index = ignore_index

    def check(self, logits: Array) -> None:
        self.labels = as_labels(self.op, self.labels, logits)
        self.class_weight = as_class_weight(self.op, self.class_weight, logits)

    def forward(self, logits: Array) -> Array:
        labels, self.labels = self.labels, None
        log_sum_exp = self.backend.empty(labels.shape, logits.dtype)
        totals = self._make_totals()
        self.backend.cross_entropy_forward(
            logits, labels, self.class_weight, log_sum_exp, totals, self.ignore_index
        )
        self.saved = (logits, labels, log_sum_exp, totals)
        return self._mean(totals, logits.dtype)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        logits, labels, log_sum_exp, totals = self.saved
        grad_logits = self.backend.empty(logits.shape, logits.dtype)
        self.backend.cross_entropy_backward(
            logits,
            labels,
            self.class_weight,
            log_sum_exp,
            totals,
            grad_output,
            grad_logits,
            self.ignore_index,
        )
        return (grad_logits,)


class Focal(_MeanLoss):
    """Mean of ``-(1 - p)^gamma log p``, ``p`` the label's softmax, weighted by class."""

    __slots__ = ("class_weight", "gamma", "ignore_index", "labels")

    def __init__(self, labels: Any, gamma: float, class_weight: Any, ignore_index: int) -> None:
        self.op = "focal_loss"
        self.labels = labels
        self.gamma = gamma
        self.class_weight = class_weight
        self.ignore_index = ignore_index

    def check(self, logits: Array) -> None:
        self.labels = as_labels(self.op, self.labels, logits)
        self.class_weight = as_class_weight(self.op, self.class_weight, logits)

    def forward(self, logits: Array) -> Array:
        labels, self.labels = self.labels, None
        totals = self._make_totals()
        self.backend.focal_forward(
            logits, labels, self.class_weight, totals, self.gamma, self.ignore_index
        )
        self.saved = (logits, labels, totals)
        return self._mean(totals, logits.dtype)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        logits, labels, totals = self.saved
        grad_logits = self.backend.empty(logits.shape, logits.dtype)
        self.backend.focal_backward(
            logits,
            labels,
            self.class_weight,
            totals,
            grad_output,
            grad_logits,
            self.gamma,
            self.ignore_index,
        )
        return (grad_logits,)


class BinaryCrossEntropy(_MeanLoss):
    """Mean of the cross-entropy between ``sigmoid(logits)`` and targets."""

    __slots__ = ("pos_weight", "targets")
    input_names = ("logits",)

    def __init__(self, targets: Any, pos_weight: float) -> None:
        self.op = "binary_cross_entropy_with_logits"
        self.targets = targets
        self.pos_weight = pos_weight

    def check(self, logits: Array) -> None:
        targets = as_tensor(self.op, "targets", self.targets).data
        if targets.shape != logits.shape or targets.size == 0:
            raise ValueError(
                f"{self.op}: logits have shape {logits.shape} but targets have shape "
                f"{targets.shape}; they must be equal and hold at least one element"
            )
        check_same_device(self.op, logits, "targets", targets)
        self.targets = targets.astype(logits.dtype, copy=False)

    def forward(self, logits: Array) -> Array:
        targets, self.targets = self.targets, None
        self.backend.check_probabilities(self.op, targets)
        totals = self._make_totals()
        self.backend.bce_with_logits_forward(logits, targets, totals, self.pos_weight)
        self.saved = (logits, targets, totals)
        return self._mean(totals, logits.dtype)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        logits, targets, totals = self.saved
        grad_logits = self.backend.empty(logits.shape, logits.dtype)
        self.backend.bce_with_logits_backward(
            logits, targets, totals, grad_output, grad_logits, self.pos_weight
        )
        return (grad_logits,)


class Distance(_MeanLoss):
    """Mean squared or absolute difference."""

    __slots__ = ("kind",)
    input_names = ("input", "target")

    def __init__(self, op: str, kind: str) -> None:
        self.op = op
        self.kind = kind

    def check(self, input: Array, target: Array) -> None:
        if input.shape != target.shape or input.size == 0:
            raise ValueError(
                f"{self.op}: input has shape {input.shape} but target has shape {target.shape}; "
                f"they must be equal and hold at least one element"
            )

    def forward(self, input: Array, target: Array) -> Array:
        totals = self._make_totals()
        self.backend.distance_forward(self.kind, input, target, totals)
        self.saved = (input, target, totals)
        return self._mean(totals, input.dtype)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        input, target, totals = self.saved
        needs_input, needs_target = self.needs_grad
        return (
            self._gradient(input, target, totals, grad_output) if needs_input else None,
            self._gradient(target, input, totals, grad_output) if needs_target else None,
        )

    def _gradient(self, of: Array, other: Array, totals: Array, grad_output: Array) -> Array:
        gradient: Array = self.backend.empty(of.shape, of.dtype)
        self.backend.distance_backward(self.kind, of, other, totals, grad_output, gradient)
        return gradient


def cross_entropy(
    logits: Tensor,
    labels: Tensor | Array,
    class_weight: Tensor | Array | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Return the mean of ``-log softmax(logits)[label]``.

    Args:
        logits: ``(N, *spatial, K)``, one score per class.
        labels: Integers ``(N, *spatial)`` in [0, K), or ``ignore_index``.
        class_weight: ``(K,)`` weights of the classes; the mean is weighted by them.
        ignore_index: Positions with this label do not count.

    Returns:
        A tensor of shape ``()``.

    Raises:
        ValueError: If shapes do not fit, a label is no class, or no position counts.
        TypeError: If labels are not integers.
    """
    return CrossEntropy(labels, class_weight, int(ignore_index)).apply(logits)


def focal_loss(
    logits: Tensor,
    labels: Tensor | Array,
    gamma: float = 2.0,
    class_weight: Tensor | Array | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Return the mean of ``-(1 - p)^gamma log p``, where ``p = softmax(logits)[label]``.

    Source: T.-Y. Lin et al., Focal loss for dense object detection, 2017, equation 5.

    Args:
        logits: ``(N, *spatial, K)``, one score per class.
        labels: Integers ``(N, *spatial)`` in [0, K), or ``ignore_index``.
        gamma: How much well classified positions lose weight; 0 gives the cross-entropy.
        class_weight: ``(K,)`` weights of the classes; the mean is weighted by them.
        ignore_index: Positions with this label do not count.

    Returns:
        A tensor of shape ``()``.

    Raises:
        ValueError: If shapes or settings do not fit, a label is no class, or no position counts.
        TypeError: If labels are not integers.
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"focal_loss: gamma is {gamma}; it must be 0 or greater")
    return Focal(labels, float(gamma), class_weight, int(ignore_index)).apply(logits)


def binary_cross_entropy_with_logits(
    logits: Tensor, targets: Tensor | Array, pos_weight: float = 1.0
) -> Tensor:
    """Return the mean of ``-pos_weight t log s - (1 - t) log(1 - s)``, ``s = sigmoid(logits)``.

    Args:
        logits: A tensor of any shape.
        targets: Probabilities or labels in [0, 1] of the same shape.
        pos_weight: Weight of the positive part.

    Returns:
        A tensor of shape ``()``.

    Raises:
        ValueError: If shapes differ or targets leave [0, 1].
    """
    if not 0 < pos_weight < math.inf:
        raise ValueError(
            f"binary_cross_entropy_with_logits: pos_weight is {pos_weight}; it must be positive"
        )
    return BinaryCrossEntropy(targets, float(pos_weight)).apply(logits)


def mse_loss(input: Tensor, target: Tensor | Array) -> Tensor:
    """Return the mean of ``(input - target) ** 2``.

    Args:
        input: A tensor of any shape.
        target: A tensor of the same shape; gradients flow to it, too, if it requires them.

    Returns:
        A tensor of shape ``()``.

    Raises:
        ValueError: If the shapes differ or are empty.
    """
    return Distance("mse_loss", "mse").apply(input, as_tensor("mse_loss", "target", target))


def l1_loss(input: Tensor, target: Tensor | Array) -> Tensor:
    """Return the mean of ``|input - target|``; see ``mse_loss``."""
    return Distance("l1_loss", "l1").apply(input, as_tensor("l1_loss", "target", target))
