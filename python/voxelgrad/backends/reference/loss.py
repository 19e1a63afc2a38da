"""Losses: each forward pass gives totals [sum of weighted losses, sum of weights] in float64."""

from __future__ import annotations

import numpy as np

from voxelgrad.backends.reference._common import Array, float64


def _counted(labels: Array, classes: int, ignore_index: int, name: str) -> Array:
    """Return which labels count, after checking that those are classes.

    Raises:
        ValueError: If a label is neither in [0, classes) nor ``ignore_index``.
    """
    counted: Array = labels != ignore_index
    wrong = np.argwhere(counted & ((labels < 0) | (labels >= classes)))
    if len(wrong):
        index = tuple(int(i) for i in wrong[0])
        raise ValueError(
            f"{name}: label {labels[index]} at index {index} is outside [0, {classes}) and is not "
            f"ignore_index {ignore_index}; correct the labels or give more classes"
        )
    return counted


def _one_hot(labels: Array, classes: int) -> Array:
    """Return float64 (*labels.shape, classes): 1 where the class is the label, else 0."""
    is_own: Array = labels[..., None] == np.arange(classes)
    return is_own.astype(np.float64)


def _row_weights(labels: Array, counted: Array, class_weight: Array | None) -> Array:
    """Return the weight of each row: that of its class, 0 where the row does not count."""
    if class_weight is None:
        return counted.astype(np.float64)
    return np.where(counted, float64(class_weight)[np.where(counted, labels, 0)], 0.0)


def mean_of_totals(op: str, totals: Array, output: Array) -> None:
    """Write totals[0] / totals[1].

    Raises:
        ValueError: If nothing was counted; it names ``op``.
    """
    if not totals[1] > 0:
        raise ValueError(
            f"{op}: nothing is counted, so there is no mean: all labels equal ignore_index or have "
            f"class_weight 0; leave such a batch out"
        )
    output[...] = totals[0] / totals[1]


def _mean_scale(grad_output: Array, totals: Array) -> float:
    """Return d mean / d summand."""
    return float(grad_output.item()) / float(totals[1])


def check_probabilities(op: str, targets: Array) -> None:
    """Check the targets of a loss.

    Raises:
        ValueError: If one lies outside [0, 1]; it names ``op``.
    """
    outside = np.flatnonzero(~((targets >= 0) & (targets <= 1)))
    if len(outside):
        raise ValueError(
            f"{op}: targets hold {targets.flat[outside[0]]:g} (element {outside[0]}); they must be "
            f"probabilities or labels in [0, 1]"
        )


def _log_sum_exp(logits: Array) -> Array:
    largest = logits.max(axis=-1, keepdims=True)
    result: Array = (largest + np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True)))[..., 0]
    return result


def cross_entropy_forward(
    logits: Array,
    labels: Array,
    class_weight: Array | None,
    log_sum_exp: Array,
    totals: Array,
    ignore_index: int,
) -> None:
    """Write the totals of weight[label] * -log softmax(logits)[label] and the rows' log-sum-exp.

    Args:
        logits: (..., K).
        labels: int64 (...).
        class_weight: (K,) or None for ones.
        log_sum_exp: Output (...).
        totals: Output, float64 (2,).
        ignore_index: Rows with this label do not count.

    Raises:
        ValueError: If a label is neither in [0, K) nor ``ignore_index``.
    """
    x, classes = float64(logits), logits.shape[-1]
    counted = _counted(labels, classes, ignore_index, "cross_entropy")
    weights = _row_weights(labels, counted, class_weight)
    lse = _log_sum_exp(x)
    own_logit = (x * _one_hot(labels, classes)).sum(axis=-1)
    totals[0] = (weights * (lse - own_logit)).sum()
    totals[1] = weights.sum()
    log_sum_exp[...] = lse


