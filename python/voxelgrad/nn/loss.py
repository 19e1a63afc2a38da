"""Loss functions as modules: called with (prediction, target) they return a scalar.

Predictions are channels last; labels are int64 without the channel axis.
"""

from __future__ import annotations

from typing import Any

from voxelgrad import ops
from voxelgrad.nn import arguments
from voxelgrad.nn.module import Module
from voxelgrad.tensor import Tensor

IGNORED = -100


class CrossEntropyLoss(Module):
    """Mean of -log softmax(logits)[label] over the labels that count.

    Args:
        class_weight: (K,) weight of each class; the mean is weighted by it.
        ignore_index: Label of positions that do not count.
    """

    def __init__(self, class_weight: Any = None, ignore_index: int = IGNORED) -> None:
        self.class_weight = class_weight
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        """Return the loss of logits (N, *spatial, K) and labels (N, *spatial)."""
        return ops.cross_entropy(logits, labels, self.class_weight, self.ignore_index)


class BCEWithLogitsLoss(Module):
    """Mean binary cross-entropy of sigmoid(logits), computed stably from the logits.

    Args:
        pos_weight: Weight of the positive targets, above 0.

    Raises:
        ValueError: If ``pos_weight`` is not above 0.
    """

    def __init__(self, pos_weight: float = 1.0) -> None:
        self.pos_weight = arguments.positive("BCEWithLogitsLoss", "pos_weight", pos_weight)

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the loss of logits and targets in [0, 1] of the same shape."""
        return ops.binary_cross_entropy_with_logits(logits, targets, self.pos_weight)


class DiceLoss(Module):
    """1 - mean soft Dice of softmax(logits), over the classes.

    Args:
        include_background: Whether class 0 takes part.
        smooth: Added to numerator and denominator, above 0.
        batch: Whether intersections and sums run over the whole batch (else image by image).
        ignore_index: Label of positions that do not count.

    Raises:
        ValueError: If ``smooth`` is not above 0.
    """

    def __init__(
        self,
        include_background: bool = True,
        smooth: float = 1e-5,
        batch: bool = True,
        ignore_index: int = IGNORED,
    ) -> None:
        self.include_background = include_background
        self.smooth = arguments.positive(type(self).__name__, "smooth", smooth)
        self.batch = batch
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        """Return the loss of logits (N, *spatial, K) and labels (N, *spatial)."""
        return ops.dice_loss(
            logits, labels, self.include_background, self.smooth, self.batch, self.ignore_index
        )


class DiceCELoss(DiceLoss):
    """Sum of `DiceLoss` and `CrossEntropyLoss`, the usual choice for tumour segmentation.

    Arguments as for `DiceLoss`.
    """

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        """Return the loss of logits (N, *spatial, K) and labels (N, *spatial)."""
        return ops.dice_ce_loss(
            logits,
            labels,
            include_background=self.include_background,
            smooth=self.smooth,
            batch=self.batch,
            ignore_index=self.ignore_index,
        )


class FocalLoss(Module):
    """Mean of -(1 - p)^gamma log p, with p = softmax(logits)[label]: easy voxels count less.

    Source: Lin et al. 2017, equation 4, for several classes.

    Args:
        gamma: How much less; 0 gives cross-entropy.
        class_weight: (K,) weight of each class; the mean is weighted by it.
        ignore_index: Label of positions that do not count.

    Raises:
        ValueError: If ``gamma`` is negative.
    """

    def __init__(
        self, gamma: float = 2.0, class_weight: Any = None, ignore_index: int = IGNORED
    ) -> None:
        if not gamma >= 0.0:
            raise ValueError(f"FocalLoss: gamma is {gamma}; it must be 0 or greater")
        self.gamma = float(gamma)
        self.class_weight = class_weight
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        """Return the loss of logits (N, *spatial, K) and labels (N, *spatial)."""
        return ops.focal_loss(logits, labels, self.gamma, self.class_weight, self.ignore_index)


class MSELoss(Module):
    """Mean squared difference of two tensors of the same shape."""

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the mean of (input - target)^2."""
        return ops.mse_loss(input, target)


class L1Loss(Module):
    """Mean absolute difference of two tensors of the same shape."""

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Return the mean of |input - target|."""
        return ops.l1_loss(input, target)
