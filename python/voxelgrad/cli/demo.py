"""``voxelgrad demo``: everything at once on synthetic images, without any data."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from voxelgrad.cli.arguments import (
    Commands,
    add_command,
    add_device,
    add_threads,
    at_least,
    use_device,
    use_threads,
)
from voxelgrad.cli.pictures import check_pictures, make_row, save_pictures
from voxelgrad.cli.results import Results, predict_volumes, tell, write_json
from voxelgrad.cli.segmentation import MODEL, Settings, remembered, train_segmentation
from voxelgrad.data import PHANTOM_CLASSES as CLASSES
from voxelgrad.data import PHANTOM_MODALITIES as MODALITIES
from voxelgrad.data import PhantomDataset
from voxelgrad.train.folder import writable_folder

NOTE = "synthetic phantom: a drawing, no patient"
SETTINGS = Settings(epochs=10, batch_size=8, lr=3e-3, features=(12, 24, 48, 96))
_SIZE = (96, 80)
_TRAIN, _HELD_OUT, _SHOWN = 48, 6, 4


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "demo",
        "train on a synthetic brain tumour and show the result (under two minutes)",
        f"""\
Makes synthetic heads with a brain tumour (four modalities: {", ".join(MODALITIES)}; classes:
{", ".join(CLASSES[1:])}), trains a 2D U-Net on {_TRAIN} of them, measures Dice on
{_HELD_OUT} others and writes into DIR:
  overlays.png         image, truth and prediction of held-out phantoms
  model.safetensors    the trained model, for 'voxelgrad predict'
  history.csv, .png    the loss of each epoch
  metrics.json         Dice of each held-out phantom
The pictures are drawings: a good Dice says that the software works, nothing about patients.""",
        "  voxelgrad demo\n  voxelgrad demo --out /tmp/demo --seed 3",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("voxelgrad-demo"),
        metavar="DIR",
        help="folder for the results, made if missing; files in it are replaced "
        "(default: ./voxelgrad-demo)",
    )
    parser.add_argument(
        "--epochs",
        type=at_least(1),
        default=SETTINGS.epochs,
        metavar="N",
        help=f"times that every training image is seen (default: {SETTINGS.epochs})",
    )
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="decides phantoms and weights (default: 0)",
    )
    add_device(parser)
    add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train, measure and draw."""
    started = time.monotonic()
    use_threads(args)
    device = use_device(args)
    check_pictures()
    folder = writable_folder(args.out)
    settings = Settings(**{**vars(SETTINGS), "seed": args.seed, "epochs": args.epochs})
    tell(f"{NOTE}; training on {_TRAIN} phantoms of {_SIZE[0]} x {_SIZE[1]} pixels")
    train_set = PhantomDataset(_TRAIN, seed=2 * args.seed, size=_SIZE)
    held_out = remembered(PhantomDataset(_HELD_OUT, seed=2 * args.seed + 1, size=_SIZE))
    model = train_segmentation(
        remembered(train_set), CLASSES, len(MODALITIES), settings, folder, device=device
    )
    results = Results(CLASSES)
    for volume in predict_volumes(model, held_out, settings.batch_size, "testing"):
        results.add(volume)
    rows = [
        make_row(*results.shown[case], f"mean Dice {results.mean_dice(case):.2f}")
        for case in list(results.shown)[:_SHOWN]
    ]
    save_pictures(folder / "overlays.png", rows, CLASSES, MODALITIES, NOTE)
    write_json(folder / "metrics.json", {"data": NOTE, **results.as_json()})
    print(f"Dice on {_HELD_OUT} held-out phantoms ({NOTE}):")
    print(results.table())
    print(f"\nmodel and pictures: {folder / MODEL}, {folder / 'overlays.png'}")
    tell(f"{time.monotonic() - started:.0f} s")
