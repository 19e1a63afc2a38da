"""``voxelgrad train``: a folder of patients in, a model and held-out figures out."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

from voxelgrad.cli.arguments import (
    Commands,
    add_command,
    add_device,
    add_prediction,
    add_threads,
    at_least,
    positive,
    use_device,
    use_threads,
    widths,
)
from voxelgrad.cli.pictures import check_pictures, make_row, save_pictures
from voxelgrad.cli.results import Results, predict_volumes, tell, write_json
from voxelgrad.cli.segmentation import (
    CHECKPOINT,
    LOSSES,
    MODEL,
    Settings,
    class_names_for,
    remembered,
    survey,
    train_segmentation,
)
from voxelgrad.data import open_folder, split_by_names, split_by_patient
from voxelgrad.data.datasets import Subset
from voxelgrad.files import MALFORMED, one_line
from voxelgrad.train.folder import writable_folder

_DEFAULT = Settings()
_DESCRIPTION = """\
Trains a U-Net on a folder of images with masks, holding out some patients, and prints their
figures at the end: those of the weights after the last epoch, never chosen on these patients.

DATA is one of
  <case>/<case>_<slice>.png with <case>/<case>_<slice>_mask.png     slices as PNG
  <case>/<modality>.nii.gz with a file named *seg*, *label*, *mask*  NIfTI, one folder a patient
A date at the end of a case's name (_YYYYMMDD) is not part of the patient: all examinations of a
patient stay on one side of the split.

