"""Metrics against hand-computed examples, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk

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


def random_classes(seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return 500 true and predicted classes, which agree more often than by chance."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, 500)
    return truth, np.where(rng.random(500) < 0.7, truth, rng.integers(0, classes, 500))


@pytest.mark.parametrize("seed", range(4))
def test_measures_agree_with_scikit_learn(seed: int) -> None:
    truth, found = random_classes(seed)
    np.testing.assert_array_equal(
        m.confusion_matrix(found, truth, 3), sk.confusion_matrix(truth, found)
    )
    assert m.accuracy(found, truth) == pytest.approx(sk.accuracy_score(truth, found))
    for k in range(3):
        one, seen = (truth == k).astype(int), (found == k).astype(int)
        assert m.dice(seen, one) == pytest.approx(sk.f1_score(one, seen))
        assert m.iou(seen, one) == pytest.approx(sk.jaccard_score(one, seen))
        assert m.sensitivity(seen, one) == pytest.approx(sk.recall_score(one, seen))
        assert m.specificity(seen, one) == pytest.approx(sk.recall_score(one, seen, pos_label=0))


@pytest.mark.parametrize("seed", range(4))
def test_measures_over_cases_and_classes_agree_with_scikit_learn(seed: int) -> None:
    truth, found = random_classes(seed, classes=4)
    ours = {
        m.Dice(4, classes=range(4)): lambda t, p: sk.f1_score(t, p, average="macro"),
        m.IoU(4, classes=range(4)): lambda t, p: sk.jaccard_score(t, p, average="macro"),
        m.Sensitivity(4, classes=range(4)): sk.balanced_accuracy_score,
        m.Accuracy(4): sk.accuracy_score,
    }
    cases = ["a"] * 300 + ["b"] * 200
    for metric, theirs in ours.items():
        metric.update(found, truth, cases)
        parts = (slice(300), slice(300, None))
        expected = np.mean([theirs(truth[part], found[part]) for part in parts])
        if isinstance(metric, m.Accuracy):  # which does not tell cases apart
            expected = theirs(truth, found)
        assert metric.compute() == pytest.approx(expected), metric.name


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_areas_agree_with_scikit_learn(classes: int) -> None:
    truth, _ = random_classes(classes, classes)
    rng = np.random.default_rng(classes)
    scores = np.round(rng.random((500, classes)) + 0.4 * np.eye(classes)[truth], 1)  # with ties
    area = m.AUC(classes)
    area.update(scores, truth, ["a"] * 500)
    rest = [sk.roc_auc_score(truth == k, scores[:, k]) for k in range(classes)]
    expected = rest[1] if classes == 2 else np.mean(rest)
    assert area.compute() == pytest.approx(expected, abs=1e-12)
    assert m.auc(scores[:, 1], truth == 1) == pytest.approx(rest[1], abs=1e-12)


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
