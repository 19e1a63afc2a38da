"""Commands on damaged files and wrong folders, and what their one line of error must say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import voxelgrad as vg
from tiny_data import AFFINE, PATIENTS

FIRST = f"{PATIENTS[0]}/{PATIENTS[0]}_1"


class Place:
    """A folder of patients in two formats, a model, and what a case breaks in them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.slices, self.volumes = root / "slices", root / "volumes"
        self.model, self.run, self.out = root / "model.st", root / "run", root / "out"

    def image(self, name: str = FIRST) -> Path:
        return self.slices / f"{name}.png"

    def mask(self, name: str = FIRST) -> Path:
        return self.slices / f"{name}_mask.png"

    def train(self, data: Path, *more: str) -> list[str]:
        small = ["--held-out", "1", "--features", "2,4", "--epochs", "2"]
        return ["train", str(data), "--out", str(self.out), *small, *more]

    def predict(self, *inputs: Path) -> list[str]:
        return ["predict", str(self.model), *map(str, inputs), "--out", str(self.out)]

    def nifti(self, name: str, data: Any, affine: Any = AFFINE) -> list[str]:
        """Replace a volume of the first patient, then train."""
        import nibabel

        path = self.volumes / PATIENTS[0] / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(data, affine), path)
        return self.train(self.volumes)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def nan_volume() -> Any:
    data = np.ones((16, 16, 4), np.float32)
    data[3, 4, 1] = np.nan
    return data


def save_png(path: Path, array: Any) -> None:
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


Case = tuple[Callable[[Place], Any], Callable[[Place], list[str]], tuple[str, ...]]

