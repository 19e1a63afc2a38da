"""How good a prediction is: classes that collect batches, beside the plain functions in `measures`.

Everything but the AUC is a quotient of counts, so the classes keep one confusion matrix a case: all
slices of one patient are counted together before the quotient is taken ("Dice per volume"). What a
quotient 0 / 0 gives is said in `measures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from voxelgrad.train.measures import (
    Counts,
    accuracy,
    auc,
    check_classes,
    confusion_matrix,
    dice,
    dice_of,
    iou,
    iou_of,
    mean_defined,
    ratio,
    sensitivity,
    sensitivity_of,
    specificity,
    specificity_of,
)

__all__ = [
    "AUC",
    "Accuracy",
    "ConfusionMatrix",
    "Dice",
    "IoU",
    "Metric",
    "Sensitivity",
    "Specificity",
    "accuracy",
    "auc",
    "confusion_matrix",
    "dice",
    "iou",
    "sensitivity",
    "specificity",
]


class Metric:
    """Collects batches; ``compute`` gives the figure over all of them.

    A subclass says in ``needs`` what ``update`` takes as prediction: the class of each voxel
    (``"classes"``, integers (N, *spatial)) or the probability of each class (``"probabilities"``,
    (N, *spatial, K)).
    """

    name: str = "metric"
    needs: ClassVar[str] = "classes"
    higher_is_better: ClassVar[bool] = True

    def update(self, prediction: ArrayLike, truth: ArrayLike, cases: Sequence[str]) -> None:
        """Add a batch.

        Args:
            prediction: As ``needs`` says.
            truth: True classes, integers (N, *spatial).
            cases: For each of the N entries the case (patient) it belongs to.
        """
        raise NotImplementedError

    def compute(self) -> Any:
        """Return the figure over everything since the last ``reset``."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget everything."""
        raise NotImplementedError


class ConfusionMatrix(Metric):
    """The confusion matrix over everything, one for each case beside it.

    Args:
        num_classes: Number of classes K.
        ignore_index: Voxels of this true class are not counted.
    """

    name = "confusion_matrix"

    def __init__(self, num_classes: int, ignore_index: int = -100) -> None:
        if num_classes < 2:
            raise ValueError(f"{type(self).__name__}: num_classes is {num_classes}; give 2 or more")
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts: dict[str, Counts] = {}

    def update(self, prediction: ArrayLike, truth: ArrayLike, cases: Sequence[str]) -> None:
        """Add a batch; arguments as for ``Metric.update``."""
        predicted, true = np.asarray(prediction), np.asarray(truth)
        _check_batch(type(self).__name__, predicted, true, cases)
        for index, case in enumerate(cases):
            try:
                counts = confusion_matrix(
                    predicted[index], true[index], self.num_classes, self.ignore_index
                )
            except ValueError as error:
                raise ValueError(f"case {case}: {error}") from error
            self.counts[case] = self.counts[case] + counts if case in self.counts else counts

    def compute(self) -> Any:
        """Return the matrix (K, K): row is the true class, column the predicted one."""
        zero = np.zeros((self.num_classes, self.num_classes), np.int64)
        return sum(self.counts.values(), zero)

    def reset(self) -> None:
        """Forget everything."""
        self.counts = {}


class Accuracy(ConfusionMatrix):
    """The part of all voxels (or images) whose class is right, cases not told apart."""

    name = "accuracy"

    def compute(self) -> float:
        """Return the figure; nan before the first batch."""
        total = super().compute()
        return ratio(np.trace(total), total.sum(), float("nan"))


