"""The running statistics of batch norm: native against the reference, and against their rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad.backends import cpu, reference

U = 2.0**-24


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_native_update_agrees_with_the_reference(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    mean, invstd, running_mean, running_var = rng.uniform(0.5, 2, (4, 37)).astype(np.float32)
    native = [running_mean.astype(dtype), running_var.astype(dtype)]
    exact = [running_mean.astype(np.float64), running_var.astype(np.float64)]
    cpu.batch_norm_update(mean, invstd, *native, 10, 0.3, 1e-5)
    reference.batch_norm_update(mean, invstd, *exact, 10, 0.3, 1e-5)
    # Computed in double and rounded once to what holds it.
    unit = U if dtype is np.float32 else 2.0**-50
    for result, expected in zip(native, exact, strict=True):
        assert result.dtype == dtype
        assert (np.abs(result - expected) <= 1.01 * unit * np.abs(expected)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_move_towards_those_of_the_batch(dtype: Any) -> None:
    x = np.random.default_rng(1).normal(3, 2, (4, 5, 6, 3)).astype(dtype)
    mean, variance = np.full(3, 7.0), np.full(3, 5.0)
    vg.ops.batch_norm(vg.Tensor(x), mean, variance, training=True, momentum=0.25)
    axes = (0, 1, 2)
    # The batch's statistics are rounded to float32 where x is: 2^-24, twice in a variance.
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, 0.75 * 7 + 0.25 * wide.mean(axes), rtol=1e-6)
    np.testing.assert_allclose(variance, 0.75 * 5 + 0.25 * wide.var(axes, ddof=1), rtol=1e-6)


def test_diverging_statistics_pass_without_a_warning() -> None:
    for backend in (cpu, reference):
        running_mean, running_var = np.zeros(2, np.float32), np.ones(2, np.float32)
        mean, invstd = np.array([np.inf, 1], np.float32), np.array([0, np.nan], np.float32)
        backend.batch_norm_update(mean, invstd, running_mean, running_var, 4, 0.1, 1e-5)
        assert np.isinf(running_mean[0])
        assert np.isinf(running_var[0])
        assert np.isnan(running_var[1])


def test_native_update_refuses_what_does_not_fit() -> None:
    two, three = np.ones(2, np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match="batch_norm_update: running_var"):
        cpu.batch_norm_update(two, two, two, three, 4, 0.1, 1e-5)
    with pytest.raises(ValueError, match="count is 1"):
        cpu.batch_norm_update(two, two, two, two, 1, 0.1, 1e-5)
