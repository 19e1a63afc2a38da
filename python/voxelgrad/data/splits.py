"""Splits by patient: slices of one head never lie on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voxelgrad.data.datasets import Dataset, Subset, natural_key


def split_by_patient(dataset: Dataset, held_out: int = 5, seed: int = 0) -> tuple[Subset, Subset]:
    """Hold out some patients.

    Args:
        dataset: Knows the patient of each sample.
        held_out: How many patients to hold out.
        seed: Which ones; the same patients and seed give the same split, whatever the order of the
            samples.

    Returns:
        The samples to train on, and those of the held-out patients.

    Raises:
        ValueError: If ``held_out`` leaves no patient on one of the sides.
    """
    patients = _shuffled_patients(dataset, seed)
    if not 0 < held_out < len(patients):
        raise ValueError(
            f"split_by_patient: held_out is {held_out} of {len(patients)} patients; it must be "
            f"from 1 to {len(patients) - 1}, so that both sides have patients"
        )
    return _without_and_with(dataset, patients[:held_out])


def k_fold_by_patient(
    dataset: Dataset, folds: int = 5, seed: int = 0
) -> list[tuple[Subset, Subset]]:
    """Divide the patients into folds whose sizes differ by one at most, and hold out each once.

    Args:
        dataset: Knows the patient of each sample.
        folds: How many folds.
        seed: Which patients share a fold.

    Returns:
        ``folds`` pairs: samples to train on, samples held out.

    Raises:
        ValueError: If there are fewer than two folds or more folds than patients.
    """
    patients = _shuffled_patients(dataset, seed)
    if not 2 <= folds <= len(patients):
        raise ValueError(
            f"k_fold_by_patient: folds is {folds} for {len(patients)} patients; it must be from 2 "
            f"to {len(patients)}"
        )
    return [_without_and_with(dataset, patients[k::folds]) for k in range(folds)]


def split_by_names(dataset: Dataset, patients: Sequence[str]) -> tuple[Subset, Subset]:
    """Hold out the patients that are named.

    Returns:
        The samples of all others, and those of the named patients.

    Raises:
        ValueError: If a patient is not in the dataset.
    """
    unknown = sorted(set(patients) - set(dataset.cases))
    if unknown:
        raise ValueError(
            f"split_by_names: patients {unknown} are not in the dataset; check their names"
        )
    return _without_and_with(dataset, patients)


def _shuffled_patients(dataset: Dataset, seed: int) -> list[str]:
    # Sorted first, so that the order in which files are found plays no part.
    patients = sorted(set(dataset.cases), key=natural_key)
    order = np.random.default_rng(seed).permutation(len(patients))
    return [patients[i] for i in order]


def _without_and_with(dataset: Dataset, patients: Sequence[str]) -> tuple[Subset, Subset]:
    chosen = set(patients)
    sides: tuple[list[int], list[int]] = ([], [])
    for index, case in enumerate(dataset.cases):
        sides[case in chosen].append(index)
    return Subset(dataset, sides[0]), Subset(dataset, sides[1])
