"""Layers, containers and losses. Everything takes channels-last input, ``(N, *spatial, C)``."""

from __future__ import annotations

from voxelgrad.nn import init
from voxelgrad.nn.activation import ELU, LeakyReLU, PReLU, ReLU, Sigmoid, Softmax, Softplus, Tanh
from voxelgrad.nn.container import ModuleList, Sequential
from voxelgrad.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from voxelgrad.nn.dropout import Dropout
from voxelgrad.nn.linear import Identity, Linear
from voxelgrad.nn.loss import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    DiceCELoss,
    DiceLoss,
    FocalLoss,
    L1Loss,
    MSELoss,
)
from voxelgrad.nn.module import Module
from voxelgrad.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from voxelgrad.nn.parameter import Parameter
from voxelgrad.nn.pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from voxelgrad.nn.shape import Flatten, Upsample

__all__ = [
    "ELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "DiceCELoss",
    "DiceLoss",
    "Dropout",
    "Flatten",
    "FocalLoss",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleList",
    "PReLU",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Upsample",
    "init",
]
