"""Ready networks: perceptrons, classifiers and U-Nets."""

from __future__ import annotations

from voxelgrad.models.cnn import CNN
from voxelgrad.models.mlp import MLP
from voxelgrad.models.model import Model, register
from voxelgrad.models.summary import Summary, summary
from voxelgrad.models.unet import UNet

__all__ = ["CNN", "MLP", "Model", "Summary", "UNet", "register", "summary"]
