"""Training beside PyTorch: same U-Net, weights, batches and SGD give the same losses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))


def test_twenty_steps_of_sgd_give_pytorchs_losses() -> None:
    """Within 1e-4 relative at every step: float32 roundings, which training amplifies."""
    from unet_losses import compare

    losses = compare(steps=20, batch=2, size=48, features=(16, 32))
    assert losses[0][0] > 1.5 * losses[-1][0], "nothing was learnt, so nothing was compared"
    for step, (ours, theirs) in enumerate(losses):
        assert ours == pytest.approx(theirs, rel=1e-4), f"step {step}"
