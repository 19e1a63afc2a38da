"""Batch norm folded into a weight, and the small functions beside losses: native and reference."""

from __future__ import annotations

import numpy as np
import pytest

from voxelgrad.backends import cpu, reference

U = 2.0**-24


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (33, 3, 3, 7), (2, 1, 1, 1, 40_000)])
def test_folding_agrees_with_the_reference(shape: tuple[int, ...], given: bool) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape).astype(np.float32)
    bias, scale, shift, mean, variance = rng.uniform(0.5, 2, (5, shape[0])).astype(np.float32)
    optional = [bias, scale, shift] if given else [None, None, None]
    results = []
    for backend in (cpu, reference):
        folded = [np.empty_like(weight), np.empty_like(mean)]
        backend.batch_norm_fold(weight, *optional, mean, variance, *folded, 1e-5)
        results.append(folded)
    # Both compute in double and round once.
    for native, expected in zip(*results, strict=True):
        assert (np.abs(native - expected) <= 2.01 * U * np.abs(expected)).all()


def test_folding_refuses_what_does_not_fit() -> None:
    weight, two, three = np.ones((2, 4), np.float32), np.ones(2, np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"batch_norm_fold: mean \(3\) must have shape \(2\)"):
        cpu.batch_norm_fold(weight, None, None, None, three, two, weight.copy(), two.copy(), 1e-5)
    with pytest.raises(ValueError, match=r"weight .* and folded_weight"):
        cpu.batch_norm_fold(weight, None, None, None, two, two, two.copy(), two.copy(), 1e-5)


@pytest.mark.parametrize("backend", [cpu, reference])
def test_means_and_probabilities_are_checked(backend: object) -> None:
    mean = np.empty((), np.float32)
    backend.mean_of_totals("loss", np.array([3.0, 4.0]), mean)
    assert mean == 0.75
    for count in (0.0, np.nan):
        with pytest.raises(ValueError, match="loss: nothing is counted"):
            backend.mean_of_totals("loss", np.array([0.0, count]), mean)
    backend.check_probabilities("loss", np.array([0.0, 0.5, 1.0], np.float32))
    for wrong in (-0.25, 1.5, np.nan):
        targets = np.array([0.0, wrong, 7.0], np.float32)
        with pytest.raises(ValueError, match=rf"loss: targets hold {wrong:g} \(element 1\)"):
            backend.check_probabilities("loss", targets)