class _PerCase(ConfusionMatrix):
    """A measure taken for each case and class; the mean is over classes, then over cases."""

    def __init__(
        self,
        num_classes: int = 2,
        classes: Sequence[int] | None = None,
        ignore_index: int = -100,
    ) -> None:
        super().__init__(num_classes, ignore_index)
        self.classes = tuple(range(1, num_classes) if classes is None else classes)
        if not self.classes or min(self.classes) < 0 or max(self.classes) >= num_classes:
            raise ValueError(
                f"{type(self).__name__}: classes is {self.classes}; "
                f"give one or more of 0 to {num_classes - 1}"
            )

    def measure(self, counts: Counts, positive: int) -> float:
        """Return the figure of one class from the confusion matrix of one case."""
        raise NotImplementedError

    def per_case(self) -> dict[str, tuple[float, ...]]:
        """Return for each case the figure of each class in ``classes``, in order of appearance."""
        return {
            case: tuple(self.measure(counts, positive) for positive in self.classes)
            for case, counts in self.counts.items()
        }

    def compute(self) -> float:
        """Return the mean over the cases of the mean over the classes; nan values are left out."""
        return mean_defined([mean_defined(values) for values in self.per_case().values()])


class Dice(_PerCase):
    """Dice per volume: all slices of a case are counted together, then averaged over cases.

    Args:
        num_classes: Number of classes K, background included.
        classes: The classes to measure; by default all but 0, the background.
        ignore_index: Voxels of this true class are not counted.
        empty: The value where neither truth nor prediction contains the class.
    """

    name = "dice"

    def __init__(
        self,
        num_classes: int = 2,
        classes: Sequence[int] | None = None,
        ignore_index: int = -100,
        empty: float = 1.0,
    ) -> None:
        super().__init__(num_classes, classes, ignore_index)
        self.empty = empty

    def measure(self, counts: Counts, positive: int) -> float:
        """Return the Dice of one class of one case."""
        return dice_of(counts, positive, self.empty)


class IoU(Dice):
    """Intersection over union per volume; arguments as for ``Dice``."""

    name = "iou"

    def measure(self, counts: Counts, positive: int) -> float:
        """Return the IoU of one class of one case."""
        return iou_of(counts, positive, self.empty)


class Sensitivity(_PerCase):
    """Part of the true voxels of a class that was found, per volume; arguments as for ``Dice``."""

    name = "sensitivity"

    def measure(self, counts: Counts, positive: int) -> float:
        """Return the sensitivity for one class of one case."""
        return sensitivity_of(counts, positive)


class Specificity(_PerCase):
    """Part of the other voxels that was left alone, per volume; arguments as for ``Dice``."""

    name = "specificity"

    def measure(self, counts: Counts, positive: int) -> float:
        """Return the specificity for one class of one case."""
        return specificity_of(counts, positive)


class AUC(Metric):
    """Area under the ROC curve over all voxels or images.

    With more than two classes it is the mean over the classes of one against the rest.
    All scores are kept until ``compute``, 5 bytes or more for each voxel and class.

    Args:
        num_classes: Number of classes K.
        ignore_index: Voxels of this true class are not counted.
    """

    name = "auc"
    needs = "probabilities"

    def __init__(self, num_classes: int = 2, ignore_index: int = -100) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.reset()

    def update(self, prediction: ArrayLike, truth: ArrayLike, cases: Sequence[str]) -> None:
        """Add a batch; arguments as for ``Metric.update``."""
        scores, true = np.asarray(prediction), np.asarray(truth)
        if scores.shape != (*true.shape, self.num_classes):
            raise ValueError(
                f"AUC: prediction has shape {scores.shape}, truth {true.shape}; "
                f"prediction must be {(*true.shape, self.num_classes)}"
            )
        counted = true != self.ignore_index
        self._scores.append(scores[counted])
        self._truth.append(true[counted])

    def compute(self) -> float:
        """Return the area; nan where only one class was seen."""
        if not self._truth:
            return float("nan")
        scores, truth = np.concatenate(self._scores), np.concatenate(self._truth)
        positives = [1] if self.num_classes == 2 else range(self.num_classes)
        return mean_defined([auc(scores[:, k], truth == k) for k in positives])

    def reset(self) -> None:
        """Forget everything."""
        self._scores: list[NDArray[Any]] = []
        self._truth: list[NDArray[Any]] = []


def _check_batch(
    owner: str, predicted: NDArray[Any], true: NDArray[Any], cases: Sequence[str]
) -> None:
    check_classes(predicted, true)
    if true.ndim == 0 or len(cases) != true.shape[0]:
        raise ValueError(
            f"{owner}: {len(cases)} cases for a batch of shape {true.shape}; give one an entry"
        )
