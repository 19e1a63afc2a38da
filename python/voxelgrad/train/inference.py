"""Running a trained model: predictions, and figures over a whole dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.backends import move
from voxelgrad.data import ArrayDataset, Batch, DataLoader, Dataset
from voxelgrad.grad_mode import no_grad
from voxelgrad.nn import Module
from voxelgrad.nn.module import device_of
from voxelgrad.precision import autocast
from voxelgrad.tensor import Tensor
from voxelgrad.train.metrics import Metric

Loss = Callable[[Tensor, NDArray[np.int64]], Tensor]
Data = DataLoader | Dataset | NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        probabilities: Probability of each class, (*spatial, K) or (K,) for a classifier, float32.
        case: The patient.
        name: The slice or file.
    """

    probabilities: NDArray[np.float32]
    case: str
    name: str

    @property
    def classes(self) -> Any:
        """The most probable class: int64 (*spatial), or a single number for a classifier."""
        return classes_of(self.probabilities)


def loader_of(data: Data, batch_size: int, owner: str) -> DataLoader:
    """Return ``data`` as something that gives batches, in a fixed order.

    Raises:
        TypeError: If it is neither a loader, nor a dataset, nor an array.
    """
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, np.ndarray):
        data = ArrayDataset(data)
    if not isinstance(data, Dataset):
        raise TypeError(
            f"{owner}: data is {type(data).__name__}; give a DataLoader, a dataset or an array "
            "(N, *spatial, C)"
        )
    return DataLoader(data, batch_size)


def predict(
    model: Module,
    data: Data,
    batch_size: int = 8,
    mirror: bool = False,
    precision: str = "float32",
) -> Iterator[Prediction]:
    """Yield a prediction for each image, in the order of the data.

    Images are copied to the model's device, probabilities back from there.

    Args:
        model: Gives logits (N, *spatial, K), or (N, K) for a classifier; one logit (K = 1) means
            the second of two classes.
        data: A loader, a dataset or images (N, *spatial, C).
        batch_size: Images at a time, where ``data`` is not a loader.
        mirror: Average the probabilities over all mirror images, along every set of spatial axes:
            steadier, and four (2D) or eight (3D) times the work (nnU-Net's test-time augmentation,
            Isensee et al. 2021).
        precision: "float32", or "bf16" to compute under ``autocast``.
    """
    for batch in loader_of(data, batch_size, "predict"):
        axes = range(1, batch.image.ndim - 1) if mirror else ()
        probabilities = _mirrored(model, batch.image, axes, precision)
        for index, (case, name) in enumerate(zip(batch.cases, batch.names, strict=True)):
            yield Prediction(probabilities[index], case, name)


def evaluate(
    model: Module,
    data: Data,
    metrics: Sequence[Metric] = (),
    loss: Loss | None = None,
    batch_size: int = 8,
    precision: str = "float32",
) -> dict[str, Any]:
    """Return the figures over all of ``data``: ``loss`` (mean over images) and one for each metric.

    Images, and labels for the loss, are copied to the model's device; metrics are computed on the
    CPU.

    Args:
        model: As for ``predict``; it is put into evaluation mode meanwhile.
        data: A loader or a dataset with labels.
        metrics: Reset first; afterwards they hold the cases one by one.
        loss: Called with logits and labels; None leaves it out.
        batch_size: Images at a time, where ``data`` is not a loader.
        precision: "float32", or "bf16" to compute under ``autocast``.

    Raises:
        ValueError: If the data has no labels, or a metric refuses the shapes or classes.
    """
    for metric in metrics:
        metric.reset()
    total, count = 0.0, 0
    for batch in loader_of(data, batch_size, "evaluate"):
        labels = labels_of(batch, "evaluate")
        logits = _logits(model, batch.image, precision)
        if loss is not None:
            with no_grad():
                total += loss(logits, move("evaluate", labels, logits.device)).item() * len(batch)
            count += len(batch)
        _update(metrics, logits, labels, batch.cases)
    figures: dict[str, Any] = {} if loss is None else {"loss": total / count}
    figures.update((metric.name, metric.compute()) for metric in metrics)
    return figures


