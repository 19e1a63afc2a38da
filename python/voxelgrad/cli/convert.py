"""``voxelgrad import`` and ``voxelgrad export``: ONNX and Keras files to models, and ONNX back."""

from __future__ import annotations

import argparse
from pathlib import Path

import voxelgrad
from voxelgrad.cli.arguments import Commands, add_command, widths
from voxelgrad.interop import keras, onnx
from voxelgrad.interop.onnx.exporting import NEWEST, OLDEST
from voxelgrad.models import CNN, MLP, Model, UNet


def add_parser(commands: Commands) -> None:
    """Add both commands."""
    _add_import(commands)
    _add_export(commands)


def _add_import(commands: Commands) -> None:
    parser = add_command(
        commands,
        "import",
        "turn an ONNX or Keras file into a voxelgrad model",
        """\
Reads an ONNX file, or a whole network of Keras (.keras, .h5), and writes a model that
voxelgrad.load gives back, ready to run and to train on. Images are channels last then. Prints what
goes in and out.""",
        "  voxelgrad import network.onnx --out network.safetensors\n"
        "  voxelgrad import network.keras --out network.safetensors",
    )
    parser.add_argument(
        "source", type=Path, metavar="FILE", help="the file: .keras, .h5, .hdf5, else ONNX"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the model, *.safetensors"
    )
    parser.set_defaults(run=run_import)


def _add_export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        "write a voxelgrad model as an ONNX file",
        """\
Writes a model as an ONNX file that computes the same, images with the channels first. Batch and
image size may vary, unless --static is given.""",
        "  voxelgrad export runs/lgg/model.safetensors --out model.onnx\n"
        "  voxelgrad export network.safetensors --out network.onnx --input-shape 1,224,224,3",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="file that 'train' wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the ONNX file")
    parser.add_argument(
        "--input-shape",
        type=widths,
        metavar="N,H,W,C",
        help="shape to run the model with, batch first and channels last (default: the smallest "
        "that the model takes)",
    )
    parser.add_argument(
        "--opset",
        type=int,
        default=17,
        choices=range(OLDEST, NEWEST + 1),
        metavar="N",
        help=f"operator set, {OLDEST} to {NEWEST} (default: 17)",
    )
    parser.add_argument("--static", action="store_true", help="fix batch and image size")
    parser.set_defaults(run=run_export)


def run_import(args: argparse.Namespace) -> None:
    """Import and save."""
    is_keras = args.source.suffix.lower() in (".keras", ".h5", ".hdf5")
    model = keras.load(args.source) if is_keras else onnx.load(args.source)
    voxelgrad.save(args.out, model)
    for kind, ports in (("input", model.inputs), ("output", model.outputs)):
        for port in ports:
            print(f"{kind} {port}")
    print(f"{model.num_parameters():,} trainable values")
    print(args.out)


def run_export(args: argparse.Namespace) -> None:
    """Load and export."""
    model = voxelgrad.load(args.model)
    shape = args.input_shape or smallest_input(model)
    onnx.export(model, args.out, shape, args.opset, dynamic=not args.static)
    print(args.out)


def smallest_input(model: Model) -> tuple[int, ...]:
    """Return the shape of the smallest input that a model takes.

    Raises:
        ValueError: If it cannot be known.
    """
    if isinstance(model, UNet):
        return (1, *(model.divisor,) * model.spatial_dims, model.in_channels)
    if isinstance(model, CNN):
        size = 2 ** (len(model.levels) - 1)
        return (1, *(size,) * model.spatial_dims, model.in_channels)
    if isinstance(model, MLP):
        return (1, model.in_features)
    raise ValueError(f"the input of a {type(model).__name__} is not known; give --input-shape")
