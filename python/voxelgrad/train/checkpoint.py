"""Checkpoints: the whole state of a training in one file, written so that it is there or not.

The file is in the safetensors format: arrays, and in its header the JSON tree that they belong to.
Nothing in it is executed when it is read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from voxelgrad.files import atomic_path
from voxelgrad.train.callbacks import Callback, direction_of, is_better, monitored
from voxelgrad.train.folder import writable_folder

if TYPE_CHECKING:
    from voxelgrad.train.learner import Learner

FORMAT = "voxelgrad-checkpoint"
VERSION = 1
_ARRAY = "__array__"


def write_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a tree of dictionaries, lists, JSON values and arrays, atomically.

    Args:
        path: The file; an earlier one is replaced only when the new one is complete.
        state: The tree; keys are strings.

    Raises:
        TypeError: If the tree holds something else.
        ValueError: If the path cannot be written.
        OSError: If writing fails for another reason, such as a full disk.
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = _without_arrays(state, "", arrays)
    header = {"format": FORMAT, "version": str(VERSION), "state": json.dumps(tree)}
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, header)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what ``write_checkpoint`` wrote.

    Raises:
        ValueError: If the file is missing, truncated, damaged or not a checkpoint of this version.
    """
    if not Path(path).is_file():
        raise ValueError(f"checkpoint {path}: there is no such file; check the path")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint {path}: it cannot be read ({error}); the file is truncated, damaged or "
            "not a checkpoint; resume from another one"
        ) from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"checkpoint {path}: this is a safetensors file, but not a checkpoint of a training "
            "(a saved model?); resume from the file that Checkpoint wrote, last.ckpt.safetensors"
        )
    if header.get("version") != str(VERSION):
        raise ValueError(
            f"checkpoint {path}: its version is {header.get('version')}, this program reads "
            f"{VERSION}; resume with the program that wrote it"
        )
    try:
        state = _with_arrays(json.loads(header["state"]), arrays)
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"checkpoint {path}: its header is damaged ({error!r}); resume from another one"
        ) from error
    assert isinstance(state, dict)
    return state


class Checkpoint(Callback):
    """Saves the training after each epoch, and on Ctrl-C, so that it can go on later.

    ``last.ckpt.safetensors`` is the newest state, ``best.ckpt.safetensors`` the one with the best
    monitored figure (only with ``monitor``). Weights that are not finite are never saved: they
    would replace the last good checkpoint.

    Args:
        folder: Where to save; made if missing.
        monitor: Name in the history whose best epoch is kept; None keeps only the last.
        mode: ``"min"`` or ``"max"``; by default min for names that end in ``loss``, else max.
        every_batches: Save also after every so many steps; None saves after epochs only.

    Raises:
        ValueError: If the folder cannot be written to, or a value is out of range.
    """

    order = 100

    def __init__(
        self,
        folder: str | os.PathLike[str],
        monitor: str | None = None,
        mode: str | None = None,
        every_batches: int | None = None,
    ) -> None:
        if every_batches is not None and every_batches < 1:
            raise ValueError(
                f"Checkpoint: every_batches is {every_batches}; give 1 or more, or None"
            )
        self.folder = writable_folder(folder)
        self.monitor = monitor
        self.mode = direction_of(monitor or "loss", mode)
        self.every_batches = every_batches
        self.best: float | None = None

    @property
    def last_path(self) -> Path:
        """The newest state."""
        return self.folder / "last.ckpt.safetensors"

    @property
    def best_path(self) -> Path:
        """The state with the best monitored figure."""
        return self.folder / "best.ckpt.safetensors"

    def on_batch_end(self, learner: Learner) -> None:
        """Save if ``every_batches`` says so."""
        if self.every_batches and learner.step % self.every_batches == 0:
            self._save(learner, self.last_path)

    def on_epoch_end(self, learner: Learner) -> None:
        """Save the epoch, as the best too if it is."""
        improved = False
        if self.monitor is not None:
            value = monitored(learner.history[-1], self.monitor, "Checkpoint")
            improved = is_better(value, self.best, self.mode)
            self.best = value if improved else self.best
        self._save(learner, self.last_path)
        if improved:
            self._save(learner, self.best_path)

    def on_interrupt(self, learner: Learner) -> None:
        """Save the position within the epoch."""
        self._save(learner, self.last_path)

    def state(self) -> dict[str, Any]:
        """Return the best figure so far."""
        return {"best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.best = state["best"]

    def _save(self, learner: Learner, path: Path) -> None:
        learner.check_weights()
        write_checkpoint(path, learner.state())
        learner.last_checkpoint = path


def _without_arrays(value: Any, path: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        # save_file writes the memory as it lies; order="C" keeps 0-d arrays 0-d.
        arrays[path] = np.asarray(value, order="C")
        return {_ARRAY: path}
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"checkpoint: {path or 'state'} has the key {wrong[0]!r}; use strings")
        return {key: _without_arrays(item, f"{path}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(item, f"{path}/{i}", arrays) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"checkpoint: {path} is a {type(value).__name__}; use arrays, numbers, text, lists, dicts"
    )


def _with_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    return value
