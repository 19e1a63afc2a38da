"""Figures for each patient: computing them, the table and the JSON file."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data import DataLoader, Dataset, Sample, Subset, largest_component
from voxelgrad.files import write_atomically
from voxelgrad.models import Model
from voxelgrad.train.inference import predict
from voxelgrad.train.metrics import Dice, IoU, Sensitivity, Specificity


@dataclass(frozen=True)
class Volume:
    """Predictions for one volume: its samples in order, and the classes of each."""

    name: str
    case: str
    dataset: Subset
    classes: list[NDArray[np.int64]]


@dataclass
class Results:
    """Figures of all patients, and for each the sample with most of the classes.

    Attributes:
        class_names: Background first.
        slices: Number of samples of each patient.
        metrics: Measured so far.
        shown: For each patient the sample to show and its predicted classes.
    """

    class_names: Sequence[str]
    slices: dict[str, int] = field(default_factory=dict)
    shown: dict[str, tuple[Sample, NDArray[np.int64]]] = field(default_factory=dict)
    _size: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the metrics."""
        count = len(self.class_names)
        self.dice = Dice(count)
        self.others = (IoU(count), Sensitivity(count), Specificity(count))

    def add(self, volume: Volume) -> None:
        """Count a volume."""
        for index, classes in enumerate(volume.classes):
            sample = volume.dataset[index]
            label = np.asarray(sample.label)
            for metric in (self.dice, *self.others):
                metric.update(classes[None], label[None], [volume.case])
            size = int(np.count_nonzero(label))
            if size > self._size.get(volume.case, -1):
                self._size[volume.case] = size
                self.shown[volume.case] = (sample, classes)
        self.slices[volume.case] = self.slices.get(volume.case, 0) + len(volume.classes)

    def table(self) -> str:
        """Return a line a patient and one for the mean."""
        names = self.class_names[1:]
        header = ["patient", "slices"]
        header += (
            ["Dice"] if len(names) == 1 else [f"Dice {name}" for name in names] + ["mean Dice"]
        )
        header += [metric.name for metric in self.others]
        rows = [[case, str(self.slices[case]), *self._cells(case)] for case in self.slices]
        rows.append(["mean", str(sum(self.slices.values())), *self._cells(None)])
        return format_table(header, rows)

    def as_json(self) -> dict[str, Any]:
        """Return the same figures for a JSON file; undefined ones are null."""
        patients = {
            case: {"slices": count, **self._figures(case)} for case, count in self.slices.items()
        }
        return {"patients": patients, "mean": self._figures(None)}

    def mean_dice(self, case: str) -> float:
        """Return the mean over the classes for a patient."""
        return _mean(self.dice.per_case()[case])

    def _cells(self, case: str | None) -> list[str]:
        figures = self._figures(case)
        values = list(figures["dice"].values())
        values += [figures["mean_dice"]] if len(values) > 1 else []
        values += [figures[metric.name] for metric in self.others]
        return ["-" if value is None else f"{value:.3f}" for value in values]

    def _figures(self, case: str | None) -> dict[str, Any]:
        """Return the figures of a patient, or their means over all patients."""
        per_case = self.dice.per_case()
        chosen = list(per_case.values()) if case is None else [per_case[case]]
        columns = [_mean(column) for column in zip(*chosen, strict=True)]
        others = {}
        for metric in self.others:
            values = metric.per_case()
            kept = list(values.values()) if case is None else [values[case]]
            others[metric.name] = _or_none(_mean([_mean(value) for value in kept]))
        return {
            "dice": {
                name: _or_none(value)
                for name, value in zip(self.class_names[1:], columns, strict=True)
            },
            "mean_dice": _or_none(_mean([_mean(value) for value in chosen])),
            **others,
        }


def predict_volumes(
    model: Model,
    dataset: Dataset,
    batch_size: int,
    verb: str,
    mirror: bool | None = None,
    largest: bool | None = None,
    precision: str | None = None,
) -> Iterator[Volume]:
    """Predict a dataset volume by volume, telling the progress on standard error.

    Args:
        model: Segments the samples.
        dataset: Slices or volumes.
        batch_size: Samples at a time.
        verb: What is being done, for the progress.
        mirror: Whether to average over all mirror images; None does what is stored with the model.
        largest: Whether to keep only the largest connected piece of each volume; None as above.
        precision: Format inside the network, "float32" or "bf16"; None as above.
    """
    if mirror is None:
        mirror = bool(model.metadata.get("mirror", False))
    if largest is None:
        largest = bool(model.metadata.get("largest_component", False))
    if precision is None:
        precision = str(model.metadata.get("precision", "float32"))
    members: dict[str, list[int]] = {}
    for index, name in enumerate(dataset.volumes):
        members.setdefault(name, []).append(index)
    for number, (name, indices) in enumerate(members.items(), 1):
        tell(f"{verb} {number}/{len(members)}: {name}")
        part = Subset(dataset, indices)
        loader = DataLoader(part, batch_size, num_workers=1)
        predictions = predict(model, loader, mirror=mirror, precision=precision)
        classes = [np.asarray(prediction.classes) for prediction in predictions]
        if largest:
            classes = list(largest_component(np.stack(classes)))
        yield Volume(name, part.cases[0], part, classes)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: first column to the left, the others to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    width = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width[i]) if i == 0 else cell.rjust(width[i]) for i, cell in enumerate(line)
        ).rstrip()
        for line in lines
    )


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a JSON file, atomically."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def tell(message: str) -> None:
    """Write a line of progress to standard error."""
    print(message, file=sys.stderr, flush=True)


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
