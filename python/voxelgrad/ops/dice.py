"""Soft Dice loss, alone and with cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxelgrad.autograd import Function
from voxelgrad.ops._arguments import as_labels
from voxelgrad.ops.arithmetic import add
from voxelgrad.ops.loss import cross_entropy
from voxelgrad.ops.softmax import softmax
from voxelgrad.tensor import Array, Tensor


class Dice(Function):
    """``1 - mean Dice`` of probabilities, which it does not keep: backward needs only the sums."""

    __slots__ = ("batch", "ignore_index", "include_background", "labels", "smooth")
    op = "dice_loss"
    input_names = ("logits",)

    def __init__(
        self, labels: Any, include_background: bool, smooth: float, batch: bool, ignore_index: int
    ) -> None:
        self.labels = labels
        self.include_background = include_background
        self.smooth = smooth
        self.batch = batch
        self.ignore_index = ignore_index

    def check(self, probabilities: Array) -> None:
        self.labels = as_labels(self.op, self.labels, probabilities.shape)
        if probabilities.shape[-1] < 2 and not self.include_background:
            raise ValueError(
                f"dice_loss: logits have shape {probabilities.shape}, so a single class, which "
                f"include_background=False leaves out; give logits for two classes or more"
            )

    def forward(self, probabilities: Array) -> Array:
        labels, self.labels = self.labels, None
        samples, classes = probabilities.shape[0], probabilities.shape[-1]
        sums = np.zeros((samples, classes, 3))
        self.backend.dice_sums(probabilities, labels, sums, self.ignore_index)
        if self.batch:
            sums = sums.sum(axis=0, keepdims=True)
        numerator = 2.0 * sums[..., 0] + self.smooth
        denominator = sums[..., 1] + sums[..., 2] + self.smooth
        # Where nothing is counted and nothing smooths, prediction and label agree perfectly.
        empty = denominator <= 0
        denominator[empty] = 1.0
        dice = np.where(empty, 1.0, numerator / denominator)
        first = 0 if self.include_background else 1
        self.saved = (labels, probabilities.shape, dice, denominator)
        output: Array = self.backend.empty((), probabilities.dtype)
        output[...] = 1.0 - dice[:, first:].mean()
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        labels, shape, dice, denominator = self.saved
        # Dice = (2 I + s) / D with D = P + T + s, so dDice/dp = (2 [y = k] - Dice) / D.
        first = 0 if self.include_background else 1
        scale = np.zeros_like(dice)
        scale[:, first:] = float(grad_output.item()) / dice[:, first:].size
        scale /= denominator
        per_sample = (shape[0], shape[-1])
        dtype = grad_output.dtype
        intersection = np.broadcast_to(-2.0 * scale, per_sample).astype(dtype, order="C")
        total = np.broadcast_to(scale * dice, per_sample).astype(dtype, order="C")
        grad_input = self.backend.empty(shape, dtype)
        self.backend.dice_backward(labels, intersection, total, grad_input, self.ignore_index)
        return (grad_input,)


def dice_loss(
    logits: Tensor,
    labels: Tensor | Array,
    include_background: bool = True,
    smooth: float = 1e-5,
    batch: bool = True,
    ignore_index: int = -100,
) -> Tensor:
    """Return one minus the mean soft Dice coefficient of ``softmax(logits)``.

    ``Dice = (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth)`` for each class, where ``p`` is the
    probability and ``y`` is 1 where the label is that class. Source: F. Milletari, N. Navab,
    S.-A. Ahmadi, V-Net, 2016; with sums instead of sums of squares.

    Args:
        logits: ``(N, *spatial, K)``, one score per class.
        labels: Integers ``(N, *spatial)`` in [0, K), or ``ignore_index``.
        include_background: Whether class 0 takes part in the mean.
        smooth: Added above and below; keeps absent classes from dividing by zero.
        batch: Whether to sum over the whole batch before dividing, or take Dice sample by sample.
        ignore_index: Positions with this label do not count.

    Returns:
        A tensor of shape ``()``, in [0, 1].

    Raises:
        ValueError: If shapes or settings do not fit or a label is no class.
        TypeError: If labels are not integers.
    """
    if not 0 <= smooth < np.inf:
        raise ValueError(f"dice_loss: smooth is {smooth}; it must be 0 or greater")
    function = Dice(labels, include_background, float(smooth), batch, int(ignore_index))
    return function.apply(softmax(logits))


def dice_ce_loss(
    logits: Tensor,
    labels: Tensor | Array,
    include_background: bool = True,
    smooth: float = 1e-5,
    batch: bool = True,
    class_weight: Tensor | Array | None = None,
    ignore_index: int = -100,
) -> Tensor:
    """Return ``dice_loss + cross_entropy``, the usual loss for segmentation.

    Args:
        logits: ``(N, *spatial, K)``, one score per class.
        labels: Integers ``(N, *spatial)`` in [0, K), or ``ignore_index``.
        include_background: Whether class 0 takes part in the Dice.
        smooth: Added above and below in the Dice.
        batch: Whether Dice sums over the whole batch before dividing.
        class_weight: ``(K,)`` weights of the classes in the cross-entropy.
        ignore_index: Positions with this label do not count.

    Returns:
        A tensor of shape ``()``.

    Raises:
        ValueError: If shapes or settings do not fit or a label is no class.
        TypeError: If labels are not integers.
    """
    dice = dice_loss(logits, labels, include_background, smooth, batch, ignore_index)
    return add(dice, cross_entropy(logits, labels, class_weight, ignore_index))
