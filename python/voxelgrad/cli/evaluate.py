"""``voxelgrad evaluate``: a model's figures on patients with masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

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
from voxelgrad.cli.results import Results, predict_volumes, write_json
from voxelgrad.cli.segmentation import class_names_of, standardise_of
from voxelgrad.cli.train import held_out_patients
from voxelgrad.data import open_folder, split_by_names
from voxelgrad.train.folder import writable_folder


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "evaluate",
        "measure a model on patients with masks",
        """\
Prints for each patient Dice, IoU, sensitivity and specificity, all slices of a patient counted
together, and their means. A class that neither mask nor prediction contains has Dice 1; figures
that are not defined are shown as '-' and left out of the means.""",
        "  voxelgrad evaluate runs/lgg/model.safetensors data/lgg --split runs/lgg/split.json\n"
        "  voxelgrad evaluate model.safetensors data/new --json figures.json",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="file that 'train' wrote")
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="folder with the patients, as for 'train'"
    )
    parser.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="split.json of the training: measure only its held-out patients "
        "(default: all patients)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    add_inference(parser)
    add_device(parser)
    add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    use_threads(args)
    device = use_device(args)
    if args.json is not None:
        writable_folder(args.json.parent)
    model = voxelgrad.load(args.model).to(device)
    results = Results(class_names_of(model))
    mode: Any = "slices" if model.config["spatial_dims"] == 2 else "volumes"
    dataset = open_folder(args.data, mode=mode, standardise=standardise_of(model.metadata))
    if args.split is not None:
        _, dataset = split_by_names(dataset, held_out_patients(args.split))
    for volume in predict_volumes(
        model,
        dataset,
        args.batch_size,
        "measuring",
        args.mirror,
        args.largest_component,
        args.precision,
    ):
        results.add(volume)
    if args.json is not None:
        write_json(args.json, {"model": str(args.model), **results.as_json()})
    print(results.table())