# name: (what is broken, the command, parts that its one line of error must have)
COMMANDS: dict[str, Case] = {
    "no such data": (
        lambda p: None,
        lambda p: p.train(p.root / "nowhere"),
        ("nowhere", "no such folder"),
    ),
    "data is a file": (lambda p: None, lambda p: p.train(p.model), ("model.st", "no such folder")),
    "folder without images": (
        lambda p: (p.root / "void").mkdir(),
        lambda p: p.train(p.root / "void"),
        ("void", "expected"),
    ),
    "missing mask": (
        lambda p: p.mask().unlink(),
        lambda p: p.train(p.slices),
        ("1 of 9 slices have no mask", f"{FIRST}.png"),
    ),
    "mask without image": (
        lambda p: p.image().unlink(),
        lambda p: p.train(p.slices),
        ("masks have no slice", f"{FIRST}_mask.png"),
    ),
    "mask of another size": (
        lambda p: save_png(p.mask(), np.zeros((16, 8))),
        lambda p: p.train(p.slices),
        (f"{PATIENTS[0]}_1_mask.png", "(16, 8)", "(16, 16)"),
    ),
    "mask with colours": (
        lambda p: shutil.copy(p.image(), p.mask()),
        lambda p: p.train(p.slices),
        (f"{PATIENTS[0]}_1_mask.png", "colours"),
    ),
    "image in place of a mask": (
        lambda p: save_png(p.mask(), np.arange(256).reshape(16, 16)),
        lambda p: p.train(p.slices),
        (FIRST, "class 255", "in place of the mask"),
    ),
    "truncated image": (
        lambda p: truncate(p.image()),
        lambda p: p.train(p.slices),
        (f"{PATIENTS[0]}_1.png", "truncated"),
    ),
    "truncated mask": (
        lambda p: truncate(p.mask()),
        lambda p: p.train(p.slices),
        (f"{PATIENTS[0]}_1_mask.png", "truncated"),
    ),
    "empty image file": (
        lambda p: write(p.image(), b""),
        lambda p: p.train(p.slices),
        (f"{PATIENTS[0]}_1.png", "not a readable PNG"),
    ),
    "slices of several sizes": (
        lambda p: (save_png(p.image(), np.ones((8, 8, 3))), save_png(p.mask(), np.zeros((8, 8)))),
        lambda p: p.train(p.slices),
        (PATIENTS[0], "one shape"),
    ),
    "nan in a volume": (
        lambda p: None,
        lambda p: p.nifti("T1", nan_volume()),
        ("T1.nii.gz", "NaN"),
    ),
    "fractions in a mask": (
        lambda p: None,
        lambda p: p.nifti("seg", np.full((16, 16, 4), 0.5, np.float32)),
        ("seg.nii.gz", "0.5"),
    ),
    "negative class in a mask": (
        lambda p: None,
        lambda p: p.nifti("seg", np.full((16, 16, 4), -1, np.int16)),
        ("seg.nii.gz", "-1"),
    ),
    "mask on another grid": (
        lambda p: None,
        lambda p: p.nifti("seg", np.zeros((16, 16, 3), np.int16)),
        ("seg.nii.gz", "(16, 16, 3)", "one grid"),
    ),
    "mask elsewhere in space": (
        lambda p: None,
        lambda p: p.nifti("seg", np.zeros((16, 16, 4), np.int16), np.diag([1.5, 1.5, 4, 1])),
        ("seg.nii.gz", "affine"),
    ),
    "truncated volume": (
        lambda p: truncate(p.volumes / PATIENTS[0] / "FLAIR.nii.gz"),
        lambda p: p.train(p.volumes),
        ("FLAIR.nii.gz", "truncated"),
    ),
    "patient without a modality": (
        lambda p: (p.volumes / PATIENTS[1] / "T1.nii.gz").unlink(),
        lambda p: p.train(p.volumes),
        (PATIENTS[1], "T1.nii.gz"),
    ),
    "all patients held out": (
        lambda p: None,
        lambda p: p.train(p.slices, "--held-out", "3"),
        ("held_out is 3 of 3 patients",),
    ),
    "learning rate that diverges": (
        lambda p: None,
        lambda p: p.train(p.slices, "--lr", "1e30"),
        ("training stopped", "step", "last good checkpoint", "learning rate"),
    ),
    "nothing to resume": (
        lambda p: None,
        lambda p: p.train(p.slices, "--resume"),
        ("settings.json", "no training to resume"),
    ),
    "truncated checkpoint": (
        lambda p: truncate(p.run / "last.ckpt.safetensors"),
        lambda p: ["train", str(p.slices), "--out", str(p.run), "--resume"],
        ("last.ckpt.safetensors", "truncated or damaged"),
    ),
    "model in place of a checkpoint": (
        lambda p: shutil.copy(p.model, p.run / "last.ckpt.safetensors"),
        lambda p: ["train", str(p.slices), "--out", str(p.run), "--resume"],
        ("last.ckpt.safetensors", "is a voxelgrad model, not a checkpoint"),
    ),
    "resumed with other data": (
        lambda p: [
            p.image(f"{x}/{x}_3").unlink() or p.mask(f"{x}/{x}_3").unlink() for x in PATIENTS
        ],
        lambda p: ["train", str(p.slices), "--out", str(p.run), "--resume"],
        ("does not fit this training", "samples 6, now it is 4"),
    ),
    "damaged settings": (
        lambda p: write(p.run / "settings.json", b"{"),
        lambda p: ["train", str(p.slices), "--out", str(p.run), "--resume"],
        ("settings.json", "no JSON"),
    ),
    "no such model": (
        lambda p: p.model.unlink(),
        lambda p: p.predict(p.slices),
        ("model.st", "check the path"),
    ),
    "truncated model": (
        lambda p: truncate(p.model),
        lambda p: p.predict(p.slices),
        ("model.st", "truncated or damaged"),
    ),
    "bit flipped in the model": (
        lambda p: write(p.model, p.model.read_bytes()[:-1] + b"\x55"),
        lambda p: p.predict(p.slices),
        ("model.st", "checksum"),
    ),
    "picture in place of a model": (
        lambda p: shutil.copy(p.image(), p.model),
        lambda p: p.predict(p.slices),
        ("model.st", "not a voxelgrad file"),
    ),
    "checkpoint in place of a model": (
        lambda p: shutil.copy(p.run / "last.ckpt.safetensors", p.model),
        lambda p: p.predict(p.slices),
        ("model.st", "is a voxelgrad checkpoint, not a model"),
    ),
    "classifier in place of a U-Net": (
        lambda p: vg.save(p.model, vg.models.CNN(3, 2, features=(2, 4))),
        lambda p: p.predict(p.slices),
        ("CNN", "needs a UNet"),
    ),
    "no such image": (
        lambda p: None,
        lambda p: p.predict(p.root / "scan.png"),
        ("scan.png", "no such file"),
    ),
    "unknown kind of image": (
        lambda p: write(p.root / "scan.jpg", b"x"),
        lambda p: p.predict(p.root / "scan.jpg"),
        ("scan.jpg",),
    ),
    "image with other channels": (
        lambda p: save_png(p.image(), np.ones((16, 16))),
        lambda p: p.predict(p.slices / PATIENTS[1] / f"{PATIENTS[1]}_1.png", p.image()),
        (f"{PATIENTS[0]}_1.png", "1 channels", "needs 2 and 3"),
    ),
    "second input truncated": (
        lambda p: truncate(p.image()),
        lambda p: p.predict(p.slices / PATIENTS[1] / f"{PATIENTS[1]}_1.png", p.image()),
        (f"{PATIENTS[0]}_1.png", "truncated"),
    ),
    "label outside the classes of the model": (
        lambda p: save_png(p.mask(), np.full((16, 16), 3)),
        lambda p: ["evaluate", str(p.model), str(p.slices)],
        ("TCGA_AA_0001", "class 3", "[0, 2)"),
    ),
    "split of other patients": (
        lambda p: write(p.root / "split.json", b'{"held_out": ["nobody"]}'),
        lambda p: ["evaluate", str(p.model), str(p.slices), "--split", str(p.root / "split.json")],
        ("nobody", "not in the dataset"),
    ),
    "split that is none": (
        lambda p: write(p.root / "split.json", b"[1]"),
        lambda p: ["evaluate", str(p.model), str(p.slices), "--split", str(p.root / "split.json")],
        ("split.json", "no JSON object"),
    ),
    # Root may write anywhere, but nobody can make a folder below a file.
    "unwritable folder for train": (
        lambda p: write(p.out, b""),
        lambda p: ["train", str(p.slices), "--out", str(p.out / "run")],
        ("out/run", "cannot be written to"),
    ),
    "unwritable folder for predict": (
        lambda p: write(p.out, b""),
        lambda p: ["predict", str(p.model), str(p.slices), "--out", str(p.out / "run")],
        ("out/run", "cannot be written to"),
    ),
    "unwritable folder for demo": (
        lambda p: write(p.out, b""),
        lambda p: ["demo", "--out", str(p.out / "demo")],
        ("out/demo", "cannot be written to"),
    ),
    "unwritable file for figures": (
        lambda p: write(p.out, b""),
        lambda p: ["evaluate", str(p.model), str(p.slices), "--json", str(p.out / "x.json")],
        ("cannot be written to",),
    ),
    "figures onto a folder": (
        lambda p: p.out.mkdir(),
        lambda p: ["evaluate", str(p.model), str(p.slices), "--json", str(p.out)],
        ("it is a folder",),
    ),
}
