"""The one source of randomness: weights, order, dropout and augmentation all start here."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def manual_seed(seed: int) -> None:
    """Restart the global generator.

    Args:
        seed: A non-negative integer; the same seed gives the same run, bit for bit.

    Raises:
        ValueError: If ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"manual_seed: seed is {seed}; it must be 0 or greater")
    set_state(np.random.PCG64(seed).state)  # type: ignore[arg-type]


@cache  # made when it is first asked for: numpy.random takes a tenth of the import
def generator() -> np.random.Generator:
    """Return the global generator (shared: drawing from it advances it)."""
    return np.random.Generator(np.random.PCG64(0))


def next_seed() -> int:
    """Draw a 63-bit seed for a counter-based kernel such as dropout."""
    return int(generator().integers(0, 2**63, dtype=np.int64))


def get_state() -> dict[str, Any]:
    """Return the generator's state as a dictionary that JSON can hold."""
    return dict(generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Restore a state from ``get_state``."""
    generator().bit_generator.state = state
