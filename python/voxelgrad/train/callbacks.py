"""What happens around the training loop: the base class, early stopping and the progress bar."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from voxelgrad.train.learner import Learner


class Callback:
    """Does something at fixed moments of ``Learner.fit``; override what is needed.

    A callback that remembers something across epochs gives it in ``state`` and takes it back in
    ``restore``, so that a resumed run goes on as if it had never stopped. Callbacks run by
    ``order``, then as listed; those that save run last.
    """

    order = 0

    def on_fit_begin(self, learner: Learner) -> None:
        """Run before the first batch, after a checkpoint was restored."""

    def on_epoch_begin(self, learner: Learner) -> None:
        """Run before the first batch of an epoch (of its rest, when resuming within it)."""

    def on_batch_end(self, learner: Learner) -> None:
        """Run after each training step; ``learner.last_loss`` is its loss."""

    def on_epoch_end(self, learner: Learner) -> None:
        """Run when an epoch is complete; ``learner.history[-1]`` holds its figures."""

    def on_interrupt(self, learner: Learner) -> None:
        """Run when Ctrl-C stops the training, between two steps."""

    def on_fit_end(self, learner: Learner) -> None:
        """Run after the last epoch, also when the training stopped early."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run must know, as values that JSON can hold."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""


class EarlyStopping(Callback):
    """Stops when a figure has not improved for some epochs.

    Args:
        monitor: Name in the history, such as ``"train_loss"`` or ``"validation_dice"``.
        patience: Epochs without improvement after which the training stops.
        min_delta: Smallest change that counts as an improvement.
        mode: ``"min"`` or ``"max"``: which direction is better; by default min for names that
            end in ``loss``, else max.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str | None = None,
    ) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience}; give 1 epoch or more")
        if min_delta < 0:
            raise ValueError(f"EarlyStopping: min_delta is {min_delta}; it must be 0 or greater")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.mode = direction_of(monitor, mode)
        self.best: float | None = None
        self.waited = 0

    def on_epoch_end(self, learner: Learner) -> None:
        """Compare the epoch's figure with the best so far."""
        value = monitored(learner.history[-1], self.monitor, "EarlyStopping")
        if is_better(value, self.best, self.mode, self.min_delta):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            learner.stop(
                f"{self.monitor} has not improved for {self.patience} epochs (best {self.best})"
            )

    def state(self) -> dict[str, Any]:
        """Return the best figure and how long it has lasted."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self.best, self.waited = state["best"], int(state["waited"])


class ProgressBar(Callback):
    """Shows epoch, batch, loss and remaining time on standard error.

    On a terminal one line is rewritten a few times a second; into a file or pipe one line is
    written an epoch.

    Args:
        stream: Where to write; standard error by default.
        width: Characters of the bar.
    """

    def __init__(self, stream: TextIO | None = None, width: int = 24) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.width = width
        self.interval = 0.2

    def on_fit_begin(self, learner: Learner) -> None:
        """Note the time and the batches done before, when resuming."""
        self._live = self.stream.isatty()
        self._start = self._shown = time.monotonic()
        self._before = learner.epoch * learner.batches_per_epoch + learner.batch

    def on_epoch_begin(self, learner: Learner) -> None:
        """Note the time."""
        self._epoch_start = time.monotonic()

    def on_batch_end(self, learner: Learner) -> None:
        """Redraw the line if the last drawing is old enough."""
        now = time.monotonic()
        if not self._live or now - self._shown < self.interval:
            return
        self._shown = now
        total = learner.batches_per_epoch
        filled = self.width * learner.batch // total
        bar = "#" * filled + "." * (self.width - filled)
        done = learner.epoch * total + learner.batch
        rate = (now - self._start) / max(done - self._before, 1)
        left = rate * (learner.epochs * total - done)
        self._write(
            f"\repoch {learner.epoch + 1}/{learner.epochs} [{bar}] {learner.batch}/{total}  "
            f"loss {learner.running_loss:.4f}  {_clock(left)} left\x1b[K"
        )

    def on_epoch_end(self, learner: Learner) -> None:
        """Write the epoch's figures as a line that stays."""
        row = learner.history[-1]
        figures = "  ".join(
            f"{name.replace('_', ' ')} {value:.4f}"
            for name, value in row.items()
            if name not in ("epoch", "seconds", "learning_rate") and isinstance(value, float)
        )
        seconds = time.monotonic() - self._epoch_start
        start = "\r" if self._live else ""
        end = "\x1b[K\n" if self._live else "\n"
        self._write(
            f"{start}epoch {row['epoch']}/{learner.epochs}  {figures}  {seconds:.1f} s{end}"
        )

    def on_interrupt(self, learner: Learner) -> None:
        """Leave the line that was being rewritten."""
        self._write("\n" if self._live else "")

    def on_fit_end(self, learner: Learner) -> None:
        """Say why the training stopped early, if it did."""
        if learner.stop_reason:
            self._write(f"stopped after epoch {learner.epoch}: {learner.stop_reason}\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def direction_of(monitor: str, mode: str | None) -> str:
    """Return ``"min"`` or ``"max"``: which direction of a figure is better.

    Raises:
        ValueError: If ``mode`` is given and neither of the two.
    """
    if mode is None:
        return "min" if monitor.endswith("loss") else "max"
    if mode not in ("min", "max"):
        raise ValueError(f"mode is {mode!r}; choose 'min' or 'max'")
    return mode


def is_better(value: float, best: float | None, mode: str, min_delta: float = 0.0) -> bool:
    """Return whether ``value`` improves on ``best`` by more than ``min_delta``; nan never does."""
    if best is None:
        return not math.isnan(value)
    return value < best - min_delta if mode == "min" else value > best + min_delta


def monitored(row: dict[str, Any], monitor: str, owner: str) -> float:
    """Return the figure called ``monitor`` of a history row.

    Raises:
        ValueError: If there is none of that name.
    """
    if monitor not in row:
        raise ValueError(
            f"{owner}: the history has no {monitor!r}, only {', '.join(row)}; "
            "validation figures need Learner(validation=...)"
        )
    return float(row[monitor])


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
