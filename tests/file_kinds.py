"""Every kind of file that the package reads: what reads it, and how to damage its inside.

Sound files of a kind lie in ``corpus/<kind>/`` (``make_corpus.py`` writes them), beside damaged
ones (``found-*``) that once broke the rule. A new kind is one entry here, one maker there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import damage
import voxelgrad as vg
from voxelgrad.bench.cases import read_cases
from voxelgrad.cli.segmentation import standardise_of
from voxelgrad.cli.train import held_out_patients, read_settings
from voxelgrad.data import readers
from voxelgrad.data.datasets import ArrayDataset
from voxelgrad.interop.keras.reading import read as read_keras
from voxelgrad.train import Learner, read_checkpoint

CORPUS = Path(__file__).parent / "corpus"
Inside = Callable[[bytes, damage.Rng, damage.Change], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: Its folder in the corpus, unless it has the files of another kind.
        read: What reads it; returns all of it or raises.
        ending: Of the file's name.
        inside: Ways to damage what its containers hold.
        errors: The errors that the documentation of ``read`` names.
        names_file: Whether the error must name the file.
        needs: A package that the reader needs; without it the kind is left out.
        files: The kind whose files these are, if another reader has the same.
    """

    name: str
    read: Callable[[Path], Any]
    ending: str
    inside: tuple[Inside, ...] = ()
    errors: tuple[type[BaseException], ...] = (ValueError,)
    names_file: bool = True
    needs: str = "numpy"
    files: str = ""

    @property
    def folder(self) -> Path:
        """Its folder in the corpus."""
        return CORPUS / (self.files or self.name)

    @property
    def sound(self) -> list[Path]:
        """Files that are read."""
        return sorted(self.folder.glob("sound-*"))

    @property
    def found(self) -> list[Path]:
        """Damaged files that once broke the rule."""
        return sorted(self.folder.glob("found-*"))


def small_learner() -> Learner:
    """Return the training that the corpus' checkpoints belong to."""
    vg.manual_seed(1)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4, 4, 4, 1)).astype(np.float32)
    data = ArrayDataset(images, rng.integers(0, 2, (4, 4, 4)))
    model = vg.models.UNet(1, 2, features=(2, 3))
    optimizer = vg.optim.Adam(model.parameters(), lr=0.01)
    schedule = vg.optim.CosineLR(optimizer, 4)
    return Learner(model, data, vg.ops.cross_entropy, optimizer, schedule=schedule, batch_size=2)


def _restore(path: Path) -> None:
    """Restore a training; one that is refused must be as it was before."""
    learner = small_learner()
    before = repr(learner.state())
    try:
        learner.restore(path)
    except ValueError:
        if repr(learner.state()) != before:
            raise AssertionError("a refused checkpoint changed the training") from None
        raise


def _run_own(path: Path) -> None:
    """Load a model of ours and run it on a small image, if it takes one."""
    model = vg.load(path)
    rank = model.config.get("spatial_dims", 2)
    shape = (1, *(8,) * rank, model.config.get("in_channels", 1))
    if not isinstance(model, vg.models.MLP):
        with vg.no_grad():
            model(vg.Tensor(np.ones(shape, np.float32)))


def _scaling(path: Path) -> None:
    """Ask a model's file how its input is scaled."""
    standardise_of(vg.load(path).metadata)


def _run_onnx(path: Path) -> None:
    """Import a network and run it on one small image."""
    vg.interop.onnx.load(path)(np.ones((1, 8, 8, 1), np.float32))


def _load_beside(path: Path) -> None:
    """Import the network whose weights are in the file at ``path``."""
    whole = CORPUS / "onnx-external" / "sound-1.onnx"
    beside = path.with_name("sound-1.onnx")
    beside.write_bytes(whole.read_bytes())
    path.replace(path.with_name("weights.bin"))
    vg.interop.onnx.load(beside)


def _load_external(path: Path) -> None:
    """Import a network whose weights are in a sound file beside it."""
    weights = CORPUS / "onnx-data" / "sound-1.bin"
    path.with_name("weights.bin").write_bytes(weights.read_bytes())
    vg.interop.onnx.load(path)


def _keras_run(path: Path) -> None:
    """Build a network of Keras and run it on one small image."""
    vg.interop.keras.load(path)(np.ones((1, 8, 8, 1), np.float32))


_TENSORS = (damage.in_safetensors, damage.in_tensor_list)
_IN_KERAS = (damage.in_zip, damage.in_zipped_json)
_OWN = (damage.in_safetensors, damage.in_description, damage.in_description)
_GZIP, _PNG, _PROTOBUF = (damage.in_gzip,), (damage.in_png,), (damage.in_protobuf,)
_NIBABEL = "nibabel"

KINDS = (
    Kind("model", vg.load, ".safetensors", _OWN),
    Kind("imported-model", vg.load, ".safetensors", _OWN),
    Kind("model-run", _run_own, ".safetensors", _OWN, names_file=False, files="model"),
    Kind("imported-run", _run_own, ".safetensors", _OWN, names_file=False, files="imported-model"),
    Kind("model-scaling", _scaling, ".safetensors", _OWN, names_file=False),
    Kind("checkpoint", read_checkpoint, ".safetensors", _OWN),
    Kind("resumed-training", _restore, ".safetensors", _OWN),
    Kind("npy", readers.read_image, ".npy"),
    Kind("npy-mask", readers.read_label, ".npy"),
    Kind("npz", readers.read_image, ".npz", (damage.in_zip,)),
    Kind("nifti", readers.read_image, ".nii", needs=_NIBABEL),
    Kind("nifti-gz", readers.read_image, ".nii.gz", _GZIP, needs=_NIBABEL),
    Kind("nifti-mask", readers.read_label, ".nii.gz", _GZIP, needs=_NIBABEL),
    Kind("nifti-shape", readers.nifti_shape, ".nii.gz", _GZIP, needs=_NIBABEL, files="nifti-gz"),
    Kind("png", readers.read_image, ".png", _PNG, needs="PIL"),
    Kind("png-mask", readers.read_label, ".png", _PNG, needs="PIL"),
    Kind("split", held_out_patients, ".json", (damage.in_json,)),
    Kind("settings", read_settings, ".json", (damage.in_json,)),
    Kind("bench-cases", lambda path: read_cases([str(path)]), ".json", (damage.in_json,)),
    Kind("torch", vg.interop.torch.read, ".pt", (damage.in_zip,)),
    Kind("torch-safetensors", vg.interop.torch.read, ".safetensors", _TENSORS),
    Kind("keras", read_keras, ".keras", (damage.in_zip,)),
    Kind("keras-weights", read_keras, ".weights.h5"),
    Kind("keras-h5", read_keras, ".h5"),
    Kind("keras-network", vg.interop.keras.load, ".keras", _IN_KERAS),
    Kind("keras-network-h5", vg.interop.keras.load, ".h5"),
    Kind("keras-run", _keras_run, ".keras", _IN_KERAS, names_file=False, files="keras-network"),
    Kind("imported-keras", vg.load, ".safetensors", _OWN),
    Kind("onnx", vg.interop.onnx.load, ".onnx", _PROTOBUF, needs="onnx"),
    Kind("onnx-run", _run_onnx, ".onnx", _PROTOBUF, names_file=False, needs="onnx", files="onnx"),
    Kind("onnx-external", _load_external, ".onnx", _PROTOBUF, needs="onnx"),
    Kind("onnx-data", _load_beside, ".bin", names_file=False, needs="onnx"),
)
