"""Training a U-Net for segmentation: what ``train`` and ``demo`` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import voxelgrad
from voxelgrad import ops, optim
from voxelgrad.data import (
    Augment,
    Cached,
    Compose,
    DataLoader,
    Dataset,
    RandomPatch,
    Sample,
    Standardise,
    largest_component,
)
from voxelgrad.data.loader import Transform
from voxelgrad.files import MALFORMED, one_line
from voxelgrad.models import UNet
from voxelgrad.train import Checkpoint, History, Learner, ProgressBar
from voxelgrad.train.inference import Loss

LOSSES: dict[str, Loss] = {
    "dice_ce": ops.dice_ce_loss,
    "ce": ops.cross_entropy,
    "dice": ops.dice_loss,
    "focal": ops.focal_loss,
}
CHECKPOINT = "last.ckpt.safetensors"
MODEL = "model.safetensors"
_PATCH = {2: 160, 3: 64}
_CACHE_LIMIT = 4 << 30
_MOST_CLASSES = 64


@dataclass(frozen=True)
class Settings:
    """Everything that decides the course of a training, besides the data.

    Attributes:
        epochs: Times that every training sample is seen.
        batch_size: Samples in a step.
        lr: Highest learning rate of Adam; it rises over the first twentieth of the steps, then
            falls along a cosine.
        features: Channels of the U-Net's levels.
        loss: A key of ``LOSSES``.
        augment: Whether training samples are changed at random.
        dims: 2 trains on slices, 3 on volumes.
        patch: Voxels along each axis of the random pieces that it trains on, half of them around a
            labelled voxel; 0 trains on whole images, None is 160 in 2D and 64 in 3D.
        mirror: Whether predictions are averaged over all mirror images, here and later.
        largest_component: Whether all but the largest connected piece of each predicted volume is
            dropped, here and later; None does so where every training volume is one piece.
        precision: Format of the images inside the network, "float32" or "bf16", here and later.
        seed: Weights, order, augmentation and, in ``train``, the split.
    """

    epochs: int = 12
    batch_size: int = 8
    lr: float = 1e-3
    features: tuple[int, ...] = (16, 32, 64, 128, 256)
    loss: str = "dice_ce"
    augment: bool = True
    dims: int = 2
    patch: int | None = None
    mirror: bool = True
    largest_component: bool | None = None
    precision: str = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Survey:
    """What a first pass over all data found.

    Attributes:
        channels: Of every image.
        classes: One more than the highest class.
    """

    channels: int
    classes: int


def survey(dataset: Dataset) -> Survey:
    """Read every sample once, so that a damaged file is found before the training starts.

    Raises:
        ValueError: If a sample cannot be read, has no mask, a mask that cannot be one, or another
            number of channels.
    """
    channels, highest = 0, 0
    for index in range(len(dataset)):
        sample = dataset[index]
        if not isinstance(sample.label, np.ndarray):
            raise ValueError(f"{sample.name}: it has no mask; training needs one for every image")
        if channels and sample.image.shape[-1] != channels:
            raise ValueError(
                f"{sample.name}: it has {sample.image.shape[-1]} channels, {dataset.names[0]} has "
                f"{channels}; all images must have the same"
            )
        channels = sample.image.shape[-1]
        highest = max(highest, int(sample.label.max()))
        if highest >= _MOST_CLASSES:
            raise ValueError(
                f"{sample.name}: its mask holds class {highest}; at most {_MOST_CLASSES - 1} is "
                "allowed; was an image given in place of the mask?"
            )
    return Survey(channels, max(highest + 1, 2))


def remembered(dataset: Dataset) -> Dataset:
    """Return the dataset, keeping its samples in memory if the first says that they fit."""
    size = dataset[0].image.nbytes * len(dataset)
    return Cached(dataset) if size <= _CACHE_LIMIT else dataset


def each_is_one_piece(dataset: Dataset) -> bool:
    """Whether the largest connected piece of every labelled volume holds 95 % of it or more.

    nnU-Net decides in the same spirit, from the training cases, what to do with its predictions
    (Isensee et al. 2021).
    """
    members: dict[str, list[NDArray[Any]]] = {}
    for index, name in enumerate(dataset.volumes):
        members.setdefault(name, []).append(np.asarray(dataset[index].label))
    masks = (np.stack(labels) for labels in members.values())
    return all(
        np.count_nonzero(largest_component(mask)) >= 0.95 * np.count_nonzero(mask) for mask in masks
    )


def train_segmentation(
    train_set: Dataset,
    class_names: Sequence[str],
    channels: int,
    settings: Settings,
    folder: Path,
    resume: bool = False,
    loader_options: dict[str, Any] | None = None,
    device: str = "cpu",
) -> UNet:
    """Train a U-Net, with checkpoints and history in ``folder``, and save it there.

    Args:
        train_set: Samples with masks.
        class_names: Background first; stored with the model.
        channels: Of the images.
        settings: The course of the training.
        folder: For the model, the checkpoint and the history.
        resume: Go on from the checkpoint in the folder.
        loader_options: More arguments for `DataLoader`.
        device: Where to train, "cpu" or "cuda".

    Returns:
        The model after the last epoch.
    """
    voxelgrad.manual_seed(settings.seed)
    model = UNet(
        channels,
        len(class_names),
        spatial_dims=settings.dims,
        features=settings.features,
        # Statistics of each image by itself: brightness differs from scanner to scanner.
        norm="instance",
    ).to(device)
    loader = DataLoader(
        train_set,
        settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        augment=_transform(train_set[0], model.divisor, settings),
        **(loader_options or {}),
    )
    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    learner = Learner(
        model,
        loader,
        LOSSES[settings.loss],
        optimizer,
        callbacks=[ProgressBar(), History(folder), Checkpoint(folder)],
        schedule=_schedule(optimizer, settings.epochs * len(loader)),
        precision=settings.precision,
    )
    learner.fit(settings.epochs, resume=folder / CHECKPOINT if resume else None)
    largest = settings.largest_component
    model.metadata = {
        "task": "segmentation",
        "class_names": list(class_names),
        "standardise": asdict(Standardise()),
        "mirror": settings.mirror,
        "precision": settings.precision,
        "largest_component": each_is_one_piece(train_set) if largest is None else largest,
        "training": {**asdict(settings), "voxelgrad": voxelgrad.__version__},
    }
    voxelgrad.save(folder / MODEL, model)
    return model


def standardise_of(metadata: dict[str, Any]) -> Standardise:
    """Return how a model's input must be scaled, as stored with it.

    Raises:
        ValueError: If what is stored says nothing of the kind.
    """
    try:
        options = dict(metadata.get("standardise") or {})
        if options.get("clip") is not None:
            options["clip"] = tuple(options["clip"])
        return Standardise(**options)
    except MALFORMED as error:
        raise ValueError(
            f"the model's metadata does not say how images are scaled ({one_line(error)}); "
            "train it again"
        ) from error


def class_names_of(model: Any) -> list[str]:
    """Return the names of a model's classes, background first.

    Raises:
        ValueError: If the model does not segment images.
    """
    if not isinstance(model, UNet):
        raise ValueError(
            f"the model is a {type(model).__name__}; this command needs a UNet that segments images"
        )
    classes = max(int(model.config["out_channels"]), 2)
    names = list(model.metadata.get("class_names") or [])
    if len(names) != classes:
        names = class_names_for(classes)
    return names


def class_names_for(classes: int) -> list[str]:
    """Return names for classes that nobody named."""
    if classes == 2:
        return ["background", "tumour"]
    return ["background", *(f"class {k}" for k in range(1, classes))]


def _transform(sample: Sample, divisor: int, settings: Settings) -> Transform | None:
    """Return what happens to a training sample before it is seen."""
    patch = _PATCH[settings.dims] if settings.patch is None else settings.patch
    steps: list[Transform] = []
    if patch:
        # Nothing is gained by pieces beyond the image, nor by lengths that the model must pad.
        lengths = [min(patch, length) for length in sample.image.shape[:-1]]
        size = tuple(-(-length // divisor) * divisor for length in lengths)
        steps.append(RandomPatch(size))
    if settings.augment:
        steps.append(Augment())
    return Compose(tuple(steps)) if steps else None


def _schedule(optimizer: optim.Optimizer, steps: int) -> optim.Schedule:
    rise = max(1, steps // 20)
    fall = optim.CosineLR(optimizer, max(1, steps - rise))
    return optim.WarmUp(fall, rise)
