"""``voxelgrad predict``: masks for new images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import voxelgrad
from voxelgrad.cli.arguments import (
    Commands,
    add_command,
    add_device,
    add_inference,
    add_threads,
    use_device,
    use_threads,
)
from voxelgrad.cli.pictures import make_row, save_pictures
from voxelgrad.cli.results import Volume, predict_volumes
from voxelgrad.cli.segmentation import class_names_of, standardise_of
from voxelgrad.data import (
    ArrayDataset,
    Dataset,
    NiftiPairs,
    Sample,
    Standardise,
    Subset,
    open_folder,
    read_image,
    write_mask_nifti,
    write_mask_png,
)
from voxelgrad.models import Model
from voxelgrad.train.folder import writable_folder


@dataclass(frozen=True)
class Source:
    """One input: its samples, and for NIfTI where affine and header come from."""

    dataset: Dataset
    reference: Any = None


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "predict",
        "write masks and overlays for images",
        """\
Writes a mask for each image, and for each volume an overlay of the slice with most tumour
(DIR/overlays/*.png). INPUT is any of
  a PNG slice                       -> DIR/<name>_mask.png (0 and 255, or a palette of classes)
  a NIfTI volume                    -> DIR/<name>_mask.nii.gz on the grid of the input
  a folder of patients, as for 'train' (masks in it are ignored), or one patient's folder

Intensities are standardised over each volume as in the training; a single PNG slice is
standardised by itself, so give the patient's whole folder where you have it.""",
        "  voxelgrad predict runs/lgg/model.safetensors data/new --out masks\n"
        "  voxelgrad predict model.safetensors anna/ bert.nii.gz --out masks --no-overlays",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="file that 'train' wrote")
    parser.add_argument("input", type=Path, nargs="+", metavar="INPUT", help="image file or folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the masks"
    )
    parser.add_argument(
        "--overlays",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw the masks on the images (default: yes, where Pillow is installed)",
    )
    add_inference(parser)
    add_device(parser)
    add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Predict and write."""
    use_threads(args)
    device = use_device(args)
    model = voxelgrad.load(args.model).to(device)
    class_names = class_names_of(model)
    sources = [_open(path, model) for path in args.input]
    # All inputs are looked at before the first mask is written.
    for path, source in zip(args.input, sources, strict=True):
        _check_channels(path, source.dataset[0], model)
    folder = writable_folder(args.out)
    overlays = args.overlays and find_spec("PIL") is not None
    for source in sources:
        for volume in predict_volumes(
            model,
            source.dataset,
            args.batch_size,
            "predicting",
            args.mirror,
            args.largest_component,
            args.precision,
        ):
            for path in _write_masks(folder, volume, source):
                print(path)
            if overlays:
                print(_write_overlay(folder, volume, class_names))


def _open(path: Path, model: Model) -> Source:
    standardise = standardise_of(model.metadata)
    mode: Any = "slices" if model.config["spatial_dims"] == 2 else "volumes"
    if not path.is_dir():
        return _open_file(path, mode, standardise)
    parent = _patient_parent(path)
    dataset = open_folder(parent or path, labels=False, mode=mode, standardise=standardise)
    if parent is not None:
        name = path.resolve().name
        members = [i for i, volume in enumerate(dataset.volumes) if volume.split("/")[0] == name]
        return Source(Subset(dataset, members), dataset)
    return Source(dataset, dataset)


def _patient_parent(path: Path) -> Path | None:
    """Return the folder above where ``path`` is one patient's folder of NIfTI files, else None."""
    holds_nifti = any(path.glob("*.nii")) or any(path.glob("*.nii.gz"))
    return path.resolve().parent if holds_nifti else None


def _open_file(path: Path, mode: str, standardise: Standardise) -> Source:
    volume = read_image(path)
    image = standardise(volume.data)
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    images = [image]
    if mode == "slices" and image.ndim == 4:
        images = [np.ascontiguousarray(image[:, :, k]) for k in range(image.shape[2])]
    names = [name] if len(images) == 1 else [f"{name}_{k}" for k in range(len(images))]
    dataset = ArrayDataset(images, cases=[name] * len(images), names=names, affine=volume.affine)
    return Source(dataset, volume if volume.affine is not None else None)


def _check_channels(path: Path, sample: Sample, model: Model) -> None:
    needed, dims = model.config["in_channels"], model.config["spatial_dims"]
    channels, axes = sample.image.shape[-1], sample.image.ndim - 1
    if channels != needed or axes != dims:
        raise ValueError(
            f"{path}: {sample.name} has {axes} spatial axes and {channels} channels; the model "
            f"needs {dims} and {needed}, in the order of its training"
        )


def _write_masks(folder: Path, volume: Volume, source: Source) -> list[Path]:
    reference = source.reference
    if isinstance(reference, NiftiPairs):
        reference = reference.reference(_index_of(volume, reference))
    if getattr(reference, "affine", None) is None:
        return [
            _write_png(folder, name, mask)
            for name, mask in zip(volume.dataset.names, volume.classes, strict=True)
        ]
    mask = volume.classes[0]
    if reference.data.ndim == 4 and mask.ndim == 2:
        mask = np.stack(volume.classes, axis=2)
    path = folder / f"{volume.name.replace('/', '_')}_mask.nii.gz"
    write_mask_nifti(path, mask, reference.affine, reference.header)
    return [path]


def _index_of(volume: Volume, reference: NiftiPairs) -> int:
    return list(reference.volumes).index(volume.name)


def _write_png(folder: Path, name: str, mask: Any) -> Path:
    path = folder / f"{name}_mask.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mask_png(path, mask)
    return path


def _write_overlay(folder: Path, volume: Volume, class_names: Sequence[str]) -> Path:
    sizes = [int(np.count_nonzero(mask)) for mask in volume.classes]
    k = int(np.argmax(sizes)) if any(sizes) else len(sizes) // 2
    path = writable_folder(folder / "overlays") / f"{volume.name.replace('/', '_')}.png"
    row = make_row(volume.dataset[k], volume.classes[k])
    save_pictures(path, [row], class_names, (), "")
    return path
