"""Comparing the results of an op with what they should be."""

from __future__ import annotations

import numpy as np

SMALLEST = 2.0**-126  # below, float32 loses digits


def assert_within(
    results: list[np.ndarray],
    expected: list[np.ndarray],
    bounds: list[np.ndarray],
    dtype: type = np.float32,
) -> None:
    """Fail, naming the worst element, if an error is above its bound.

    Each list holds the output first, then the gradients. Infinite results must be the same.
    """
    assert len(results) == len(expected) == len(bounds)
    for place, (result, exact, bound) in enumerate(zip(results, expected, bounds, strict=True)):
        assert result.dtype == dtype
        assert result.shape == exact.shape
        allowed = np.broadcast_to(bound, exact.shape) + SMALLEST
        if not exact.size:
            continue
        error = np.subtract(result, exact, out=np.zeros(exact.shape), where=result != exact)
        excess = np.abs(error) / allowed
        worst = np.unravel_index(np.argmax(excess), exact.shape)
        name = f"gradient {place}" if place else "output"
        assert excess[worst] <= 1.0, (
            f"{name} at {tuple(int(i) for i in worst)}: {result[worst]:.9g} instead of "
            f"{exact[worst]:.9g}, {excess[worst]:.3g} times the bound {allowed[worst]:.3g}"
        )
