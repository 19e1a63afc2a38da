"""Training: the loop, what happens around it, how good the result is and how to go on later."""

from __future__ import annotations

from voxelgrad.train.callbacks import Callback, EarlyStopping, ProgressBar
from voxelgrad.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from voxelgrad.train.history import History, plot_history
from voxelgrad.train.inference import Prediction, evaluate, predict
from voxelgrad.train.learner import Learner, NonFiniteError
from voxelgrad.train.metrics import (
    AUC,
    Accuracy,
    ConfusionMatrix,
    Dice,
    IoU,
    Metric,
    Sensitivity,
    Specificity,
)

__all__ = [
    "AUC",
    "Accuracy",
    "Callback",
    "Checkpoint",
    "ConfusionMatrix",
    "Dice",
    "EarlyStopping",
    "History",
    "IoU",
    "Learner",
    "Metric",
    "NonFiniteError",
    "Prediction",
    "ProgressBar",
    "Sensitivity",
    "Specificity",
    "evaluate",
    "plot_history",
    "predict",
    "read_checkpoint",
    "write_checkpoint",
]
