"""Same U-Net, same weights, same batches, SGD with momentum: do the losses agree with PyTorch's?

python benchmarks/unet_losses.py [--steps 20] [--size 64] [--batch 4] [--features 16 32 64]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import voxelgrad as vg
from voxelgrad.bench.torch_networks import TorchUNet
from voxelgrad.data import PhantomDataset


def phantom_batches(steps: int, batch: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of synthetic brain-tumour phantoms: (N, size, size, 4) and labels (N, size, size)."""
    samples = PhantomDataset(steps * batch, seed=0, size=(size, size))
    pairs = [(samples[i].image, samples[i].label) for i in range(steps * batch)]
    return [
        (
            np.stack([image for image, _ in pairs[i : i + batch]]).astype(np.float32),
            np.stack([label for _, label in pairs[i : i + batch]]).astype(np.int64),
        )
        for i in range(0, steps * batch, batch)
    ]


def compare(
    steps: int, batch: int, size: int, features: tuple[int, ...]
) -> list[tuple[float, float]]:
    """Train both for ``steps`` steps; return (our loss, PyTorch's loss) of each."""
    vg.manual_seed(0)
    ours = vg.models.UNet(4, 4, features=features)
    theirs = TorchUNet(4, 4, features)
    state = vg.interop.torch.to_torch_state_dict(ours)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    our_optimizer = vg.optim.SGD(ours.parameters(), lr=0.01, momentum=0.9)
    their_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for image, label in phantom_batches(steps, batch, size):
        our_optimizer.zero_grad()
        our_loss = vg.ops.cross_entropy(ours(vg.Tensor(image)), label)
        our_loss.backward()
        our_optimizer.step()

        their_optimizer.zero_grad()
        logits = theirs(torch.from_numpy(image).permute(0, 3, 1, 2).contiguous())
        their_loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(label))
        their_loss.backward()
        their_optimizer.step()
        losses.append((our_loss.item(), their_loss.item()))
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--features", type=int, nargs="+", default=[16, 32, 64])
    args = parser.parse_args()
    losses = compare(args.steps, args.batch, args.size, tuple(args.features))
    print("step  voxelgrad   PyTorch     relative difference")
    for step, (ours, theirs) in enumerate(losses):
        print(f"{step:4d}  {ours:.7f}  {theirs:.7f}  {abs(ours - theirs) / abs(theirs):.1e}")
    worst = max(abs(a - b) / abs(b) for a, b in losses)
    print(f"largest relative difference over {len(losses)} steps: {worst:.1e}")


if __name__ == "__main__":
    main()