DIR gets
  model.safetensors      the model, for 'voxelgrad evaluate' and 'voxelgrad predict'
  split.json             which patients were held out
  metrics.json           the figures of the held-out patients
  overlays.png           a slice of each held-out patient: image, truth, prediction
  history.csv, .png      the loss of each epoch
  settings.json          the options, and last.ckpt.safetensors to --resume from"""
_EXAMPLES = """\
  voxelgrad train data/lgg --out runs/lgg
  voxelgrad train data/lgg --out runs/wide --features 32,64,128,256,512 --epochs 40
  voxelgrad train data/lgg --out runs/lgg --resume          after Ctrl-C or a power cut"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "train", "train a U-Net on images with masks", _DESCRIPTION, _EXAMPLES
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the patients")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the results"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from DIR/last.ckpt.safetensors with the options in DIR/settings.json; the "
        "result equals that of an uninterrupted run, bit for bit",
    )
    _add_settings(parser)
    add_device(parser)
    add_threads(parser)
    parser.set_defaults(run=run)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that settings.json keeps; those not given are left out of the namespace."""
    group = parser.add_argument_group("training")

    def add(name: str, type: Any, metavar: str, text: str) -> None:
        group.add_argument(name, type=type, metavar=metavar, default=argparse.SUPPRESS, help=text)

    features = ",".join(str(width) for width in _DEFAULT.features)
    add("--held-out", at_least(1), "N", "number of patients to hold out (default: 5)")
    add("--seed", at_least(0), "N", "decides split, weights, order and augmentation (default: 0)")
    add("--epochs", at_least(1), "N", f"passes over the training data (default: {_DEFAULT.epochs})")
    add("--batch-size", at_least(1), "N", f"images in a step (default: {_DEFAULT.batch_size})")
    add("--lr", positive, "RATE", f"highest learning rate of Adam (default: {_DEFAULT.lr:g})")
    add("--features", widths, "A,B,..", f"channels of the U-Net's levels (default: {features})")
    patch = "random pieces to train on, in voxels along each axis; 0 takes whole images"
    add("--patch", at_least(0), "N", f"{patch} (default: 160 in 2D, 64 in 3D)")
    group.add_argument(
        "--loss",
        choices=tuple(LOSSES),
        default=argparse.SUPPRESS,
        help=f"soft Dice plus cross-entropy, or one alone, or focal (default: {_DEFAULT.loss})",
    )
    group.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help="flip, rotate, scale, deform and change intensities at random (default: yes)",
    )
    add_prediction(
        group,
        argparse.SUPPRESS,
        "yes; stored with the model",
        "yes where every training volume is one piece; stored with the model",
        f"{_DEFAULT.precision}; stored with the model",
    )
    group.add_argument(
        "--dims",
        type=int,
        choices=(2, 3),
        default=argparse.SUPPRESS,
        help="2 trains on axial slices, 3 on NIfTI volumes (default: 2)",
    )


def run(args: argparse.Namespace) -> None:
    """Train, measure and draw."""
    use_threads(args)
    device = use_device(args)
    check_pictures()
    folder = writable_folder(args.out)
    settings, held_out = _options(args, folder)
    mode: Any = "slices" if settings.dims == 2 else "volumes"
    dataset = remembered(open_folder(args.data, mode=mode))
    train_set, test_set = _split(dataset, folder, args.resume, held_out, settings.seed)
    tell(f"reading {len(dataset)} images of {len(set(dataset.cases))} patients")
    found = survey(dataset)
    if not args.resume:
        write_json(folder / "settings.json", {**asdict(settings), "held_out": held_out})
        write_json(folder / "split.json", _split_json(train_set, test_set, settings.seed))
    class_names = class_names_for(found.classes)
    try:
        model = train_segmentation(
            train_set, class_names, found.channels, settings, folder, args.resume, device=device
        )
    except KeyboardInterrupt:
        if (folder / CHECKPOINT).exists():
            tell(f"{folder / CHECKPOINT} is saved; go on with: --out {folder} --resume")
        raise
    results = Results(class_names)
    for volume in predict_volumes(model, test_set, settings.batch_size, "testing"):
        results.add(volume)
    write_json(folder / "metrics.json", results.as_json())
    rows = [
        make_row(*shown, f"Dice of the volume {results.mean_dice(case):.3f}")
        for case, shown in results.shown.items()
    ]
    save_pictures(folder / "overlays.png", rows, class_names, (), "")
    print(f"held-out patients (weights after epoch {settings.epochs}, the last):")
    print(results.table())
    print(f"\nmodel: {folder / MODEL}")


def _options(args: argparse.Namespace, folder: Path) -> tuple[Settings, int]:
    """Return the settings and the number of held-out patients, given now or when it began.

    Raises:
        ValueError: If the folder holds another training, or nothing to resume, or the options
            differ from those it began with.
    """
    names = [field.name for field in fields(Settings)] + ["held_out"]
    given = {name: value for name, value in vars(args).items() if name in names}
    if args.resume:
        stored = read_settings(folder / "settings.json")
        for name, value in given.items():
            if stored[name] != value:
                raise ValueError(
                    f"--resume: this training began with {name} {stored[name]}, not {value}; leave "
                    "the option out, or start a new training in another folder"
                )
        given = stored
    elif (folder / CHECKPOINT).exists():
        raise ValueError(
            f"{folder} already holds a training; add --resume to go on with it, or choose another "
            "folder"
        )
    held_out = int(given.pop("held_out", 5))
    return Settings(**given), held_out


def read_settings(path: Path) -> dict[str, Any]:
    """Return the stored options of a training: the fields of ``Settings``, and ``held_out``.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    stored = _read_json(path, "there is no training to resume")
    hints = {**get_type_hints(Settings), "held_out": int}
    missing = [name for name in hints if name not in stored]
    if missing:
        raise ValueError(f"{path}: {', '.join(missing)} is missing; the file is damaged")
    for name, hint in hints.items():
        if not _is_a(stored[name], hint):
            raise ValueError(f"{path}: {name} is {stored[name]!r:.100}; the file is damaged")
    return {name: tuple(stored[name]) if name == "features" else stored[name] for name in hints}


def _is_a(value: Any, hint: Any) -> bool:
    """Return whether a JSON value can be a field of this type."""
    if hint == tuple[int, ...]:
        return isinstance(value, list) and all(isinstance(item, int) for item in value)
    return isinstance(value, (int, float) if hint is float else hint)


def _split(
    dataset: Any, folder: Path, resume: bool, held_out: int, seed: int
) -> tuple[Subset, Subset]:
    if not resume:
        return split_by_patient(dataset, held_out, seed)
    patients = held_out_patients(folder / "split.json")
    return split_by_names(dataset, patients)


def held_out_patients(path: Path) -> list[str]:
    """Return the held-out patients of a split file.

    Raises:
        ValueError: If it is missing or damaged.
    """
    patients = _read_json(path, "give the split.json of a training").get("held_out")
    if not isinstance(patients, list) or not patients:
        raise ValueError(f"{path}: it has no list of patients 'held_out'; is it a split.json?")
    return [str(patient) for patient in patients]


def _split_json(train_set: Subset, test_set: Subset, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "train": list(dict.fromkeys(train_set.cases)),
        "held_out": list(dict.fromkeys(test_set.cases)),
    }


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}); {hint}") from error
    except MALFORMED as error:
        raise ValueError(f"{path}: it is no JSON file ({one_line(error)}); {hint}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: it holds no JSON object; {hint}")
    return value
