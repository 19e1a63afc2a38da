"""The figures of each epoch as a CSV file and a plot."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxelgrad.files import atomic_path, write_atomically
from voxelgrad.train.callbacks import Callback
from voxelgrad.train.folder import writable_folder

if TYPE_CHECKING:
    from voxelgrad.train.learner import Learner

Row = dict[str, Any]


class History(Callback):
    """Writes ``history.csv`` after each epoch and, at the end, ``history.png``.

    The plot needs matplotlib (the extra ``plots``); without it only the CSV is written.

    Args:
        folder: Where to write; made if missing.
        plot: Whether to draw the plot.

    Raises:
        ValueError: If the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str], plot: bool = True) -> None:
        self.folder = writable_folder(folder)
        self.plot = plot

    def on_epoch_end(self, learner: Learner) -> None:
        """Write the table."""
        write_csv(self.folder / "history.csv", learner.history)

    def on_fit_end(self, learner: Learner) -> None:
        """Draw the plot."""
        if self.plot and learner.history and has_matplotlib():
            plot_history(self.folder / "history.png", learner.history)


def has_matplotlib() -> bool:
    """Return whether plots can be drawn."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def write_csv(path: str | os.PathLike[str], history: Sequence[Row]) -> None:
    """Write a row an epoch, atomically; columns that an epoch lacks stay empty.

    Args:
        path: The file.
        history: ``Learner.history``.
    """
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_atomically(path, text.getvalue().encode())


def plot_history(path: str | os.PathLike[str], history: Sequence[Row]) -> None:
    """Draw losses on the left and the other figures on the right, as PNG.

    Args:
        path: The PNG file.
        history: ``Learner.history``, one epoch or more.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        # The object interface needs no display and leaves pyplot's global state alone.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot_history needs matplotlib: pip install 'voxelgrad[plots]'"
        ) from error
    names = [name for name in history[-1] if name not in ("epoch", "seconds", "learning_rate")]
    losses = [name for name in names if name.endswith("loss")]
    others = [name for name in names if name not in losses]
    panels = [group for group in (losses, others) if group]
    figure = Figure(figsize=(5.2 * len(panels), 3.6), dpi=130, layout="constrained")
    for index, group in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        _draw_panel(axes, history, group, "loss" if group is losses else "validation")
    with atomic_path(Path(path)) as temporary:
        figure.savefig(temporary, format="png")


def _draw_panel(axes: Any, history: Sequence[Row], names: Sequence[str], title: str) -> None:
    for name in names:
        rows = [row for row in history if name in row]
        label = name if title == "loss" else name.removeprefix("validation_")
        axes.plot(
            [row["epoch"] for row in rows],
            [row[name] for row in rows],
            label=label.removesuffix("_loss").replace("_", " "),
            marker="." if len(rows) <= 30 else None,
            linewidth=1.6,
        )
    axes.set_xlabel("epoch")
    axes.set_title(title, loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
