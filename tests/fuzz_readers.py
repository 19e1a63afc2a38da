"""Damage files at random and read them: one clear error each, no crash, no hang, no huge memory.

``python tests/fuzz_readers.py MINUTES [SEED]`` runs for that long, in a process that may not take
much memory, and prints what it found; a file that broke the rule is kept and named.
``test_fuzz.py`` replays a few damaged files of every kind.
"""

from __future__ import annotations

import io
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import voxelgrad as vg
from torch_files import GOOD, archive
from voxelgrad.data import readers
from voxelgrad.train.checkpoint import read_checkpoint, write_checkpoint

EXPECTED = (ValueError, TypeError, OSError)
"""Errors that say what is wrong with a file; an OSError is the system's word on it."""

ADDRESS_SPACE = 6 << 30  # bytes: libraries reserve far more addresses than they use memory
LONGEST = 20  # seconds that reading one small file may take


@dataclass(frozen=True)
class Kind:
    """A kind of file: its ending, sound examples of it, and what reads it."""

    ending: str
    examples: tuple[bytes, ...]
    read: Callable[[Path], Any]


def kinds(folder: Path) -> list[Kind]:
    """Return every kind of file whose reader's packages are installed."""
    found = [
        Kind(".safetensors", (_model(folder),), vg.load),
        Kind(".ckpt.safetensors", (_checkpoint(folder),), read_checkpoint),
        Kind(".npy", (_numpy(),), readers.read_image),
        Kind(".pt", (archive(GOOD),), vg.interop.torch.read),
    ]
    for make in (_png, _nifti, _onnx):
        try:
            found += make(folder)
        except ImportError as error:
            print(f"left out: {error}")
    return found


def _model(folder: Path) -> bytes:
    path = folder / "model.safetensors"
    vg.save(path, vg.models.UNet(1, 2, features=(2, 4)))
    return path.read_bytes()


def _checkpoint(folder: Path) -> bytes:
    path = folder / "seed.ckpt.safetensors"
    write_checkpoint(path, {"step": 3, "weights": {"w": np.ones((2, 3), np.float32)}, "list": [1]})
    return path.read_bytes()


def _numpy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ones((3, 4, 2), np.float32))
    return stream.getvalue()


def _png(folder: Path) -> list[Kind]:
    from PIL import Image

    examples = []
    for array in (np.zeros((5, 7), np.uint8), np.ones((4, 4, 3), np.uint8)):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "png")
        examples.append(stream.getvalue())
    return [Kind(".png", tuple(examples), readers.read_image)]


def _nifti(folder: Path) -> list[Kind]:
    import nibabel

    examples = []
    for ending in (".nii", ".nii.gz"):
        path = folder / f"seed{ending}"
        nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), path)
        examples.append(Kind(ending, (path.read_bytes(),), readers.read_image))
    return examples


def _onnx(folder: Path) -> list[Kind]:
    import onnx  # noqa: F401

    path = folder / "seed.onnx"
    vg.interop.onnx.export(vg.models.CNN(1, 2, features=(2, 4)), path, (1, 8, 8, 1))
    return [Kind(".onnx", (path.read_bytes(),), vg.interop.onnx.load)]


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy with some bytes changed, cut out, doubled, or the end missing."""
    data = bytearray(whole)
    for _ in range(int(rng.integers(1, 6))):
        if not data:
            break
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
        match int(rng.integers(5)):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at : at + length] = rng.bytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case _:
                del data[at:]
    return bytes(data)


def verdict(kind: Kind, path: Path) -> str:
    """Read a file; return "read", "refused", or what went wrong."""
    signal.alarm(LONGEST)
    try:
        kind.read(path)
    except EXPECTED as error:
        return "refused" if str(error).strip() else "an error without a word"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return "read"


def _ring(*_: Any) -> None:
    raise TimeoutError(f"reading took more than {LONGEST} s")


def run(folder: Path, seed: int, minutes: float) -> Iterator[tuple[Kind, str, bytes]]:
    """Damage and read until the time is over; yield each kind, verdict and file."""
    rng = np.random.default_rng(seed)
    every, end = kinds(folder), time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        kind = every[int(rng.integers(len(every)))]
        data = damaged(kind.examples[int(rng.integers(len(kind.examples)))], rng)
        path = folder / f"damaged{kind.ending}"
        path.write_bytes(data)
        yield kind, verdict(kind, path), data


def main() -> int:
    """Fuzz for some minutes; return 1 if a file broke the rule."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGALRM, _ring)
    counts: Counter[tuple[str, str]] = Counter()
    kept = Path("fuzz-findings")
    with tempfile.TemporaryDirectory() as name:
        for kind, result, data in run(Path(name), seed, minutes):
            good = result in ("read", "refused")
            counts[kind.ending, result if good else "broke the rule"] += 1
            if not good:
                kept.mkdir(exist_ok=True)
                path = kept / f"{sum(counts.values())}{kind.ending}"
                path.write_bytes(data)
                print(f"{path}: {result}", flush=True)
    for (ending, result), count in sorted(counts.items()):
        print(f"{ending:20}{result:16}{count:9}")
    return int(any(result == "broke the rule" for _, result in counts))


if __name__ == "__main__":
    sys.exit(main())
