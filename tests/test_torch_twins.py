"""Networks of other people's kinds, by their state dict: same output here, and they train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg

pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")

import torch

import torch_networks as theirs
import torch_twins as ours

TOLERANCE = 1e-4
STEPS = 6

# PyTorch's network, ours, and two shapes of images, channels first.
CASES: dict[str, tuple[Any, Any, tuple[int, ...], tuple[int, ...]]] = {
    "ResNet-18": (
        lambda: theirs.ResNet18(3, 10, width=8),
        lambda: ours.ResNet(8),
        (4, 3, 40, 48),
        (3, 3, 64, 40),
    ),
    "milesial U-Net, bilinear": (
        lambda: theirs.MilesialUNet(3, 2, bilinear=True),
        lambda: ours.MilesialUNet(3, 2, bilinear=True),
        (2, 3, 22, 18),
        (1, 3, 17, 24),
    ),
    "milesial U-Net, transposed": (
        lambda: theirs.MilesialUNet(1, 2, bilinear=False),
        lambda: ours.MilesialUNet(1, 2, bilinear=False),
        (2, 1, 16, 22),
        (3, 1, 21, 18),
    ),
    "MONAI U-Net 3D": (
        lambda: theirs.MonaiUNet(2, 3),
        lambda: ours.MonaiUNet(2, 3),
        (2, 2, 8, 16, 12),
        (1, 2, 12, 8, 16),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any, Any, Any]:
    """PyTorch's network, ours with the weights of its file, and two shapes."""
    make, make_ours, shape, other = CASES[request.param]
    torch.manual_seed(4)
    network = ours.trained(make())
    torch.save({"epoch": 7, "state_dict": network.state_dict()}, tmp_path / "weights.pth")
    twin = make_ours()
    assert vg.interop.torch.load_state_dict(twin, tmp_path / "weights.pth").complete
    return network, twin.eval(), shape, other


def last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def test_the_output_is_pytorchs_for_any_size(case: Any) -> None:
    network, twin, *shapes = case
    for shape in shapes:
        x = torch.randn(*shape)
        with torch.no_grad(), vg.no_grad():
            expected = last(network(x).numpy())
            found = twin(vg.Tensor(last(x.numpy()))).numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale)


def test_it_trains_on_as_in_pytorch(case: Any) -> None:
    """Losses of SGD with momentum within 1e-4 at every step, and the weights go back."""
    network, twin, shape, _ = case
    x = torch.randn(*shape)
    image = vg.Tensor(last(x.numpy()))
    images = twin(image).ndim > 2
    labels = (x[:, 0] > 0).long() if images else torch.arange(len(x)) % 2
    theirs_optimizer = torch.optim.SGD(network.train().parameters(), lr=0.01, momentum=0.9)
    our_optimizer = vg.optim.SGD(twin.train().parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        theirs_optimizer.zero_grad()
        their_loss = torch.nn.functional.cross_entropy(network(x), labels)
        their_loss.backward()
        theirs_optimizer.step()
        our_optimizer.zero_grad()
        our_loss = vg.ops.cross_entropy(twin(image), labels.numpy())
        our_loss.backward()
        our_optimizer.step()
        losses.append((our_loss.item(), their_loss.item()))
    for step, (our, their) in enumerate(losses):
        assert our == pytest.approx(their, rel=TOLERANCE), f"step {step}"
    assert losses[-1][0] < 0.98 * losses[0][0], "nothing was learnt, so nothing was compared"
    state = vg.interop.torch.to_torch_state_dict(twin)
    missing = network.load_state_dict(
        {name: torch.from_numpy(array) for name, array in state.items()}, strict=False
    )
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
