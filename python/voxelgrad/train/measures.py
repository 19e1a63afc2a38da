"""How good a prediction is: plain functions of arrays, most of them quotients of counts.

Where a quotient is 0 / 0 these rules hold:

- Dice and IoU of a class that neither the truth nor the prediction contains are ``empty`` (default
  1: they agree that nothing is there). If only one of the two contains it, they are 0.
- Sensitivity without a positive voxel and specificity without a negative one are not defined: nan,
  and left out of means.
- Accuracy of nothing and the AUC of a single class are nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]


def confusion_matrix(
    prediction: ArrayLike, truth: ArrayLike, num_classes: int, ignore_index: int = -100
) -> Counts:
    """Count how often each class was taken for each other.

    Args:
        prediction: Predicted classes, integers, any shape.
        truth: True classes, integers, the same shape.
        num_classes: Number of classes K.
        ignore_index: Voxels of this true class are not counted.

    Returns:
        Matrix (K, K): row is the true class, column the predicted one.

    Raises:
        TypeError: If the arrays do not hold integers or booleans.
        ValueError: If the shapes differ or a class is outside [0, K).
    """
    predicted, true = np.asarray(prediction), np.asarray(truth)
    check_classes(predicted, true)
    counted = true != ignore_index
    predicted = predicted[counted].astype(np.int64)
    true = true[counted].astype(np.int64)
    for name, values in (("prediction", predicted), ("truth", true)):
        wrong = values[(values < 0) | (values >= num_classes)]
        if wrong.size:
            raise ValueError(
                f"confusion_matrix: {name} holds class {wrong[0]}, outside [0, {num_classes}); "
                "raise num_classes or map the labels"
            )
    counts = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return counts.astype(np.int64).reshape(num_classes, num_classes)


def dice(prediction: ArrayLike, truth: ArrayLike, empty: float = 1.0) -> float:
    """Return 2 |A and B| / (|A| + |B|) of two masks (Dice 1945); ``empty`` if both are empty.

    Args:
        prediction: Predicted mask, any shape; everything but 0 belongs to it.
        truth: True mask, the same shape.
        empty: The value for two empty masks.
    """
    return dice_of(_binary_counts(prediction, truth), 1, empty)


def iou(prediction: ArrayLike, truth: ArrayLike, empty: float = 1.0) -> float:
    """Return |A and B| / |A or B| of two masks (Jaccard); arguments as for ``dice``."""
    return iou_of(_binary_counts(prediction, truth), 1, empty)


def sensitivity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Return the part of the true mask that was found; nan if it is empty."""
    return sensitivity_of(_binary_counts(prediction, truth), 1)


def specificity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Return the part outside the true mask that was left alone; nan if there is no outside."""
    return specificity_of(_binary_counts(prediction, truth), 1)


def accuracy(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Return the part of equal classes; nan for empty arrays."""
    predicted, true = np.asarray(prediction), np.asarray(truth)
    check_classes(predicted, true)
    return float(np.mean(predicted == true)) if true.size else float("nan")


def auc(scores: ArrayLike, truth: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative.

    Computed from ranks (Mann-Whitney U), ties count one half.

    Args:
        scores: Score of the positive class, any shape; only the order matters.
        truth: True class 0 or 1 (or booleans), the same shape.

    Raises:
        ValueError: If shapes differ, a score is nan or a class is neither 0 nor 1.
    """
    values, true = np.asarray(scores).ravel(), np.asarray(truth).ravel()
    if np.shape(scores) != np.shape(truth):
        raise ValueError(
            f"auc: scores {np.shape(scores)} and truth {np.shape(truth)} differ in shape"
        )
    if np.isnan(values).any():
        raise ValueError("auc: scores hold nan; they cannot be ranked")
    if not np.isin(true, (0, 1)).all():
        raise ValueError("auc: truth holds other classes than 0 and 1; give one against the rest")
    positive = true == 1
    positives = int(positive.sum())
    negatives = positive.size - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, position, repeats = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(repeats) - (repeats - 1) / 2.0
    rank_sum = float(mean_rank[position.ravel()][positive].sum())
    return float((rank_sum - positives * (positives + 1) / 2.0) / (positives * negatives))


def dice_of(counts: Counts, k: int, empty: float) -> float:
    """Return the Dice of class k from a confusion matrix; ``empty`` for 0 / 0."""
    return ratio(2 * counts[k, k], counts[k].sum() + counts[:, k].sum(), empty)


def iou_of(counts: Counts, k: int, empty: float) -> float:
    """Return the IoU of class k from a confusion matrix; ``empty`` for 0 / 0."""
    return ratio(counts[k, k], counts[k].sum() + counts[:, k].sum() - counts[k, k], empty)


def sensitivity_of(counts: Counts, k: int) -> float:
    """Return the sensitivity for class k from a confusion matrix; nan for 0 / 0."""
    return ratio(counts[k, k], counts[k].sum(), float("nan"))


def specificity_of(counts: Counts, k: int) -> float:
    """Return the specificity for class k from a confusion matrix; nan for 0 / 0."""
    negatives = counts.sum() - counts[k].sum()
    false_positives = counts[:, k].sum() - counts[k, k]
    return ratio(negatives - false_positives, negatives, float("nan"))


def ratio(part: Any, whole: Any, undefined: float) -> float:
    """Return ``part / whole``, or ``undefined`` where whole is 0."""
    return float(part) / float(whole) if whole else undefined


def mean_defined(values: Sequence[float]) -> float:
    """Return the mean of the values that are not nan; nan if there is none."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _binary_counts(prediction: ArrayLike, truth: ArrayLike) -> Counts:
    predicted, true = np.asarray(prediction), np.asarray(truth)
    check_classes(predicted, true)
    return confusion_matrix(predicted != 0, true != 0, 2)


def check_classes(predicted: NDArray[Any], true: NDArray[Any]) -> None:
    """Raise unless both arrays hold integers or booleans and have one shape."""
    for name, values in (("prediction", predicted), ("truth", true)):
        if values.dtype.kind not in "iub":
            raise TypeError(
                f"metrics: {name} has dtype {values.dtype}; give classes as integers (argmax)"
            )
    if predicted.shape != true.shape:
        raise ValueError(
            f"metrics: prediction {predicted.shape} and truth {true.shape} differ in shape"
        )
