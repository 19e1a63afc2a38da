"""Checkpoints: the whole state of a training in one file, written so that it is there or not.

The file holds arrays and the JSON tree that they belong to; nothing in it is executed when it is
read, and a checksum tells damage.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.files import MALFORMED, one_line
from voxelgrad.serialization import read_arrays, write_arrays
from voxelgrad.train.callbacks import Callback, direction_of, is_better, monitored
from voxelgrad.train.folder import writable_folder

if TYPE_CHECKING:
    from voxelgrad.train.learner import Learner

_ARRAY, _NUMBER = "__array__", "__number__"


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
    write_arrays(path, "checkpoint", arrays, tree)


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what ``write_checkpoint`` wrote.

    Raises:
        ValueError: If the file is missing, truncated, damaged or not a checkpoint of this version.
    """
    arrays, tree = read_arrays(path, "checkpoint")
    try:
        return {name: _with_arrays(value, arrays) for name, value in tree.items()}
    except MALFORMED as error:
        raise ValueError(
            f"cannot load {path}: its description does not fit its arrays ({one_line(error)}); "
            "use an earlier checkpoint"
        ) from error


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
        arrays[path] = value
        return {_ARRAY: path, "shape": list(value.shape)}
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"checkpoint: {path or 'state'} has the key {wrong[0]!r}; use strings")
        return {key: _without_arrays(item, f"{path}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(item, f"{path}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"checkpoint: {path} is a {type(value).__name__}; use arrays, numbers, text, lists, dicts"
    )


def _with_arrays(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if _NUMBER in value:
        return float(value[_NUMBER])
    if _ARRAY in value:
        return arrays[value[_ARRAY]].reshape(value["shape"])
    return {key: _with_arrays(item, arrays) for key, item in value.items()}
