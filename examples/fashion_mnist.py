"""Classify Fashion-MNIST with a small CNN: python examples/fashion_mnist.py FOLDER

FOLDER holds the four idx.gz files from https://github.com/zalandoresearch/fashion-mnist.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import voxelgrad as vg
from voxelgrad.data import ArrayDataset, DataLoader, Sample
from voxelgrad.train import Accuracy, Learner, ProgressBar


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx.gz file of bytes: two zeros, type 8, the rank, big-endian extents, then data."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an idx file of bytes")
    shape = np.frombuffer(content, ">u4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_split(folder: Path, name: str) -> ArrayDataset:
    """Return images (N, 28, 28, 1), scaled to about unit variance, with their classes."""
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz").astype(np.float32)
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz").astype(np.int64)
    return ArrayDataset(((images - 73.0) / 90.0)[..., None], labels)


def mirror(sample: Sample, rng: np.random.Generator) -> Sample:
    """Flip every second image: a shoe that points left is still a shoe."""
    if rng.random() < 0.5:
        return sample
    image = np.ascontiguousarray(sample.image[:, ::-1])
    return Sample(image, sample.label, sample.case, sample.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--features", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    started = time.monotonic()
    vg.manual_seed(0)
    model = vg.models.CNN(1, 10, features=args.features, pooling="max")
    train_set = read_split(args.folder, "train")
    # Reading ahead pays where a sample takes longer to read than to hand to a thread.
    loader = DataLoader(train_set, args.batch_size, shuffle=True, augment=mirror, num_workers=0)
    optimizer = vg.optim.Adam(model.parameters(), lr=args.lr)
    schedule = vg.optim.OneCycleLR(optimizer, total_steps=args.epochs * len(loader))
    learner = Learner(
        model,
        loader,
        vg.ops.cross_entropy,
        optimizer,
        metrics=[Accuracy(10)],
        callbacks=[ProgressBar()],
        schedule=schedule,
        batch_size=250,
    )
    learner.fit(args.epochs)
    accuracy = learner.evaluate(read_split(args.folder, "t10k"))["accuracy"]
    print(f"test accuracy {accuracy:.2%}, {time.monotonic() - started:.0f} s with reading the data")


if __name__ == "__main__":
    main()
