"""Optimizers, learning rate schedules and gradient clipping."""

from __future__ import annotations

from voxelgrad.optim.adam import Adam, AdamW
from voxelgrad.optim.clip import clip_grad_norm
from voxelgrad.optim.optimizer import Optimizer
from voxelgrad.optim.schedule import (
    CosineLR,
    OneCycleLR,
    PolynomialLR,
    Schedule,
    StepLR,
    WarmUp,
)
from voxelgrad.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineLR",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "Schedule",
    "StepLR",
    "WarmUp",
    "clip_grad_norm",
]
