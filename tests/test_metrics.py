"""Metrics against hand-computed examples, and against scikit-learn where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from voxelgrad.train import metrics as m

TRUTH = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
FOUND = np.array([[1, 0, 0, 1], [1, 0, 0, 0]])  # 2 hits, 1 missed, 1 false alarm, 4 right zeros


def test_binary_measures_of_a_counted_example() -> None:
    assert m.dice(FOUND, TRUTH) == pytest.approx(4 / 6)
    assert m.iou(FOUND, TRUTH) == pytest.approx(2 / 4)
    assert m.sensitivity(FOUND, TRUTH) == pytest.approx(2 / 3)
    assert m.specificity(FOUND, TRUTH) == pytest.approx(4 / 5)
    assert m.accuracy(FOUND, TRUTH) == pytest.approx(6 / 8)
    assert m.confusion_matrix(FOUND, TRUTH, 2).tolist() == [[4, 1], [1, 2]]


def test_empty_masks_follow_the_documented_rules() -> None:
    nothing, something = np.zeros(4, int), np.array([0, 1, 0, 0])
    assert m.dice(nothing, nothing) == m.iou(nothing, nothing) == 1.0
    assert math.isnan(m.dice(nothing, nothing, empty=math.nan))
    assert m.dice(something, nothing) == m.dice(nothing, something) == 0.0
    assert m.iou(something, nothing) == 0.0
    assert math.isnan(m.sensitivity(something, nothing))
    assert m.sensitivity(nothing, something) == 0.0
    assert math.isnan(m.specificity(nothing, np.ones(4, int)))
    assert math.isnan(m.accuracy(np.zeros(0, int), np.zeros(0, int)))


def test_dice_counts_all_slices_of_a_case_together() -> None:
    dice = m.Dice()
    truth = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1]])
    found = np.array([[1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0]])
    dice.update(found[:1], truth[:1], ["anna"])
    dice.update(found[1:], truth[1:], ["anna", "bert"])
    assert dice.per_case() == {
        "anna": (pytest.approx(2 * 4 / (5 + 5)),),  # a mean of slices would give (1 + 0) / 2
        "bert": (pytest.approx(2 / 3),),
    }
    assert dice.compute() == pytest.approx((0.8 + 2 / 3) / 2)
    dice.reset()
    assert dice.per_case() == {} and math.isnan(dice.compute())


def test_multiclass_dice_leaves_out_background_and_ignored_voxels() -> None:
    truth = np.array([[0, 1, 1, 2, 2, -100]])
    found = np.array([[0, 1, 2, 2, 2, 1]])
    dice = m.Dice(num_classes=3)
    dice.update(found, truth, ["a"])
    assert dice.per_case()["a"] == (pytest.approx(2 / 3), pytest.approx(4 / 5))
    only_two = m.Dice(num_classes=3, classes=[2])
    only_two.update(found, truth, ["a"])
    assert only_two.compute() == pytest.approx(4 / 5)


def test_undefined_cases_are_left_out_of_the_mean() -> None:
    sensitivity = m.Sensitivity()
    sensitivity.update(np.array([[1, 0], [1, 1]]), np.array([[0, 0], [1, 0]]), ["none", "some"])
    assert math.isnan(sensitivity.per_case()["none"][0])
    assert sensitivity.compute() == 1.0


def test_accuracy_and_confusion_matrix_of_a_classifier() -> None:
    accuracy, matrix = m.Accuracy(3), m.ConfusionMatrix(3)
    for metric in (accuracy, matrix):
        metric.update(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2]), ["a", "b", "c", "d"])
    assert accuracy.compute() == 0.75
    assert matrix.compute().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_auc_by_hand_with_ties() -> None:
    # Pairs (positive, negative): 0.8>0.5, 0.8>0.2, 0.5=0.5 (half), 0.5>0.2 -> 3.5 of 4.
    assert m.auc([0.8, 0.5, 0.5, 0.2], [1, 1, 0, 0]) == pytest.approx(3.5 / 4)
    assert m.auc([1.0, 1.0, 1.0], [1, 0, 1]) == 0.5
    assert math.isnan(m.auc([0.1, 0.2], [1, 1]))


def test_auc_over_batches_and_classes() -> None:
    area = m.AUC(3)
    scores = np.eye(3)[[0, 1, 2, 1]]
    area.update(scores[:2], np.array([0, 1]), ["a", "b"])
    area.update(scores[2:], np.array([2, 1]), ["c", "d"])
    assert area.compute() == 1.0


def test_measures_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 500)
    found = np.where(rng.random(500) < 0.7, truth, rng.integers(0, 3, 500))
    scores = np.round(rng.random(500) + 0.4 * (truth == 1), 2)  # rounded: with ties
    np.testing.assert_array_equal(
        m.confusion_matrix(found, truth, 3), sklearn.confusion_matrix(truth, found)
    )
    one, seen = (truth == 1).astype(int), (found == 1).astype(int)
    assert m.auc(scores, one) == pytest.approx(sklearn.roc_auc_score(one, scores), abs=1e-12)
    assert m.dice(seen, one) == pytest.approx(sklearn.f1_score(one, seen))
    assert m.iou(seen, one) == pytest.approx(sklearn.jaccard_score(one, seen))
    assert m.sensitivity(seen, one) == pytest.approx(sklearn.recall_score(one, seen))
    assert m.accuracy(found, truth) == pytest.approx(sklearn.accuracy_score(truth, found))


@pytest.mark.parametrize(
    ("call", "error", "parts"),
    [
        (lambda: m.dice([0.2], [1]), TypeError, ("float64", "argmax")),
        (lambda: m.dice([1, 0], [1]), ValueError, ("(2,)", "(1,)")),
        (lambda: m.confusion_matrix([3], [0], 3), ValueError, ("class 3", "[0, 3)")),
        (lambda: m.auc([math.nan, 1], [0, 1]), ValueError, ("nan",)),
        (lambda: m.auc([0.1, 1], [0, 2]), ValueError, ("0 and 1",)),
        (lambda: m.Dice(classes=[2]), ValueError, ("classes", "0 to 1")),
        (lambda: m.Accuracy(1), ValueError, ("num_classes is 1",)),
        (
            lambda: m.Dice().update(np.zeros((2, 3), int), np.zeros((2, 3), int), ["a"]),
            ValueError,
            ("1 cases", "(2, 3)"),
        ),
    ],
)
def test_mistakes_are_named(call, error, parts) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error) as caught:
        call()
    assert all(part in str(caught.value) for part in parts), caught.value
