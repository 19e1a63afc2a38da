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
        self.labels = as_labels(self.op, self.labels, probabilities)
        if probabilities.shape[-1] < 2 and not self.include_background:
            raise ValueError(
                f"dice_loss: logits have shape {probabilities.shape}, so a single class, which "
                f"include_background=False leaves out; give logits for two classes or more"
            )

    def forward(self, probabilities: Array) -> Array:
        labels, self.labels = self.labels, None
        empty, dtype = self.backend.empty, np.float64
        samples, classes = probabilities.shape[0], probabilities.shape[-1]
        sums = empty((samples, classes, 3), dtype)
        self.backend.dice_sums(probabilities, labels, sums, self.ignore_index)
        rows = 1 if self.batch else samples
        dice, denominator = empty((rows, classes), dtype), empty((rows, classes), dtype)
        output: Array = empty((), probabilities.dtype)
        self.backend.dice_score(
            sums, dice, denominator, output, self.smooth, self.include_background
        )
        self.saved = (labels, probabilities.shape, dice, denominator)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        labels, shape, dice, denominator = self.saved
        empty, dtype = self.backend.empty, grad_output.dtype
        per_sample = (shape[0], shape[-1])
        intersection, total = empty(per_sample, dtype), empty(per_sample, dtype)
        self.backend.dice_coefficients(
            dice, denominator, grad_output, intersection, total, self.include_background
        )
        grad_input = empty(shape, dtype)
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