class Padded(Module):
    """A model that takes images of any size: those that it would refuse are padded meanwhile.

    A U-Net needs sizes that its poolings divide (``model.divisor``): the image's edge is repeated
    up to the next such size, and the logits are cropped back, so that the added voxels count
    neither in a loss nor in a metric.

    Args:
        model: Gives (N, *spatial, K), or (N, K) for a classifier.
        precision: "float32", or "bf16" to compute under ``autocast``.
    """

    def __init__(self, model: Module, precision: str = "float32") -> None:
        self.model = model
        self.precision = precision

    def forward(self, input: Tensor) -> Tensor:
        """Return the logits, float32, of images (N, *spatial, C)."""
        divisor = int(getattr(self.model, "divisor", 1))
        extra = [-size % divisor for size in input.shape[1:-1]]
        padded = input
        if any(extra):
            padded = ops.pad(input, [(0, 0), *((0, more) for more in extra), (0, 0)], "edge")
        with autocast(self.precision):
            logits = self.model(padded).astype("float32")
        if padded is input:
            return logits
        size = (*input.shape[:-1], logits.shape[-1])
        return ops.crop(logits, (0,) * len(size), size)


def logits_of(model: Module, images: NDArray[np.float32], precision: str = "float32") -> Tensor:
    """Return the logits, float32, of images (N, *spatial, C) of any size; see `Padded`.

    They lie on the model's device.
    """
    return Padded(model, precision)(Tensor(images).to(device_of(model)))


def labels_of(batch: Batch, owner: str) -> NDArray[np.int64]:
    """Return the labels of a batch.

    Raises:
        ValueError: If it has none.
    """
    if batch.label is None:
        raise ValueError(f"{owner}: {batch.names[0]} has no label; give data with labels")
    return batch.label


def probabilities_of(logits: Tensor) -> NDArray[np.float32]:
    """Return class probabilities (..., K) from logits; one logit gives two classes."""
    with no_grad():
        if logits.shape[-1] > 1:
            return ops.softmax(logits).numpy()
        positive = ops.sigmoid(logits).numpy()
    return np.concatenate([1.0 - positive, positive], axis=-1)


def classes_of(scores: NDArray[Any]) -> Any:
    """Return the class with the highest score along the last axis, the first of equals."""
    if scores.shape[-1] == 2:
        # argmax along an axis of two is many times slower than one comparison.
        return (scores[..., 1] > scores[..., 0]).astype(np.int64)
    return np.argmax(scores, axis=-1)


def _mirrored(
    model: Module, images: NDArray[np.float32], axes: Iterable[int], precision: str
) -> NDArray[np.float32]:
    """Return probabilities, averaged over the images mirrored along every set of ``axes``."""
    axes = tuple(axes)
    mirrors = [flip for count in range(len(axes) + 1) for flip in combinations(axes, count)]
    total: NDArray[np.float32] | None = None
    for flip in mirrors:
        turned = np.ascontiguousarray(np.flip(images, flip))
        probabilities = probabilities_of(_logits(model, turned, precision))
        if probabilities.ndim == images.ndim:
            probabilities = np.flip(probabilities, flip)
        total = np.array(probabilities) if total is None else total + probabilities
    assert total is not None
    total /= np.float32(len(mirrors))
    return total


def _logits(model: Module, images: NDArray[np.float32], precision: str) -> Tensor:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with no_grad():
            return logits_of(model, images, precision)
    finally:
        for module, training in modes.items():
            module.training = training


def _update(
    metrics: Sequence[Metric], logits: Tensor, labels: NDArray[np.int64], cases: Sequence[str]
) -> None:
    if not metrics:
        return
    probabilities = probabilities_of(logits)
    classes = classes_of(probabilities)
    for metric in metrics:
        metric.update(classes if metric.needs == "classes" else probabilities, labels, cases)
