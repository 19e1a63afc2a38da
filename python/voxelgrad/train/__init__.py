"""Training: the loop, what happens around it, how good the result is and how to go on later."""

from __future__ import annotations

from voxelgrad.train.callbacks import Callback, EarlyStopping, ProgressBar
from voxelgrad.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from voxelgrad.train.history import History, plot_history
from voxelgrad.train.inference import Prediction, evaluate, predict
from voxelgrad.train.learner import Learner, NonFiniteError

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "Learner",
    "NonFiniteError",
    "Prediction",
    "ProgressBar",
    "evaluate",
    "plot_history",
    "predict",
    "read_checkpoint",
    "write_checkpoint",
]