def cross_entropy_backward(
    logits: Array,
    labels: Array,
    class_weight: Array | None,
    log_sum_exp: Array,
    totals: Array,
    grad_output: Array,
    grad_logits: Array,
    ignore_index: int,
) -> None:
    """Write the gradient of totals[0] / totals[1] times ``grad_output``, 0 where ignored.

    That is grad_output / totals[1] * weight[label] * (softmax(logits) - one_hot(label)).
    """
    x, classes = float64(logits), logits.shape[-1]
    weights = _row_weights(labels, labels != ignore_index, class_weight)
    probabilities = np.exp(x - float64(log_sum_exp)[..., None])
    difference = probabilities - _one_hot(labels, classes)
    grad_logits[...] = _mean_scale(grad_output, totals) * weights[..., None] * difference


def _log_probability(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return the log-probability of each row's label (...) and all log-probabilities (..., K)."""
    log_p = float64(logits) - _log_sum_exp(float64(logits))[..., None]
    own = (log_p * _one_hot(labels, logits.shape[-1])).sum(axis=-1)
    return own, log_p


def focal_forward(
    logits: Array,
    labels: Array,
    class_weight: Array | None,
    totals: Array,
    gamma: float,
    ignore_index: int,
) -> None:
    """Write the totals of weight[label] * (1 - p)^gamma * -log p, p the label's softmax.

    Source: T.-Y. Lin et al., Focal loss for dense object detection, 2017, eq. 5.

    Raises:
        ValueError: If a label is neither in [0, K) nor ``ignore_index``.
    """
    counted = _counted(labels, logits.shape[-1], ignore_index, "focal_loss")
    weights = _row_weights(labels, counted, class_weight)
    own, _ = _log_probability(logits, labels)
    totals[0] = (weights * (-np.expm1(own)) ** gamma * -own).sum()
    totals[1] = weights.sum()


def focal_backward(
    logits: Array,
    labels: Array,
    class_weight: Array | None,
    totals: Array,
    grad_output: Array,
    grad_logits: Array,
    gamma: float,
    ignore_index: int,
) -> None:
    """Write the gradient of totals[0] / totals[1] of ``focal_forward`` times ``grad_output``.

    It is d loss / d log p times (one_hot - softmax).
    """
    weights = _row_weights(labels, labels != ignore_index, class_weight)
    own, log_p = _log_probability(logits, labels)
    miss = -np.expm1(own)
    # The product tends to 0 with ``miss``; there the power alone may be infinite.
    safe = np.where(miss > 0.0, miss, 1.0)
    through_power = gamma * safe ** (gamma - 1.0) * np.exp(own) * own
    slope = np.where(miss > 0.0, through_power, 0.0) - miss**gamma
    direction = _one_hot(labels, logits.shape[-1]) - np.exp(log_p)
    scale = _mean_scale(grad_output, totals)
    grad_logits[...] = scale * (weights * slope)[..., None] * direction


def bce_with_logits_forward(
    logits: Array, targets: Array, totals: Array, pos_weight: float
) -> None:
    """Write the totals of -(pos_weight * t * log s + (1 - t) * log(1 - s)), s = sigmoid(logits)."""
    x, t = float64(logits), float64(targets)
    losses = pos_weight * t * np.logaddexp(0.0, -x) + (1.0 - t) * np.logaddexp(0.0, x)
    totals[0] = losses.sum()
    totals[1] = losses.size


def bce_with_logits_backward(
    logits: Array,
    targets: Array,
    totals: Array,
    grad_output: Array,
    grad_logits: Array,
    pos_weight: float,
) -> None:
    """Write the gradient of totals[0] / totals[1] times ``grad_output``."""
    x, t = float64(logits), float64(targets)
    sigmoid, sigmoid_of_negative = np.exp(-np.logaddexp(0.0, -x)), np.exp(-np.logaddexp(0.0, x))
    slope = (1.0 - t) * sigmoid - pos_weight * t * sigmoid_of_negative
    grad_logits[...] = _mean_scale(grad_output, totals) * slope


def _check_distance(kind: str) -> None:
    if kind not in ("mse", "l1"):
        raise ValueError(f"distance: kind {kind!r} is unknown; choose 'mse' or 'l1'")


def distance_forward(kind: str, input: Array, target: Array, totals: Array) -> None:
    """Write the totals of the squared ("mse") or absolute ("l1") differences.

    Raises:
        ValueError: If there is no distance of that kind.
    """
    _check_distance(kind)
    difference = float64(input) - float64(target)
    totals[0] = (difference**2 if kind == "mse" else np.abs(difference)).sum()
    totals[1] = difference.size


def distance_backward(
    kind: str,
    input: Array,
    target: Array,
    totals: Array,
    grad_output: Array,
    grad_input: Array,
) -> None:
    """Write the gradient of totals[0] / totals[1] for ``input`` times ``grad_output``.

    Raises:
        ValueError: If there is no distance of that kind.
    """
    _check_distance(kind)
    difference = float64(input) - float64(target)
    slope = 2.0 * difference if kind == "mse" else np.sign(difference)
    grad_input[...] = _mean_scale(grad_output, totals) * slope


def dice_sums(probabilities: Array, labels: Array, sums: Array, ignore_index: int) -> None:
    """Write what the soft Dice loss is made of, per sample and class over the counted voxels.

    Args:
        probabilities: (N, *spatial, K).
        labels: int64 (N, *spatial).
        sums: Output, float64 (N, K, 3): [sum of p where y = k, sum of p, number of y = k].
        ignore_index: Voxels with this label do not count.

    Raises:
        ValueError: If a label is neither in [0, K) nor ``ignore_index``.
    """
    samples, classes = probabilities.shape[0], probabilities.shape[-1]
    counted = _counted(labels, classes, ignore_index, "dice_loss")[..., None]
    p = np.where(counted, float64(probabilities), 0.0)
    own = np.where(counted, _one_hot(labels, classes), 0.0)
    terms = (p * own, p, own)
    for place, term in enumerate(terms):
        sums[..., place] = term.reshape(samples, -1, classes).sum(axis=1)


def dice_score(
    sums: Array,
    dice: Array,
    denominator: Array,
    output: Array,
    smooth: float,
    include_background: bool,
) -> None:
    """Write the Dice loss that the ``sums`` of ``dice_sums`` give.

    Args:
        sums: (N, K, 3).
        dice: Output, float64 (N, K), or (1, K) to sum over the batch first.
        denominator: Output of the same shape: sum of p, number of y = k and ``smooth`` together.
        output: Output (): 1 - the mean of dice over the classes.
        smooth: Added above and below.
        include_background: Whether class 0 takes part in the mean.
    """
    intersection, predicted, labelled = np.moveaxis(sums, -1, 0)
    if len(dice) == 1:
        intersection, predicted, labelled = (
            part.sum(axis=0, keepdims=True) for part in (intersection, predicted, labelled)
        )
    below = predicted + labelled + smooth
    # Where nothing is counted and nothing smooths, prediction and label agree perfectly.
    denominator[...] = np.where(below <= 0.0, 1.0, below)  # NaN stays NaN
    dice[...] = np.where(below <= 0.0, 1.0, (2.0 * intersection + smooth) / denominator)
    output[...] = 1.0 - dice[:, 0 if include_background else 1 :].mean()


def dice_coefficients(
    dice: Array,
    denominator: Array,
    grad_output: Array,
    coefficient_intersection: Array,
    coefficient_sum: Array,
    include_background: bool,
) -> None:
    """Write the coefficients (N, K) of ``dice_backward``, given the gradient () of the loss.

    Dice = (2 I + s) / D with D = P + T + s, so dDice/dp = (2 [y = k] - Dice) / D.
    """
    first = 0 if include_background else 1
    scale = np.zeros_like(dice)
    scale[:, first:] = float(grad_output.item()) / dice[:, first:].size
    scale /= denominator
    coefficient_intersection[...] = -2.0 * scale
    coefficient_sum[...] = scale * dice


def dice_backward(
    labels: Array,
    coefficient_intersection: Array,
    coefficient_sum: Array,
    grad_probabilities: Array,
    ignore_index: int,
) -> None:
    """Write coefficient_sum[n, k] + coefficient_intersection[n, k] * [y = k], 0 where ignored."""
    samples, classes = coefficient_sum.shape
    per_sample = (samples, *(1,) * (labels.ndim - 1), classes)
    intersection = float64(coefficient_intersection).reshape(per_sample)
    total = float64(coefficient_sum).reshape(per_sample)
    grad = total + intersection * _one_hot(labels, classes)
    grad_probabilities[...] = np.where((labels != ignore_index)[..., None], grad, 0.0)
